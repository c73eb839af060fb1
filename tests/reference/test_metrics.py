"""PASCAL VOC's and COCO's metrics against the values in the TF Object Detection API's own unit tests of them."""

from __future__ import annotations

import numpy as np
import pytest

from detection.evaluate.coco import CocoEvaluator
from detection.evaluate.evaluator import ImageDetections, ImageGroundtruth
from detection.evaluate.voc import PascalVocEvaluator, average_precision, match, precision_recall
from detection.types import Category

CATEGORIES = (Category(1, "cat"), Category(2, "dog"), Category(3, "elephant"))


def truth(boxes, labels, difficult=(), crowd=()) -> ImageGroundtruth:
    boxes = np.array(boxes, float).reshape(-1, 4)
    flags = [np.array([number in chosen for number in range(len(boxes))], bool) for chosen in (crowd, difficult)]
    return ImageGroundtruth(boxes, np.array(labels, int) - 1, *flags, np.prod(boxes[:, 2:] - boxes[:, :2], axis=1))


def found(boxes, scores, labels) -> ImageDetections:
    return ImageDetections(np.array(boxes, float).reshape(-1, 4), np.array(scores, float), np.array(labels, int) - 1)


NOTHING = found([], [], [])
FIRST = ("img1", truth([[0, 0, 1, 1], [0, 0, 2, 2], [0, 0, 3, 3]], [1, 3, 1]), NOTHING)
THIRD = ("img3", truth([[0, 0, 1, 1]], [2]), NOTHING)
SECOND_BOXES = [[10, 10, 11, 11], [500, 500, 510, 510], [10, 10, 12, 12]]
DETECTED = found([[10, 10, 11, 11], [100, 100, 120, 120], [100, 100, 220, 220]], [0.7, 0.8, 0.9], [1, 1, 3])


def measured(evaluator, images) -> dict[str, float]:
    for image in images:
        evaluator.add(*image)
    return evaluator.result()


# difficult objects of the second image -> (AP of cats, mean AP, mean AP weighted by objects)
VOC = {(1,): (1 / 6, 1 / 18, 1 / 18), (): (1 / 8, 1 / 24, 1 / 21)}


@pytest.mark.parametrize("difficult", VOC)
def test_pascal_voc(difficult):
    """Cats ranked: false, true, of three (four) objects. Pooled: false, false, true of six (seven)."""
    images = [FIRST, ("img2", truth(SECOND_BOXES, [1, 1, 3], difficult), DETECTED), THIRD]
    cats, mean, pooled = VOC[difficult]
    result = measured(PascalVocEvaluator(CATEGORIES), images)
    by_category = {
        name: result[f"PascalBoxes_PerformanceByCategory/AP@0.5IOU/{name}"] for name in ("cat", "dog", "elephant")
    }
    assert by_category == pytest.approx({"cat": cats, "dog": 0.0, "elephant": 0.0})
    assert result["PascalBoxes_Precision/mAP@0.5IOU"] == pytest.approx(mean)
    weighted = measured(PascalVocEvaluator(CATEGORIES, weighted=True), images)
    assert weighted["WeightedPascalBoxes_Precision/mAP@0.5IOU"] == pytest.approx(pooled)
    assert weighted["WeightedPascalBoxes_PerformanceByCategory/AP@0.5IOU/cat"] == pytest.approx(cats)


THREE = [[0, 0, 2, 2], [0, 0, 1, 1], [0, 0, 3, 3]]  # of scores 0.8, 0.6, 0.5
# name -> (ignored objects of two, verdicts, which are kept)
VERDICTS = {
    "the large one": ([False, True], [False, True, False], [0, 1, 2]),
    "the small one": ([True, False], [False, False], [0, 2]),
}


