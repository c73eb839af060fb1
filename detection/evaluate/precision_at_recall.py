"""PASCAL VOC's average precision (`evaluate.voc`) over the part of the curve whose recall lies within bounds.

    AP = area under p(r) = max over r' >= r of precision(r'),   r' within [lower, upper]

As in the TF Object Detection API, points outside the bounds are removed first, so that the area extends from recall 0
to the highest recall within the bounds; it is 0 if there are no points within them.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from detection.evaluate.evaluator import ImageDetections, ImageGroundtruth, PerCategory
from detection.evaluate.voc import PascalVocEvaluator, average_precision
from detection.types import Category


class PrecisionAtRecallEvaluator:
    """Mean AP and AP per category within bounds of the recall.

    Tags are `PrecisionAtRecallBoxes_Precision/mAP@0.5IOU@[0.2,0.8]Recall` (without the bounds if they are 0 and 1) and
    `PrecisionAtRecallBoxes_PerformanceByCategory/AP@0.5IOU/<name>`.

    Args:
        categories: the classes to evaluate.
        bounds: the lowest and the highest recall.
    """

    def __init__(self, categories: Sequence[Category], *, bounds: tuple[float, float] = (0.0, 1.0)) -> None:
        self._voc = PascalVocEvaluator(categories)
        self._bounds = bounds

    def clear(self) -> None:
        """Removes all images."""
        self._voc.clear()

    def add(self, image_id: str, groundtruth: ImageGroundtruth, detections: ImageDetections) -> None:
        """Adds one image; see `Evaluator.add`."""
        self._voc.add(image_id, groundtruth, detections)

    def result(self) -> dict[str, float]:
        """Returns tag -> value over all images added."""
        low, high = self._bounds
        part = f"@[{low:.1f},{high:.1f}]Recall" if low > 0 or high < 1 else ""
        by_category = self._by_category()
        mean = float(np.mean(list(by_category.values()))) if by_category else -1.0
        return {f"PrecisionAtRecallBoxes_Precision/mAP@0.5IOU{part}": mean} | {
            f"PrecisionAtRecallBoxes_PerformanceByCategory/AP@0.5IOU/{name}": value
            for name, value in by_category.items()
        }

    def per_category(self) -> list[PerCategory]:
        """Returns AP within the bounds by category."""
        low, high = self._bounds
        return [PerCategory(f"AP50 at recall {low:g} to {high:g}", self._by_category())]

    def _by_category(self) -> dict[str, float]:
        return self._voc.by_category(functools.partial(_within, *self._bounds))


def _within(low: float, high: float, precision: np.ndarray, recall: np.ndarray) -> float:
    kept = (recall >= low) & (recall <= high)
    return average_precision(precision[kept], recall[kept])
