"""COCO metrics: against the values pycocotools itself sums up, cases by hand, and the odd inputs."""

from __future__ import annotations

import contextlib
import importlib.util
import io

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from detection.evaluate.coco import CocoEvaluator
from detection.evaluate.evaluator import ImageDetections, ImageGroundtruth
from detection.types import Category

CATEGORIES = (Category(1, "cat"), Category(2, "dog"), Category(5, "owl"), Category(9, "yak"))
STANDARD = [
    f"DetectionBoxes_Precision/{tag}"
    for tag in ("mAP", "mAP@.50IOU", "mAP@.75IOU", "mAP (small)", "mAP (medium)", "mAP (large)")
]
STANDARD += [
    f"DetectionBoxes_Recall/{tag}"
    for tag in ("AR@1", "AR@10", "AR@100", "AR@100 (small)", "AR@100 (medium)", "AR@100 (large)")
]


def truth(boxes, classes, crowd=None, areas=None) -> ImageGroundtruth:
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    sides = boxes[:, 2:] - boxes[:, :2]
    crowd = np.zeros(len(boxes), bool) if crowd is None else np.asarray(crowd)
    areas = sides.prod(axis=1) if areas is None else np.asarray(areas, np.float32)
    return ImageGroundtruth(boxes, np.asarray(classes, np.int32), crowd, np.zeros(len(boxes), bool), areas)


def found(boxes, scores, classes) -> ImageDetections:
    return ImageDetections(
        np.asarray(boxes, np.float32).reshape(-1, 4), np.asarray(scores, np.float32), np.asarray(classes, np.int32)
    )


def random_images(seed: int, images: int) -> list[tuple[str, ImageGroundtruth, ImageDetections]]:
    """Objects of all sizes, some crowds, jittered, doubled, missed and invented detections, many equal scores."""
    rng = np.random.default_rng(seed)
    out = []
    for number in range(images):
        count = rng.integers(0, 9)
        start, sides = rng.uniform(0, 300, (count, 2)), np.exp(rng.uniform(np.log(4), np.log(250), (count, 2)))
        boxes, classes = np.concatenate([start, start + sides], axis=1), rng.choice([0, 1, 4], count)
        areas = sides.prod(axis=1) * 0.8
        copies = rng.integers(0, 4, count)
        jittered = np.repeat(boxes, copies, axis=0) + rng.normal(0, 6, (copies.sum(), 4))
        jittered[:, 2:] = np.maximum(jittered[:, 2:], jittered[:, :2] + 1)
        labels = np.where(rng.random(copies.sum()) < 0.1, 8, np.repeat(classes, copies))
        crowd, scores = rng.random(count) < 0.1, rng.random(copies.sum()).round(1)
        out.append((str(number + 1), truth(boxes, classes, crowd, areas), found(jittered, scores, labels)))
    return out


def reference(images) -> tuple[np.ndarray, COCOeval]:
    """What pycocotools prints for these images when it is fed the way its own examples do."""

    def xywh(box):
        return [float(box[1]), float(box[0]), float(box[3]) - float(box[1]), float(box[2]) - float(box[0])]

    objects, results = [], []
    for id_, groundtruth, detections in images:
        for box, class_, crowd, _, area in zip(*groundtruth[:5], strict=True):
            item = {
                "image_id": int(id_),
                "category_id": int(class_) + 1,
                "bbox": xywh(box),
                "area": float(area),
                "iscrowd": int(crowd),
            }
            objects.append({**item, "id": len(objects) + 1})
        for box, score, class_ in zip(*detections, strict=True):
            results.append(
                {"image_id": int(id_), "category_id": int(class_) + 1, "bbox": xywh(box), "score": float(score)}
            )
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "info": {},
            "images": [{"id": int(id_)} for id_, _, _ in images],
            "annotations": objects,
            "categories": [{"id": category.id, "name": category.name} for category in CATEGORIES],
        }
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats, evaluation


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_all_twelve_equal_those_of_pycocotools(seed, capsys):
    images = random_images(seed, 40)
    evaluator = CocoEvaluator(CATEGORIES, fast=False)
    for image in images:
        evaluator.add(*image)
    result = evaluator.result()
    stats, _ = reference(images)
    assert list(result) == STANDARD
    np.testing.assert_array_equal(list(result.values()), stats)
    assert capsys.readouterr().out == ""


