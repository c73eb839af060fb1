"""Average precision as defined by Open Images (Kuznetsova et al., 2020, section 5.1).

    A group-of box contains several touching objects. Detections are first matched to the other boxes of their class as
    in PASCAL VOC (`evaluate.voc`). A false detection that lies within a group-of box of its class,

        intersection / area of the detection >= 0.5,

    is not counted as false. In the metric of V2 all detections within a group-of box are ignored; in the metric of the
    challenge the group-of box is an object itself, detected once with the highest of their scores, or missed.

The challenge evaluates a class in an image only if its presence was verified: the class has a box, or the labels of the
whole image (`image/class/label`, positive or negative) contain it. Detections of other classes are ignored. Flags for
difficult objects and crowds, which Open Images does not have, are not used.

Class hierarchies must be in the data: an object is also annotated with every ancestor of its class, either in the
records or through `expand_labels_hierarchy` of the input reader.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from detection.evaluate.evaluator import (
    ImageDetections,
    ImageGroundtruth,
    PerCategory,
    category_names,
    detection_rank,
    image_rank,
)
from detection.evaluate.voc import average_precision, match, pairwise_ioa, precision_recall
from detection.types import Category


class OpenImagesEvaluator:
    """Mean AP and AP per category, with the tags of the TF Object Detection API.

    Tags are `OpenImagesV2_Precision/mAP@0.5IOU` and `OpenImagesV2_PerformanceByCategory/AP@0.5IOU/<name>`, or
    `OpenImagesDetectionChallenge_...` for the challenge.

    Args:
        categories: the classes to evaluate.
        iou_threshold: minimum IoU of a true detection.
        challenge: compute the metric of the challenge instead of that of V2.
        unlabelled_is_checked: in the challenge, treat every class as verified in images without image-level labels.
    """

    def __init__(
        self,
        categories: Sequence[Category],
        *,
        iou_threshold: float = 0.5,
        challenge: bool = False,
        unlabelled_is_checked: bool = True,
    ) -> None:
        self._names = dict(sorted(category_names(categories).items()))
        self._iou_threshold = iou_threshold
        self._challenge, self._unlabelled_is_checked = challenge, unlabelled_is_checked
        self.clear()

    def clear(self) -> None:
        """Removes all images."""
        self._objects = dict.fromkeys(self._names, 0)
        # (image, class) -> scores and verdicts
        self._verdicts: dict[int, list[tuple[str, np.ndarray, np.ndarray]]] = {class_: [] for class_ in self._names}

    def add(self, image_id: str, groundtruth: ImageGroundtruth, detections: ImageDetections) -> None:
        """Adds one image; see `Evaluator.add`."""
        groups = np.asarray(groundtruth.group_of, bool) if len(groundtruth.group_of) else _none(groundtruth.classes)
        counted = groundtruth.classes[~groups] if not self._challenge else groundtruth.classes
        for class_, number in zip(*np.unique(counted, return_counts=True), strict=True):
            if int(class_) in self._objects:
                self._objects[int(class_)] += int(number)
        order = detection_rank(detections)
        order = order[np.isin(detections.classes[order], self._evaluated(groundtruth))]
        boxes, scores, classes = (column[order] for column in detections)
        for class_ in np.unique(classes).tolist():
            detected, objects = classes == class_, groundtruth.classes == class_
            verdict = self._verdict(
                boxes[detected],
                scores[detected],
                groundtruth.boxes[objects & ~groups],
                groundtruth.boxes[objects & groups],
            )
            self._verdicts[class_].append((image_id, *verdict))

    def result(self) -> dict[str, float]:
        """Returns tag -> value over all images added."""
        prefix = "OpenImagesDetectionChallenge" if self._challenge else "OpenImagesV2"
        at, by_category = f"@{self._iou_threshold:g}IOU", self._by_category()
        mean = float(np.mean(list(by_category.values()))) if by_category else -1.0
        return {f"{prefix}_Precision/mAP{at}": mean} | {
            f"{prefix}_PerformanceByCategory/AP{at}/{name}": value for name, value in by_category.items()
        }

    def per_category(self) -> list[PerCategory]:
        """Returns AP by category."""
        title = "challenge" if self._challenge else "OID"
        return [PerCategory(f"{title} AP{100 * self._iou_threshold:g}", self._by_category())]

    def _evaluated(self, groundtruth: ImageGroundtruth) -> np.ndarray:
        """Returns the classes to evaluate in this image, int [e]."""
        every = np.array(list(self._names), np.int64)
        if not self._challenge:
            return every
        checked = groundtruth.checked if groundtruth.checked is not None else every[:0]
        if not len(checked) and self._unlabelled_is_checked:
            return every
        return np.intersect1d(every, np.concatenate([checked, groundtruth.classes]))

    def _verdict(
        self, boxes: np.ndarray, scores: np.ndarray, objects: np.ndarray, groups: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns scores and verdicts (true or false) of the detections of one class in one image.

        Args:
            boxes: [d, 4] detections, best score first.
            scores: [d].
            objects: [m, 4], groundtruth without group-of boxes.
            groups: [g, 4], group-of boxes.
        """
        same = np.zeros(len(boxes), np.int64)
        ignored = np.zeros(len(objects), bool)
        true, _ = match(boxes, same, objects, np.zeros(len(objects), np.int64), ignored, self._iou_threshold)
        if not len(groups):
            return scores, true
        within = pairwise_ioa(boxes, groups)
        best = within.argmax(axis=1)
        grouped = ~true & (within[np.arange(len(boxes)), best] >= self._iou_threshold)
        if not self._challenge:
            return scores[~grouped], true[~grouped]
        detected_groups, first = np.unique(best[grouped], return_index=True)  # the first in each, which scores best
        return (
            np.concatenate([scores[~grouped], scores[grouped][first]]),
            np.concatenate([true[~grouped], np.ones(len(detected_groups), bool)]),
        )

    def _by_category(self) -> dict[str, float]:
        return {
            self._names[class_]: self._average_precision(class_, number)
            for class_, number in self._objects.items()
            if number
        }

    def _average_precision(self, class_: int, objects: int) -> float:
        verdicts = sorted(self._verdicts[class_], key=lambda verdict: image_rank(verdict[0]))
        scores = np.concatenate([np.zeros(0), *(scores for _, scores, _ in verdicts)])
        true = np.concatenate([np.zeros(0, bool), *(true for _, _, true in verdicts)])
        return average_precision(*precision_recall(scores, true, objects))


def _none(rows: np.ndarray) -> np.ndarray:
    return np.zeros(len(rows), bool)
