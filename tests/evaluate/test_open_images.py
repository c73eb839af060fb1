"""Open Images' metrics: by hand, against a slow loop written from the definition, and through records and a config."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from detection.evaluate.evaluator import ImageDetections, ImageGroundtruth
from detection.evaluate.open_images import OpenImagesEvaluator
from detection.evaluate.voc import PascalVocEvaluator
from detection.types import Category

CATEGORIES = (Category(1, "cat"), Category(2, "dog"))
MEAN = "OpenImagesV2_Precision/mAP@0.5IOU"
CHALLENGE = "OpenImagesDetectionChallenge_Precision/mAP@0.5IOU"
CAT = "OpenImagesDetectionChallenge_PerformanceByCategory/AP@0.5IOU/cat"


def truth(boxes, classes, group_of=(), checked=None) -> ImageGroundtruth:
    boxes, nothing = np.array(boxes, np.float64).reshape(-1, 4), np.zeros(len(classes), bool)
    marks = np.array(group_of, bool) if len(group_of) else ()
    known = None if checked is None else np.array(checked, np.int64)
    return ImageGroundtruth(boxes, np.array(classes, np.int64), nothing, nothing, nothing + 1.0, marks, known)


def found(boxes, scores, classes) -> ImageDetections:
    return ImageDetections(np.array(boxes, np.float64).reshape(-1, 4), np.array(scores), np.array(classes, np.int64))


def evaluate(*images, **options) -> dict[str, float]:
    evaluator = OpenImagesEvaluator(CATEGORIES, **options)
    for number, (groundtruth, detections) in enumerate(images):
        evaluator.add(str(number), groundtruth, detections)
    return evaluator.result()


# A cat; a group of cats of 100 x 100; two detections within the group, one beside both.
GROUP = truth([[0, 0, 10, 10], [100, 100, 200, 200]], [0, 0], [False, True])
IN_GROUP = found(
    [[0, 0, 10, 10], [100, 100, 120, 120], [150, 150, 180, 170], [300, 300, 310, 310]], [0.9, 0.8, 0.7, 0.6], [0] * 4
)


def test_what_lies_within_a_group_counts_neither_way_in_v2():
    """Left are a true detection of score 0.9 and a false one of 0.6, for one object."""
    assert evaluate((GROUP, IN_GROUP))[MEAN] == 1.0
    late = IN_GROUP._replace(scores=np.array([0.5, 0.8, 0.7, 0.6]))
    assert evaluate((GROUP, late))[MEAN] == 0.5, "the false one comes before"


def test_a_group_is_one_object_of_the_challenge():
    """Two objects; true at 0.9, the group's at 0.8 (its best), false at 0.6: precision 1, 1, 2/3, recall 0.5, 1, 1."""
    assert evaluate((GROUP, IN_GROUP), challenge=True)[CHALLENGE] == 1.0
    alone = found(IN_GROUP.boxes[:1], [0.9], [0])
    assert evaluate((GROUP, alone), challenge=True)[CAT] == 0.5, "the group is missed"
    late = IN_GROUP._replace(scores=np.array([0.9, 0.1, 0.2, 0.6]))
    assert evaluate((GROUP, late), challenge=True)[CAT] == pytest.approx(0.5 + 0.5 * 2 / 3)


def test_a_group_takes_what_its_objects_do_not():
    """A second detection of an object is false, unless a group of the class is around it; half of it has to be
    inside."""
    inside = truth([[100, 100, 120, 120], [100, 100, 200, 200]], [0, 0], [False, True])
    twice = found([[100, 100, 120, 120], [101, 100, 121, 120]], [0.5, 0.9], [0, 0])
    assert evaluate((inside, twice))[MEAN] == 1.0
    for share, expected in ((0.5, 1.0), (0.45, 0.5)):
        half = found([[0, 0, 10, 10], [200 - 10 * share, 100, 210 - 10 * share, 110]], [0.5, 0.9], [0, 0])
        assert evaluate((GROUP, half))[MEAN] == expected
    dog = found([[0, 0, 10, 10], [100, 100, 120, 120]], [0.9, 0.95], [0, 1])
    assert evaluate((GROUP, dog)) == {MEAN: 1.0, "OpenImagesV2_PerformanceByCategory/AP@0.5IOU/cat": 1.0}


