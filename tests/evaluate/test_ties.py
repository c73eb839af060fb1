"""Detections of equal score: metrics do not depend on the order in which images, or detections of one image, come."""

from __future__ import annotations

import numpy as np
import pytest

from detection.evaluate import stored
from detection.evaluate.coco import CocoEvaluator
from detection.evaluate.confusion import ConfusionEvaluator
from detection.evaluate.evaluator import ImageDetections, ImageGroundtruth, detection_rank, image_rank
from detection.evaluate.voc import PascalVocEvaluator
from detection.types import Category

CATEGORIES = (Category(1, "cat"), Category(2, "dog"))
EVALUATORS = {
    "voc": lambda: PascalVocEvaluator(CATEGORIES),
    "weighted voc": lambda: PascalVocEvaluator(CATEGORIES, weighted=True),
    "coco": lambda: CocoEvaluator(CATEGORIES, all_per_category_tags=True, fast=False),
    "confusion": lambda: ConfusionEvaluator(CATEGORIES),
}


def truth(boxes, classes) -> ImageGroundtruth:
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    nothing = np.zeros(len(boxes), bool)
    return ImageGroundtruth(
        boxes, np.asarray(classes, np.int64), nothing, nothing, np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    )


def found(boxes, scores, classes) -> ImageDetections:
    return ImageDetections(
        np.asarray(boxes, np.float64).reshape(-1, 4), np.asarray(scores, np.float64), np.asarray(classes, np.int64)
    )


def images_with_ties(names: list[str]) -> list[tuple[str, ImageGroundtruth, ImageDetections]]:
    """Half of all detections are true; nearly all scores are one of two; several of one image fight for one object."""
    rng = np.random.default_rng(3)
    out = []
    for name in names:
        boxes = np.array([[0, 0, 40, 40], [60, 60, 100, 90]]) + rng.integers(0, 5, (2, 1))
        near = np.repeat(boxes, 2, axis=0) + rng.integers(-8, 9, (4, 4))
        alien = near + 200
        detections = found(np.concatenate([near, alien]), rng.choice([0.5, 0.9], 8), rng.choice([0, 1], 8))
        out.append((name, truth(boxes, rng.choice([0, 1], 2)), detections))
    return out


def result(kind: str, images) -> dict[str, float]:
    evaluator = EVALUATORS[kind]()
    for image in images:
        evaluator.add(*image)
    return evaluator.result()


def shuffled(detections: ImageDetections, seed: int) -> ImageDetections:
    order = np.random.default_rng(seed).permutation(len(detections.scores))
    return ImageDetections(*(field[order] for field in detections))


NAMES = ["10", "9", "007", "7", "a.jpg", "B.jpg", "ä", "", "1" * 5000]


@pytest.mark.parametrize("kind", EVALUATORS)
def test_the_order_of_images_is_no_matter(kind):
    images = images_with_ties(NAMES)
    expected = result(kind, images)
    for seed in range(4):
        assert (
            result(kind, [images[number] for number in np.random.default_rng(seed).permutation(len(images))])
            == expected
        )


@pytest.mark.parametrize("kind", ["voc", "weighted voc", "confusion"])
def test_the_order_of_detections_in_an_image_is_no_matter(kind):
    images = images_with_ties(NAMES)
    expected = result(kind, images)
    for seed in range(4):
        assert (
            result(kind, [(name, objects, shuffled(detections, seed)) for name, objects, detections in images])
            == expected
        )


def test_coco_keeps_the_order_of_detections_in_an_image_as_pycocotools_does():
    """A good and a poor box of one object and one score: at IoU 0.5 both match, and the one listed first takes it, so
    at 0.75 AP tells them apart."""
    objects = truth([[0, 0, 100, 100]], [0])
    good, poor = [0, 0, 100, 100], [0, 0, 100, 60]
    first = result("coco", [("1", objects, found([good, poor], [0.5, 0.5], [0, 0]))])
    second = result("coco", [("1", objects, found([poor, good], [0.5, 0.5], [0, 0]))])
    assert first["DetectionBoxes_Precision/mAP@.75IOU"] == pytest.approx(1.0)
    assert second["DetectionBoxes_Precision/mAP@.75IOU"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("kind", "tag"), [("voc", "PascalBoxes_Precision/mAP@0.5IOU"), ("coco", "DetectionBoxes_Precision/mAP@.50IOU")]
)
def test_by_hand(kind, tag):
    """One true and one false detection of one score: the image whose id comes first is ranked first, 9 before 10,
    numbers before names."""
    objects, nothing = truth([[0, 0, 50, 50]], [0]), truth([], [])
    detection = found([[0, 0, 50, 50]], [0.5], [0])
    for first, second in [("9", "10"), ("10", "a"), ("B", "a"), ("2", "11")]:
        assert result(kind, [(second, nothing, detection), (first, objects, detection)])[tag] == pytest.approx(1.0), (
            "true one first"
        )
        assert result(kind, [(second, objects, detection), (first, nothing, detection)])[tag] == pytest.approx(0.5), (
            "false one first"
        )


def test_ids_are_ranked_by_number_then_by_text():
    assert sorted(["b", "10", "a", "9", "", "007", "7", "²", "B"], key=image_rank) == [
        "007",
        "7",
        "9",
        "10",
        "",
        "B",
        "a",
        "b",
        "²",
    ]


def test_detections_are_ranked_by_score_class_and_box():
    detections = found([[0, 0, 2, 2], [0, 0, 1, 1], [0, 0, 1, 1], [5, 5, 6, 6]], [0.5, 0.5, 0.5, 0.9], [0, 1, 0, 1])
    assert detection_rank(detections).tolist() == [3, 2, 0, 1]
    assert detection_rank(found([], [], [])).tolist() == []


@pytest.mark.parametrize("kind", EVALUATORS)
def test_stored_detections_give_the_same_numbers_in_whatever_order_they_were_stored(kind, tmp_path):
    images = images_with_ties(["10", "9", "b", "a"])
    sizes = {name: (400, 400) for name, _, _ in images}
    inside = [(name, objects, found(np.clip(d.boxes, 0, 400), d.scores, d.classes)) for name, objects, d in images]
    expected = None
    for order in ([0, 1, 2, 3], [3, 1, 0, 2]):
        stored.write(
            tmp_path / "d.npz", stored.collect([(inside[n][0], (400, 400), inside[n][2]) for n in order], CATEGORIES)
        )
        again = stored.read(tmp_path / "d.npz").aligned(sizes)
        numbers = result(kind, [(name, objects, d) for (name, objects, _), d in zip(inside, again, strict=True)])
        expected = expected or numbers
        assert numbers == expected == result(kind, inside)
