"""Average precision as defined by PASCAL VOC (Everingham et al., 2010, section 4.2).

    Detections, best score first, are assigned to the object of their class that they overlap most. A detection is true
    if that IoU is at least 0.5 and the object has no detection yet, ignored if the object is difficult, otherwise
    false.
    AP (from VOC 2010)  = area under p(r) = max over r' >= r of precision(r'),      at every recall reached
    AP (VOC 2007)       = mean of p(r) at r = 0, 0.1, ..., 1

Each image is matched when it is added, all classes at once; only the score and verdict of each detection are stored.
Crowd regions, which VOC does not have, are treated as difficult. Unlike in COCO, a detection whose best object already
has a detection is false even if it overlaps a second object.

VOC does not define the order of detections with equal scores, on which AP depends. Here they are ranked by image id
(`evaluator.image_rank`), then by class, then by box (`evaluator.detection_rank`), so that neither the order of images
nor that of detections matters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from detection.evaluate.evaluator import (
    ImageDetections,
    ImageGroundtruth,
    PerCategory,
    category_names,
    detection_rank,
    image_rank,
)
from detection.types import Category

_ELEVEN = np.linspace(0.0, 1.0, 11)


class PascalVocEvaluator:
    """Mean AP and AP per category, both as area under the curve and by the eleven points of VOC 2007.

    Tags, for an IoU threshold of 0.5, are `PascalBoxes_Precision/mAP@0.5IOU` and
    `PascalBoxes_PerformanceByCategory/AP@0.5IOU/<name>`; those of eleven points have ` (11 points)` after `IOU`.

    Args:
        categories: the classes to evaluate.
        iou_threshold: minimum IoU of a true detection.
        weighted: compute the mean AP from the pooled detections of all classes, which weights a category by its number
            of objects; tags then start with `WeightedPascalBoxes`.
    """

    def __init__(self, categories: Sequence[Category], *, iou_threshold: float = 0.5, weighted: bool = False) -> None:
        self._names = dict(sorted(category_names(categories).items()))
        self._iou_threshold = iou_threshold
        self._weighted = weighted
        self.clear()

    def clear(self) -> None:
        """Removes all images."""
        self._ids: list[str] = []
        self._scores: list[np.ndarray] = []
        self._classes: list[np.ndarray] = []
        self._true: list[np.ndarray] = []
        self._objects = dict.fromkeys(self._names, 0)

    def add(self, image_id: str, groundtruth: ImageGroundtruth, detections: ImageDetections) -> None:
        """Adds one image; see `Evaluator.add`."""
        counted = ~(groundtruth.difficult | groundtruth.is_crowd)
        for class_, number in zip(*np.unique(groundtruth.classes[counted], return_counts=True), strict=True):
            if int(class_) in self._objects:
                self._objects[int(class_)] += int(number)
        order = detection_rank(detections)
        order = order[np.isin(detections.classes[order], list(self._names))]
        boxes, scores, classes = (column[order] for column in detections)
        true, kept = match(boxes, classes, groundtruth.boxes, groundtruth.classes, ~counted, self._iou_threshold)
        self._ids.append(image_id)
        self._scores.append(scores[kept])
        self._classes.append(classes[kept])
        self._true.append(true[kept])

    def result(self) -> dict[str, float]:
        """Returns tag -> value over all images added."""
        prefix, at = "WeightedPascalBoxes" if self._weighted else "PascalBoxes", f"@{self._iou_threshold:g}IOU"
        tags = {}
        for suffix, measure in (("", average_precision), (" (11 points)", eleven_point_precision)):
            by_category = self.by_category(measure)
            if self._weighted:
                mean = self._measure(measure, None, sum(self._objects.values()))
            else:
                mean = float(np.mean(list(by_category.values()))) if by_category else -1.0
            tags[f"{prefix}_Precision/mAP{at}{suffix}"] = mean
            tags |= {
                f"{prefix}_PerformanceByCategory/AP{at}{suffix}/{name}": value for name, value in by_category.items()
            }
        return tags

    def per_category(self) -> list[PerCategory]:
        """Returns AP by category."""
        return [PerCategory(f"VOC AP{100 * self._iou_threshold:g}", self.by_category(average_precision))]

    def by_category(self, measure: Callable[[np.ndarray, np.ndarray], float]) -> dict[str, float]:
        """Returns `measure(precision [d], recall [d])` of each category that has objects, by name."""
        return {
            self._names[class_]: self._measure(measure, class_, number)
            for class_, number in self._objects.items()
            if number
        }

    def _measure(self, measure, class_: int | None, objects: int) -> float:
        """Returns `measure` for one class, or for all classes pooled (None); -1 without objects."""
        if not objects:
            return -1.0
        by_id = sorted(range(len(self._ids)), key=lambda number: image_rank(self._ids[number]))
        scores, classes, true = (
            np.concatenate([parts[number] for number in by_id]) for parts in (self._scores, self._classes, self._true)
        )
        if class_ is not None:
            scores, true = scores[classes == class_], true[classes == class_]
        return measure(*precision_recall(scores, true, objects))


def match(
    boxes: np.ndarray,
    classes: np.ndarray,
    objects: np.ndarray,
    object_classes: np.ndarray,
    ignored: np.ndarray,
    iou_threshold: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Matches the detections of one image with its objects.

    Args:
        boxes: [d, 4] detections, best score first.
        classes: [d], of the detections.
        objects: [m, 4] groundtruth.
        object_classes: [m].
        ignored: bool [m], objects whose detections are ignored.
        iou_threshold: minimum IoU of a match.

    Returns:
        true: bool [d], whether a detection is the first one of its object.
        kept: bool [d], false for detections of ignored objects.
    """
    if not len(boxes) or not len(objects):
        return np.zeros(len(boxes), bool), np.ones(len(boxes), bool)
    overlaps = np.where(classes[:, None] == object_classes[None, :], pairwise_iou(boxes, objects), -1.0)
    best = overlaps.argmax(axis=1)
    matched = overlaps[np.arange(len(boxes)), best] >= iou_threshold
    on_ignored = matched & ignored[best]
    candidates = np.flatnonzero(matched & ~on_ignored)
    _, first = np.unique(best[candidates], return_index=True)  # The best-scoring detection of each object.
    true = np.zeros(len(boxes), bool)
    true[candidates[first]] = True
    return true, ~on_ignored