def test_the_challenge_looks_at_checked_classes_only():
    """Two images; in the second a cat is found where none is."""
    first = (truth([[0, 0, 10, 10]], [0]), found([[0, 0, 10, 10]], [0.5], [0]))
    false = found([[0, 0, 10, 10]], [0.9], [0])
    for checked, strict, expected in (
        ([0], True, 0.5),
        ([1], True, 1.0),
        ([], True, 1.0),
        ([], False, 0.5),
        (None, True, 1.0),
        (None, False, 0.5),
    ):
        second = (truth([], [], checked=checked), false)
        assert evaluate(first, second, challenge=True, unlabelled_is_checked=not strict)[CAT] == expected, checked
        assert evaluate(first, second)[MEAN] == 0.5, "V2 does not ask"
    boxed = (truth([[20, 20, 30, 30]], [0], checked=[1]), false)
    assert evaluate(first, boxed, challenge=True)[CAT] == pytest.approx(0.25), "a class with a box is checked"


def test_without_groups_it_is_pascal_voc():
    rng = np.random.default_rng(0)
    evaluator, voc = OpenImagesEvaluator(CATEGORIES), PascalVocEvaluator(CATEGORIES)
    for number in range(20):
        corners = rng.uniform(0, 50, (6, 2))
        boxes = np.concatenate([corners, corners + rng.uniform(10, 30, (6, 2))], axis=1)
        shifted = np.tile(boxes, (2, 1)) + rng.normal(0, 3, (12, 4))
        image = truth(boxes, rng.integers(0, 2, 6)), found(shifted, rng.random(12), rng.integers(0, 2, 12))
        evaluator.add(str(number), *image)
        voc.add(str(number), *image)
    assert evaluator.result()[MEAN] == voc.result()["PascalBoxes_Precision/mAP@0.5IOU"]
    assert 0.05 < evaluator.result()[MEAN] < 0.95


def slow(images, class_: int, challenge: bool) -> float:
    """The definition, one detection after the other."""
    total, ranked = 0, []
    for number, (groundtruth, detections) in enumerate(images):
        there = groundtruth.classes == class_
        groups, objects = there & groundtruth.group_of, there & ~groundtruth.group_of
        total += objects.sum() + challenge * groups.sum()
        taken, best_of_group = set(), {}
        for i in sorted(np.flatnonzero(detections.classes == class_), key=lambda i: -detections.scores[i]):
            box, score = detections.boxes[i], float(detections.scores[i])
            own = (box[2] - box[0]) * (box[3] - box[1])

            def shared(other, box=box):
                sides = np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])
                return max(sides[0], 0) * max(sides[1], 0)

            def area(other):
                return (other[2] - other[0]) * (other[3] - other[1])

            ious = {
                j: shared(b) / (own + area(b) - shared(b))
                for j in np.flatnonzero(objects)
                for b in [groundtruth.boxes[j]]
            }
            inside = {j: shared(groundtruth.boxes[j]) / own for j in np.flatnonzero(groups)}
            best = max(ious, key=ious.get, default=None)
            group = max(inside, key=inside.get, default=None)
            if best is not None and ious[best] >= 0.5 and best not in taken:
                taken.add(best)
                ranked.append((score, number, True))
            elif group is not None and inside[group] >= 0.5:
                best_of_group[group] = max(score, best_of_group.get(group, 0.0))
            else:
                ranked.append((score, number, False))
        ranked += [(score, number, True) for score in best_of_group.values()] if challenge else []
    hits, points = 0, []
    for count, (_, _, true) in enumerate(sorted(ranked, key=lambda one: -one[0]), 1):
        hits += true
        points.append((hits / total, hits / count))
    steps = sorted({recall for recall, _ in points} | {0.0})
    return sum(
        (high - low) * max(precision for recall, precision in points if recall >= high)
        for low, high in itertools.pairwise(steps)
    )


@pytest.mark.parametrize("challenge", [False, True])
def test_many_boxes_against_the_definition(challenge):
    rng = np.random.default_rng(1)
    images = []
    for _ in range(25):
        corners, sides = rng.uniform(0, 80, (8, 2)), rng.uniform(10, 30, (8, 2))
        group_of = rng.random(8) < 0.3
        boxes = np.concatenate([corners, corners + np.where(group_of[:, None], 2.5 * sides, sides)], axis=1)
        shifted = np.repeat(boxes, 2, axis=0) + rng.normal(0, 4, (16, 4))
        shifted[:, 2:] = np.maximum(shifted[:, 2:], shifted[:, :2] + 1)
        detections = found(shifted, rng.permutation(16) / 16 + rng.random() / 100, rng.integers(0, 2, 16))
        images.append((truth(boxes, rng.integers(0, 2, 8), group_of), detections))
    result = evaluate(*images, challenge=challenge)
    expected = [slow(images, class_, challenge) for class_ in (0, 1)]
    assert list(result.values())[1:] == pytest.approx(expected, abs=1e-12) and 0.1 < expected[0] < 0.9
    assert result[CHALLENGE if challenge else MEAN] == pytest.approx(np.mean(expected), abs=1e-12)
