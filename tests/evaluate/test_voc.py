"""PASCAL VOC average precision: by hand, against a slow loop written from the definition, and against pycocotools."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from detection.evaluate.evaluator import ImageDetections, ImageGroundtruth
from detection.evaluate.voc import (
    PascalVocEvaluator,
    average_precision,
    eleven_point_precision,
    pairwise_iou,
    precision_recall,
)
from detection.types import Category

CATEGORIES = (Category(1, "cat"), Category(2, "dog"), Category(4, "owl"))
MEAN = "PascalBoxes_Precision/mAP@0.5IOU"
ELEVEN = "PascalBoxes_Precision/mAP@0.5IOU (11 points)"


def truth(boxes, classes, difficult=None) -> ImageGroundtruth:
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    difficult = np.zeros(len(boxes), bool) if difficult is None else np.asarray(difficult)
    return ImageGroundtruth(
        boxes, np.asarray(classes, np.int32), np.zeros(len(boxes), bool), difficult, np.ones(len(boxes), np.float32)
    )


def found(boxes, scores, classes) -> ImageDetections:
    return ImageDetections(
        np.asarray(boxes, np.float32).reshape(-1, 4), np.asarray(scores, np.float32), np.asarray(classes, np.int32)
    )


def random_images(seed: int, images: int, apart: bool) -> list[tuple[str, ImageGroundtruth, ImageDetections]]:
    """Objects in a grid of cells (`apart`: no detection can touch two), or anywhere; detections shifted, doubled and
    invented."""
    rng = np.random.default_rng(seed)
    out = []
    for number in range(images):
        count = int(rng.integers(0, 8))
        cells = rng.permutation(16)[:count]
        centres = np.stack([cells // 4, cells % 4], axis=1) * 100 + 50 if apart else rng.uniform(0, 120, (count, 2))
        sides = rng.uniform(20, 50, (count, 2))
        boxes = np.concatenate([centres - sides / 2, centres + sides / 2], axis=1)
        classes = rng.choice([0, 1, 3], count)
        copies = rng.integers(0, 3, count)
        shifted = np.repeat(boxes, copies, axis=0) + rng.normal(0, 3, (copies.sum(), 4))
        labels = np.where(rng.random(copies.sum()) < 0.15, 1, np.repeat(classes, copies))
        scores = (
            rng.permutation(1000)[: copies.sum()] / 1000 + number / 1e6
        )  # all different: ties have no defined order
        difficult = np.zeros(count, bool) if apart else rng.random(count) < 0.2
        out.append((str(number), truth(boxes, classes, difficult), found(shifted, scores, labels)))
    return out


def evaluate(images, **options) -> dict[str, float]:
    evaluator = PascalVocEvaluator(CATEGORIES, **options)
    for image in images:
        evaluator.add(*image)
    return evaluator.result()


def slow_average_precision(images, class_: int, threshold: float) -> tuple[float, float] | None:
    """The definition, one detection after the other: (area, eleven points)."""
    total = sum(int(np.sum((g.classes == class_) & ~g.difficult)) for _, g, _ in images)
    if not total:
        return None
    ranked = sorted(
        ((float(d.scores[i]), n, i) for n, (_, _, d) in enumerate(images) for i in np.flatnonzero(d.classes == class_)),
        reverse=True,
    )
    taken: set[tuple[int, int]] = set()
    hits = misses = 0
    curve = []
    for _, n, i in ranked:
        _, g, d = images[n]
        best, best_iou = -1, 0.0
        for j in np.flatnonzero(g.classes == class_):
            a, b = d.boxes[i].astype(float), g.boxes[j].astype(float)
            h, w = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
            shared = max(h, 0) * max(w, 0)
            iou = shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)
            if iou > best_iou:
                best, best_iou = j, iou
        if best >= 0 and best_iou >= threshold:
            if g.difficult[best]:
                continue
            if (n, best) in taken:
                misses += 1
            else:
                taken.add((n, best))
                hits += 1
        else:
            misses += 1
        curve.append((hits / total, hits / (hits + misses)))
    area, last = 0.0, 0.0
    for recall, _ in curve:
        area += (recall - last) * max(p for r, p in curve if r >= recall)
        last = recall
    points = [max((p for r, p in curve if r >= k / 10 - 1e-9), default=0.0) for k in range(11)]
    return area, sum(points) / 11


@pytest.mark.parametrize("threshold", [0.5, 0.7])
@pytest.mark.parametrize("seed", range(4))
def test_equals_the_slow_loop(seed, threshold):
    images = random_images(seed, 25, apart=False)
    result = evaluate(images, iou_threshold=threshold)
    slow = {category.name: slow_average_precision(images, category.id - 1, threshold) for category in CATEGORIES}
    for name, (area, points) in slow.items():
        assert result[f"PascalBoxes_PerformanceByCategory/AP@{threshold}IOU/{name}"] == pytest.approx(area, abs=1e-12)
        assert result[f"PascalBoxes_PerformanceByCategory/AP@{threshold}IOU (11 points)/{name}"] == pytest.approx(
            points, abs=1e-12
        )
    assert result[f"PascalBoxes_Precision/mAP@{threshold}IOU"] == pytest.approx(
        np.mean([area for area, _ in slow.values()])
    )


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_pycocotools_at_half_overlap(seed):
    """Where no detection overlaps two objects both definitions match alike. What is left is how they integrate: COCO
    samples the same monotone curve at 101 recalls. Sampled there, ours is equal to the last digits; the area itself
    differs by at most the curve's total fall, at most 1, times one sampling step, 0.01."""
    images = random_images(seed, 60, apart=True)
    result = evaluate(images)
    objects = [
        {"id": 0, "image_id": int(n) + 1, "category_id": int(c) + 1, "bbox": xywh(b), "area": 1.0, "iscrowd": 0}
        for n, g, _ in images
        for b, c in zip(g.boxes, g.classes, strict=True)
    ]
    results = [
        {
            "id": 0,
            "image_id": int(n) + 1,
            "category_id": int(c) + 1,
            "bbox": xywh(b),
            "area": 1.0,
            "iscrowd": 0,
            "score": float(s),
        }
        for n, _, d in images
        for b, s, c in zip(d.boxes, d.scores, d.classes, strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        sides = []
        for items in (objects, results):
            coco = COCO()
            coco.dataset = {
                "images": [{"id": n + 1} for n in range(len(images))],
                "categories": [{"id": c.id} for c in CATEGORIES],
                "annotations": [{**item, "id": number} for number, item in enumerate(items, start=1)],
            }
            coco.createIndex()
            sides.append(coco)
        evaluation = COCOeval(*sides, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    for column, category in enumerate(CATEGORIES):
        sampled = evaluation.eval["precision"][0, :, column, 0, 2]
        area = result[f"PascalBoxes_PerformanceByCategory/AP@0.5IOU/{category.name}"]
        assert area == pytest.approx(sampled.mean(), abs=0.011)
        ours = curve_at(images, category.id - 1, evaluation.params.recThrs)
        np.testing.assert_allclose(ours, sampled, atol=1e-12)


def xywh(box) -> list[float]:
    return [float(box[1]), float(box[0]), float(box[3]) - float(box[1]), float(box[2]) - float(box[0])]


def curve_at(images, class_: int, recalls: np.ndarray) -> np.ndarray:
    """Our monotone precision at the given recalls."""
    evaluator = PascalVocEvaluator(CATEGORIES)
    for image in images:
        evaluator.add(*image)
    own = np.concatenate(evaluator._classes) == class_
    objects = sum(int(np.sum(g.classes == class_)) for _, g, _ in images)
    precision, recall = precision_recall(
        np.concatenate(evaluator._scores)[own], np.concatenate(evaluator._true)[own], objects
    )
    return np.array([np.max(precision[recall >= r], initial=0.0) for r in recalls])


def test_by_hand():
    # Ranked: true, false, true of 3 objects: precision 1, 1/2, 2/3 at recall 1/3, 1/3, 2/3.
    images = [
        (
            "a",
            truth([[0, 0, 10, 10], [20, 20, 30, 30]], [0, 0]),
            found([[0, 0, 10, 10], [50, 50, 60, 60]], [0.9, 0.8], [0, 0]),
        ),
        ("b", truth([[0, 0, 10, 10]], [0]), found([[0, 0, 10, 11]], [0.7], [0])),
    ]
    result = evaluate(images)
    assert result[MEAN] == pytest.approx(1 / 3 + (1 / 3) * (2 / 3))
    assert result[ELEVEN] == pytest.approx((4 * 1 + 3 * 2 / 3) / 11)  # recall 0 to 0.3; 0.4 to 0.6
    assert result["PascalBoxes_PerformanceByCategory/AP@0.5IOU/cat"] == result[MEAN]
    assert not any("dog" in tag for tag in result)


def test_a_second_detection_of_an_object_is_false():
    objects = truth([[0, 0, 10, 10], [50, 50, 60, 60]], [0, 0])
    detections = found([[0, 0, 10, 10], [0, 0, 10, 10], [50, 50, 60, 60]], [0.9, 0.8, 0.7], [0, 0, 0])
    assert evaluate([("a", objects, detections)])[MEAN] == pytest.approx(0.5 + 0.5 * 2 / 3)


def test_difficult_objects_count_neither_way():
    objects = truth([[0, 0, 10, 10], [50, 50, 60, 60]], [0, 0], difficult=[False, True])
    twice_on_difficult = found([[50, 50, 60, 60], [50, 50, 60, 61], [0, 0, 10, 10]], [0.9, 0.8, 0.7], [0, 0, 0])
    assert evaluate([("a", objects, twice_on_difficult)])[MEAN] == pytest.approx(1.0)
    crowd = objects._replace(is_crowd=objects.difficult, difficult=objects.is_crowd)
    assert evaluate([("a", crowd, twice_on_difficult)])[MEAN] == pytest.approx(1.0)


def test_only_difficult_objects_is_nothing_to_find():
    images = [("a", truth([[0, 0, 10, 10]], [0], difficult=[True]), found([[0, 0, 10, 10]], [0.9], [0]))]
    result = evaluate(images)
    assert result == {MEAN: -1.0, ELEVEN: -1.0}


def test_exactly_the_threshold_is_a_match_and_classes_do_not_mix():
    half = found([[0, 0, 10, 5]], [0.9], [0])
    assert evaluate([("a", truth([[0, 0, 10, 10]], [0]), half)])[MEAN] == pytest.approx(1.0)
    assert evaluate([("a", truth([[0, 0, 10, 10]], [1]), half)])[MEAN] == 0.0


def test_weighted_pools_all_classes():
    objects = truth([[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10], [60, 0, 70, 10]], [0, 0, 0, 1])
    images = [("a", objects, found([[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]], [0.9, 0.8, 0.7], [0, 0, 0]))]
    assert evaluate(images)[MEAN] == pytest.approx(0.5)  # cat 1, dog 0
    weighted = evaluate(images, weighted=True)
    assert weighted["WeightedPascalBoxes_Precision/mAP@0.5IOU"] == pytest.approx(0.75)  # 3 of 4 objects
    assert weighted["WeightedPascalBoxes_PerformanceByCategory/AP@0.5IOU/dog"] == 0.0


def test_nothing_found_nothing_there_and_unknown_classes():
    assert evaluate([]) == {MEAN: -1.0, ELEVEN: -1.0}
    assert evaluate([("a", truth([], []), found([], [], []))])[MEAN] == -1.0
    assert evaluate([("a", truth([[0, 0, 10, 10]], [0]), found([], [], []))])[MEAN] == 0.0
    unknown = [
        ("a", truth([[0, 0, 10, 10], [0, 0, 5, 5]], [0, 2]), found([[0, 0, 10, 10], [0, 0, 5, 5]], [0.5, 0.9], [0, 2]))
    ]
    assert evaluate(unknown)[MEAN] == 1.0
    assert evaluate(unknown, weighted=True)["WeightedPascalBoxes_Precision/mAP@0.5IOU"] == 1.0


def test_iou():
    iou = pairwise_iou([[0, 0, 10, 10], [5, 5, 5, 5]], [[0, 0, 10, 10], [0, 5, 10, 15], [20, 20, 30, 30], [5, 5, 5, 5]])
    np.testing.assert_allclose(iou, [[1, 1 / 3, 0, 0], [0, 0, 0, 0]])


def test_measures_of_an_empty_curve_are_zero():
    assert average_precision(np.zeros(0), np.zeros(0)) == 0.0
    assert eleven_point_precision(np.zeros(0), np.zeros(0)) == 0.0
