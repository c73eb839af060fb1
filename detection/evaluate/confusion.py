"""Confusion matrix, and precision, recall and F1 at a score threshold.

    Detections with at least the threshold's score are paired with objects one to one, regardless of class: largest IoU
    first, IoU at least 0.5; of equal IoUs, the higher score first (`evaluator.detection_rank`). A pair of equal class
    is a hit. A pair of different classes is a confusion: a false detection of one class and a missed object of the
    other. Detections without a partner are false, objects without one are missed.

    precision = hits / detections      recall = hits / objects      F1 = 2 hits / (detections + objects)

Crowd and difficult objects are ignored, and so are detections that overlap only them. A rate is -1 if its denominator
is 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from detection.evaluate.evaluator import ImageDetections, ImageGroundtruth, PerCategory, category_names, detection_rank
from detection.evaluate.voc import pairwise_iou
from detection.types import Category


class ConfusionEvaluator:
    """Confusion matrix, precision, recall and F1, overall and per category.

    Tags are `DetectionBoxes_At50/{Precision, Recall, F1}` and `DetectionBoxes_At50ByCategory/{...}/<name>`, where 50 is
    the score threshold in percent.

    Args:
        categories: the classes to evaluate.
        score_threshold: detections with lower scores are ignored.
        iou_threshold: minimum IoU of a pair.
    """

    def __init__(
        self, categories: Sequence[Category], *, score_threshold: float = 0.5, iou_threshold: float = 0.5
    ) -> None:
        names = dict(sorted(category_names(categories).items()))
        self._row = {class_: row for row, class_ in enumerate(names)}
        self._names = list(names.values())
        self._score_threshold, self._iou_threshold = score_threshold, iou_threshold
        self.clear()

    @property
    def names(self) -> list[str]:
        """Categories in the order of the matrix."""
        return list(self._names)

    @property
    def matrix(self) -> np.ndarray:
        """The confusion matrix, int64 [K + 1, K + 1]: true category by row, detected category by column.

        The last row counts false detections, the last column missed objects.
        """
        return self._matrix.copy()

    def clear(self) -> None:
        """Removes all images."""
        self._matrix = np.zeros((len(self._names) + 1, len(self._names) + 1), np.int64)

    def add(self, image_id: str, groundtruth: ImageGroundtruth, detections: ImageDetections) -> None:
        """Adds one image; see `Evaluator.add`."""
        known = np.isin(groundtruth.classes, list(self._row))
        objects, ignored = groundtruth.boxes[known], (groundtruth.is_crowd | groundtruth.difficult)[known]
        detections = ImageDetections(*(field[detection_rank(detections)] for field in detections))
        chosen = (detections.scores >= self._score_threshold) & np.isin(detections.classes, list(self._row))
        boxes = detections.boxes[chosen]
        rows = np.array([self._row[class_] for class_ in groundtruth.classes[known].tolist()], np.int64)
        columns = np.array([self._row[class_] for class_ in detections.classes[chosen].tolist()], np.int64)
        nothing = len(self._names)
        overlaps = pairwise_iou(boxes, objects)
        partner = pair(overlaps[:, ~ignored], self._iou_threshold)
        excused = (overlaps[:, ignored] >= self._iou_threshold).any(axis=1)
        rows = rows[~ignored]
        paired = partner >= 0
        np.add.at(self._matrix, (rows[partner[paired]], columns[paired]), 1)
        np.add.at(self._matrix, (nothing, columns[~paired & ~excused]), 1)
        np.add.at(self._matrix, (np.delete(rows, partner[paired]), nothing), 1)

    def result(self) -> dict[str, float]:
        """Returns tag -> value over all images added."""
        prefix = f"DetectionBoxes_At{100 * self._score_threshold:g}"
        hits = self._matrix.diagonal()[:-1]
        rates = _rates(hits.sum(), self._matrix[:, :-1].sum(), self._matrix[:-1].sum())
        tags = {f"{prefix}/{kind}": value for kind, value in rates.items()}
        for column in self.per_category():
            tags |= {f"{prefix}ByCategory/{column.title}/{name}": value for name, value in column.values.items()}
        return tags

    def per_category(self) -> list[PerCategory]:
        """Returns precision, recall and F1 by category."""
        hits, detections, objects = (
            self._matrix.diagonal()[:-1],
            self._matrix[:, :-1].sum(axis=0),
            self._matrix[:-1].sum(axis=1),
        )
        rates = {
            name: _rates(*counts)
            for name, *counts in zip(self._names, hits, detections, objects, strict=True)
            if counts[2]
        }
        return [
            PerCategory(kind, {name: values[kind] for name, values in rates.items()})
            for kind in ("Precision", "Recall", "F1")
        ]


def pair(overlaps: np.ndarray, threshold: float) -> np.ndarray:
    """Pairs detections and objects one to one, largest overlap first.

    Args:
        overlaps: [d, m], IoU of each detection with each object.
        threshold: minimum IoU of a pair.

    Returns:
        The object of each detection, int [d]; -1 for none.
    """
    partner = np.full(len(overlaps), -1, np.int64)
    left = np.where(overlaps >= threshold, overlaps, -1.0)
    while left.size and left.max() >= 0:
        detection, target = np.unravel_index(left.argmax(), left.shape)
        partner[detection] = target
        left[detection], left[:, target] = -1.0, -1.0
    return partner


def _rates(hits: int, detections: int, objects: int) -> dict[str, float]:
    pairs = {"Precision": (hits, detections), "Recall": (hits, objects), "F1": (2 * hits, detections + objects)}
    return {kind: float(part / whole) if whole else -1.0 for kind, (part, whole) in pairs.items()}
