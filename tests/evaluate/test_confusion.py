"""Precision, recall, F1 and the matrix behind them."""

from __future__ import annotations

import numpy as np
import pytest

from detection.evaluate.confusion import ConfusionEvaluator, pair
from detection.evaluate.evaluator import ImageDetections, ImageGroundtruth
from detection.types import Category

CATEGORIES = (Category(1, "cat"), Category(3, "dog"))


def truth(boxes, classes, difficult=None) -> ImageGroundtruth:
    boxes = np.asarray(boxes, float).reshape(-1, 4)
    difficult = np.zeros(len(boxes), bool) if difficult is None else np.asarray(difficult)
    return ImageGroundtruth(boxes, np.asarray(classes), np.zeros(len(boxes), bool), difficult, np.ones(len(boxes)))


def found(boxes, scores, classes) -> ImageDetections:
    return ImageDetections(np.asarray(boxes, float).reshape(-1, 4), np.asarray(scores, float), np.asarray(classes))


def cell(k: int) -> list[int]:
    return [100 * k, 0, 100 * k + 50, 50]


def test_by_hand():
    # Cats at 0, 1, 2, a dog at 3. Found: cat 0; dog on cat 1; nothing on 2; dog 3; a cat at 9, where nothing is; an
    # unsure cat on 2.
    evaluator = ConfusionEvaluator(CATEGORIES)
    objects = truth([cell(0), cell(1), cell(2), cell(3)], [0, 0, 0, 2])
    evaluator.add(
        "a", objects, found([cell(0), cell(1), cell(3), cell(9), cell(2)], [0.9, 0.8, 0.7, 0.6, 0.4], [0, 2, 2, 0, 0])
    )
    assert evaluator.names == ["cat", "dog"]
    np.testing.assert_array_equal(evaluator.matrix, [[1, 1, 1], [0, 1, 0], [1, 0, 0]])
    result = evaluator.result()
    assert result["DetectionBoxes_At50/Precision"] == pytest.approx(2 / 4)
    assert result["DetectionBoxes_At50/Recall"] == pytest.approx(2 / 4)
    assert result["DetectionBoxes_At50/F1"] == pytest.approx(4 / 8)
    assert result["DetectionBoxes_At50ByCategory/Precision/cat"] == pytest.approx(1 / 2)
    assert result["DetectionBoxes_At50ByCategory/Recall/cat"] == pytest.approx(1 / 3)
    assert result["DetectionBoxes_At50ByCategory/Precision/dog"] == pytest.approx(1 / 2)
    assert result["DetectionBoxes_At50ByCategory/Recall/dog"] == pytest.approx(1.0)


def test_threshold_is_in_the_tag_and_included():
    evaluator = ConfusionEvaluator(CATEGORIES, score_threshold=0.25)
    evaluator.add("a", truth([cell(0)], [0]), found([cell(0)], [0.25], [0]))
    assert evaluator.result()["DetectionBoxes_At25/F1"] == 1.0


def test_difficult_objects_excuse_detections():
    evaluator = ConfusionEvaluator(CATEGORIES)
    evaluator.add(
        "a",
        truth([cell(0), cell(1)], [0, 0], [False, True]),
        found([cell(0), cell(1), cell(1)], [0.9, 0.8, 0.7], [0, 0, 2]),
    )
    np.testing.assert_array_equal(evaluator.matrix, [[1, 0, 0], [0, 0, 0], [0, 0, 0]])


def test_pairs_are_one_to_one_with_the_largest_overlap_first():
    overlaps = np.array([[0.6, 0.9], [0.55, 0.95], [0.7, 0.2], [0.1, 0.3]])
    np.testing.assert_array_equal(pair(overlaps, 0.5), [-1, 1, 0, -1])
    assert pair(np.zeros((2, 0)), 0.5).tolist() == [-1, -1]


def test_classes_outside_the_categories_are_left_out():
    evaluator = ConfusionEvaluator(CATEGORIES)
    evaluator.add("a", truth([cell(0)], [1]), found([cell(0)], [0.9], [7]))
    assert evaluator.matrix.sum() == 0
