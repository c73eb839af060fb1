"""Average precision between two recalls."""

from __future__ import annotations

import numpy as np
import pytest

from detection.evaluate.evaluator import ImageDetections, ImageGroundtruth
from detection.evaluate.precision_at_recall import PrecisionAtRecallEvaluator
from detection.types import Category

CATEGORIES = (Category(1, "cat"),)
# Four objects; found are, best first, three of them with a false one in between: precision 1, 1/2, 2/3, 3/4 at recall
# 1/4, 1/4, 1/2, 3/4.
BOXES = np.array([[0.0, 20 * i, 10, 20 * i + 10] for i in range(5)])
TRUTH = ImageGroundtruth(BOXES[:4], np.zeros(4, int), np.zeros(4, bool), np.zeros(4, bool), np.full(4, 100.0))
FOUND = ImageDetections(BOXES[[0, 4, 1, 2]], np.array([0.9, 0.8, 0.7, 0.6]), np.zeros(4, int))


@pytest.mark.parametrize(
    ("bounds", "tag", "expected"),
    [
        ((0.0, 1.0), "mAP@0.5IOU", 0.25 + 0.5 * 0.75),
        ((0.0, 0.5), "mAP@0.5IOU@[0.0,0.5]Recall", 0.25 + 0.25 * 2 / 3),
        ((0.3, 1.0), "mAP@0.5IOU@[0.3,1.0]Recall", 0.75 * 0.75),
        ((0.8, 1.0), "mAP@0.5IOU@[0.8,1.0]Recall", 0.0),
    ],
)
def test_only_points_within_the_bounds_count(bounds, tag, expected):
    evaluator = PrecisionAtRecallEvaluator(CATEGORIES, bounds=bounds)
    evaluator.add("a", TRUTH, FOUND)
    assert evaluator.result() == {
        f"PrecisionAtRecallBoxes_Precision/{tag}": pytest.approx(expected),
        "PrecisionAtRecallBoxes_PerformanceByCategory/AP@0.5IOU/cat": pytest.approx(expected),
    }