def pairwise_iou(boxes1: np.ndarray, boxes2: np.ndarray) -> np.ndarray:
    """Returns the IoU [m, n] of boxes [m, 4] and [n, 4]; 0 if both are empty."""
    intersection, areas1, areas2 = _areas(boxes1, boxes2)
    union = areas1 + areas2 - intersection
    return intersection / np.where(union > 0, union, 1.0)


def pairwise_ioa(boxes1: np.ndarray, boxes2: np.ndarray) -> np.ndarray:
    """Returns the intersection divided by the area of the first box, [m, n]; 0 if the first box is empty."""
    intersection, areas1, _ = _areas(boxes1, boxes2)
    return intersection / np.where(areas1 > 0, areas1, 1.0)


def _areas(boxes1: np.ndarray, boxes2: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns areas of the intersections [m, n], of the first boxes [m, 1] and of the second boxes [1, n]."""
    boxes1, boxes2 = np.asarray(boxes1, np.float64)[:, None], np.asarray(boxes2, np.float64)[None]
    sides = np.minimum(boxes1[..., 2:], boxes2[..., 2:]) - np.maximum(boxes1[..., :2], boxes2[..., :2])
    areas1, areas2 = (np.prod(boxes[..., 2:] - boxes[..., :2], axis=-1) for boxes in (boxes1, boxes2))
    return np.prod(np.maximum(sides, 0.0), axis=-1), areas1, areas2


def precision_recall(scores: np.ndarray, true: np.ndarray, objects: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns precision [d] and recall [d] for the best 1, 2, ..., d detections.

    Args:
        scores: [d]; equal scores keep their order.
        true: bool [d].
        objects: number of objects, above 0.
    """
    true = true[np.argsort(-scores, kind="stable")]
    hits = np.cumsum(true)
    return hits / np.arange(1, len(true) + 1), hits / objects


def average_precision(precision: np.ndarray, recall: np.ndarray) -> float:
    """Returns the area under the monotonically decreasing envelope of the precision (VOC 2010 and later)."""
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * envelope))


def eleven_point_precision(precision: np.ndarray, recall: np.ndarray) -> float:
    """Returns the mean over recall 0, 0.1, ..., 1 of the best precision at that recall or higher (VOC 2007)."""
    return float(np.mean([np.max(precision[recall > point - 1e-9], initial=0.0) for point in _ELEVEN]))