@pytest.mark.parametrize("name", VERDICTS)
def test_difficult_objects_take_detections_out(name):
    ignored, verdicts, kept_rows = VERDICTS[name]
    same = np.zeros(3, int), np.zeros(2, int)
    true, kept = match(
        np.array(THREE, float),
        same[0],
        np.array([[0, 0, 1, 1], [0, 0, 10, 10]], float),
        same[1],
        np.array(ignored),
        0.5,
    )
    assert np.flatnonzero(kept).tolist() == kept_rows and true[kept].tolist() == verdicts


def test_a_group_is_an_object_to_be_ignored_by_its_overlap():
    """A deviation, of data sets that know groups (Open Images; "crowd" in this project). The reference takes out each
    detection of which at least half lies in a group: of three boxes 1, 2 and 3 high in a group of 5 x 5, beside an
    object of 1 x 1, it leaves the object's. Here, as in VOC's rule for difficult objects, overlap is IoU: the two
    others cover too little of the group, and are false detections."""
    boxes = np.array([[0, 0, 1, 1], [0, 0, 2, 1], [0, 0, 3, 1]], float)
    objects = np.array([[0, 0, 1, 1], [0, 0, 5, 5]], float)
    true, kept = match(boxes, np.zeros(3, int), objects, np.zeros(2, int), np.array([False, True]), 0.5)
    assert kept.tolist() == [True, True, True] and true.tolist() == [True, False, False]


def test_precision_and_recall():
    """True detections rank 2nd, 4th and 6th of 6; ten objects."""
    scores, true = np.array([0.4, 0.3, 0.6, 0.2, 0.7, 0.1]), np.array([0, 1, 1, 0, 0, 1], bool)
    precision, recall = precision_recall(scores, true, 10)
    hits = np.array([0, 1, 1, 2, 2, 3])
    np.testing.assert_allclose(precision, hits / np.arange(1, 7))
    np.testing.assert_allclose(recall, hits / 10)


def test_average_precision():
    precision = np.array([0.8, 0.76, 0.9, 0.65, 0.7, 0.5, 0.55, 0])
    recall = np.array([0.3, 0.3, 0.4, 0.4, 0.45, 0.45, 0.5, 0.5])
    assert average_precision(precision, recall) == pytest.approx(0.3 * 0.9 + 0.1 * 0.9 + 0.05 * 0.7 + 0.05 * 0.55)


@pytest.mark.parametrize("evaluator", [PascalVocEvaluator, CocoEvaluator])
def test_nothing_to_find(evaluator):
    """The reference answers NaN (VOC) or -1 (COCO); here it is -1, so that every result can be written as JSON."""
    result = measured(evaluator(CATEGORIES), [("img1", truth([], []), found([[0, 0, 1, 1]], [0.5], [1]))])
    assert set(result.values()) == {-1.0}


SIDES = {"image1": [100, 100, 200, 200], "image2": [50, 50, 100, 100], "image3": [25, 25, 50, 50]}
ABSENT = {"DetectionBoxes_Precision/mAP (medium)", "DetectionBoxes_Recall/AR@100 (medium)"}


@pytest.mark.parametrize("labels", [(1, 1, 1), (1, 3, 2)], ids=["one category", "three categories"])
def test_coco_of_perfect_detections(labels):
    """Boxes of 100², 50² and 25² pixels: large, medium and small."""
    images = [
        (id_, truth([box], [label]), found([box], [0.8], [label]))
        for (id_, box), label in zip(SIDES.items(), labels, strict=True)
    ]
    result = measured(CocoEvaluator(CATEGORIES, fast=False), images)
    assert result == pytest.approx(dict.fromkeys(result, 1.0))
    without_medium = measured(CocoEvaluator(CATEGORIES, fast=False), images[::2])
    assert {tag for tag, value in without_medium.items() if value == -1.0} == ABSENT


def test_coco_skips_crowds():
    image = (
        "image1",
        truth([[100, 100, 200, 200], [99, 99, 200, 200]], [1, 2], crowd=[1]),
        found([[100, 100, 200, 200]], [0.8], [1]),
    )
    assert measured(CocoEvaluator(CATEGORIES, fast=False), [image])["DetectionBoxes_Precision/mAP"] == pytest.approx(
        1.0
    )