def test_per_category_equals_pycocotools_run_on_that_category_alone():
    images = random_images(3, 40)
    evaluator = CocoEvaluator(CATEGORIES, per_category_tags=True, all_per_category_tags=True, fast=False)
    for image in images:
        evaluator.add(*image)
    result = evaluator.result()
    _, evaluation = reference(images)
    for category in CATEGORIES[:3]:
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation.params.catIds = [category.id]
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        ours = [result[f"{tag.replace('/', ' ', 1)} ByCategory/{category.name}"] for tag in STANDARD]
        np.testing.assert_array_equal(ours, evaluation.stats)
        assert result[f"DetectionBoxes_PerformanceByCategory/mAP/{category.name}"] == evaluation.stats[0]
        assert result[f"DetectionBoxes_PerformanceByCategory/mAP@.50IOU/{category.name}"] == evaluation.stats[1]
    assert not any("yak" in tag for tag in result), "a category without groundtruth has no tags"
    average, at50 = evaluator.per_category()
    assert (average.title, at50.title) == ("AP", "AP50")
    assert average.values["owl"] == result["DetectionBoxes_PerformanceByCategory/mAP/owl"]
    assert result["DetectionBoxes_Precision/mAP"] == pytest.approx(np.mean(list(average.values.values())))


@pytest.mark.skipif(importlib.util.find_spec("hotcoco") is None, reason="the extra hotcoco is not installed")
@pytest.mark.parametrize("seed", [4, 5])
def test_hotcoco_gives_the_same_digits(seed):
    slow, fast = (CocoEvaluator(CATEGORIES, all_per_category_tags=True, fast=fast) for fast in (False, True))
    for image in random_images(seed, 60):
        slow.add(*image)
        fast.add(*image)
    assert slow.result() == fast.result()


def test_perfect_detections_score_one_and_absent_sizes_minus_one():
    evaluator = CocoEvaluator(CATEGORIES)
    evaluator.add("a", truth([[10, 10, 60, 70]], [0]), found([[10, 10, 60, 70]], [0.9], [0]))  # 50 x 60: medium
    result = evaluator.result()
    assert result["DetectionBoxes_Precision/mAP"] == pytest.approx(1.0)
    assert result["DetectionBoxes_Precision/mAP (medium)"] == pytest.approx(1.0)
    assert result["DetectionBoxes_Precision/mAP (small)"] == -1.0
    assert result["DetectionBoxes_Recall/AR@100 (large)"] == -1.0


def test_half_found_by_hand():
    # Two objects, one found exactly: precision 1 up to recall 0.5, so 51 of the 101 recall points hold 1.
    evaluator = CocoEvaluator(CATEGORIES)
    evaluator.add("a", truth([[0, 0, 50, 50], [100, 100, 150, 150]], [0, 0]), found([[0, 0, 50, 50]], [0.9], [0]))
    assert evaluator.result()["DetectionBoxes_Precision/mAP"] == pytest.approx(51 / 101)
    assert evaluator.result()["DetectionBoxes_Recall/AR@1"] == pytest.approx(0.5)


def test_crowds_absorb_detections():
    evaluator = CocoEvaluator(CATEGORIES)
    objects = truth([[0, 0, 50, 50], [100, 100, 300, 300]], [0, 0], crowd=[False, True])
    evaluator.add(
        "a", objects, found([[0, 0, 50, 50], [110, 110, 150, 150], [200, 200, 250, 250]], [0.5, 0.9, 0.8], [0, 0, 0])
    )
    assert evaluator.result()["DetectionBoxes_Precision/mAP"] == pytest.approx(1.0)


def test_size_classes_use_the_area_of_the_object_not_of_its_box():
    evaluator = CocoEvaluator(CATEGORIES)
    evaluator.add("a", truth([[0, 0, 40, 40]], [0], areas=[1000.0]), found([[0, 0, 40, 40]], [0.9], [0]))
    assert evaluator.result()["DetectionBoxes_Precision/mAP (small)"] == pytest.approx(1.0)


def test_false_detections_on_images_without_objects_cost_precision():
    evaluator = CocoEvaluator(CATEGORIES)
    evaluator.add("a", truth([[0, 0, 50, 50]], [0]), found([[0, 0, 50, 50]], [0.5], [0]))
    evaluator.add("b", truth([], []), found([[0, 0, 50, 50]], [0.9], [0]))
    assert evaluator.result()["DetectionBoxes_Precision/mAP"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    "fast",
    [False, pytest.param(True, marks=pytest.mark.skipif(not importlib.util.find_spec("hotcoco"), reason="no hotcoco"))],
)
def test_nothing_detected_scores_zero_and_nothing_to_detect_minus_one(fast):
    evaluator = CocoEvaluator(CATEGORIES, fast=fast)
    assert set(evaluator.result().values()) == {-1.0}
    evaluator.add("a", truth([], []), found([], [], []))
    evaluator.add("b", truth([], []), found([[0, 0, 5, 5]], [0.9], [0]))
    assert set(evaluator.result().values()) == {-1.0}
    evaluator.add("c", truth([[0, 0, 50, 50]], [0]), found([], [], []))
    assert evaluator.result()["DetectionBoxes_Precision/mAP"] == 0.0


def test_classes_outside_the_categories_are_left_out():
    evaluator = CocoEvaluator(CATEGORIES)
    evaluator.add(
        "a", truth([[0, 0, 50, 50], [0, 0, 9, 9]], [0, 2]), found([[0, 0, 50, 50], [0, 0, 9, 9]], [0.5, 0.9], [0, 3])
    )
    assert evaluator.result()["DetectionBoxes_Precision/mAP"] == pytest.approx(1.0)


def test_the_order_of_images_does_not_matter_even_with_equal_scores():
    images = random_images(6, 30)
    forwards, backwards = CocoEvaluator(CATEGORIES), CocoEvaluator(CATEGORIES)
    for image in images:
        forwards.add(*image)
    for image in reversed(images):
        backwards.add(*image)
    assert forwards.result() == backwards.result()


def test_super_categories_average_their_members_with_groundtruth():
    evaluator = CocoEvaluator(
        CATEGORIES, super_categories={"pet": ("cat", "dog"), "wild": ("owl", "yak"), "none": ("yak",)}
    )
    objects = truth([[0, 0, 50, 50], [60, 60, 99, 99], [100, 0, 150, 50]], [0, 1, 4])
    evaluator.add("a", objects, found([[0, 0, 50, 50], [100, 0, 150, 50]], [0.9, 0.8], [0, 4]))
    result = evaluator.result()
    assert result["DetectionBoxes_PerformanceBySuperCategory/pet"] == pytest.approx(0.5)
    assert result["DetectionBoxes_PerformanceBySuperCategory/wild"] == pytest.approx(1.0)
    assert result["DetectionBoxes_PerformanceBySuperCategory/none"] == -1.0
    named = (Category(1, "/m/1", "cat"), Category(2, "dog"), Category(5, "/m/5", "owl"))
    evaluator = CocoEvaluator(
        named, per_category_tags=True, super_categories={"pet": ("/m/1", "dog"), "wild": ("owl",)}
    )
    evaluator.add("a", objects, found([[0, 0, 50, 50], [100, 0, 150, 50]], [0.9, 0.8], [0, 4]))
    by_either_name = evaluator.result()
    for name in ("pet", "wild"):
        tag = f"DetectionBoxes_PerformanceBySuperCategory/{name}"
        assert by_either_name[tag] == result[tag]
    assert by_either_name["DetectionBoxes_PerformanceByCategory/mAP/cat"] == pytest.approx(1.0)


def test_clear_forgets():
    evaluator = CocoEvaluator(CATEGORIES)
    for image in random_images(7, 10):
        evaluator.add(*image)
    evaluator.clear()
    assert set(evaluator.result().values()) == {-1.0}


def test_resampled_images_by_evaluating_them_again():
    """Each draw is the evaluation of the images drawn, those drawn twice being two images."""
    images = random_images(6, 12)
    evaluator = CocoEvaluator(CATEGORIES, fast=False)
    for image in images:
        evaluator.add(*image)
    means = evaluator.resampled(4, seed=3)
    again = np.random.default_rng(3)
    for mean in means:
        copies = CocoEvaluator(CATEGORIES, fast=False)
        for number, drawn in enumerate(again.integers(0, 12, 12), start=1):
            copies.add(str(number), *images[drawn][1:])
        assert mean == pytest.approx(copies.result()["DetectionBoxes_Precision/mAP"], abs=1e-12)
    assert len(set(means.tolist())) == 4
    np.testing.assert_array_equal(evaluator.resampled(4, seed=3), means)


def test_resampled_nothing_is_minus_one():
    evaluator = CocoEvaluator(CATEGORIES)
    evaluator.add("a", truth([], []), found([[0, 0, 5, 5]], [0.5], [0]))
    assert evaluator.resampled(3).tolist() == [-1.0, -1.0, -1.0]


def test_detections_of_classes_that_the_image_is_not_labelled_with_do_not_count():
    """`skip_predictions_for_unlabeled_class`: a wrong dog, in an image that nobody searched for dogs."""
    box = [[0, 0, 10, 10]]
    there = truth(box, [0])
    detections = found([*box, [20, 20, 40, 40]], [0.5, 0.9], [0, 1])

    def counted(checked, **settings) -> int:
        evaluator = CocoEvaluator(CATEGORIES, **settings)
        labels = None if checked is None else np.array(checked, np.int64)
        evaluator.add("a", there._replace(checked=labels), detections)
        return sum(len(kept.classes) for _, _, kept in evaluator._images)

    assert counted([0]) == 2 and counted([0], labelled_only=True) == 1 and counted([0, 1], labelled_only=True) == 2
    assert counted([], labelled_only=True) == 2 and counted(None, labelled_only=True) == 2
    assert counted([], labelled_only=True, unlabelled_is_checked=False) == 0
