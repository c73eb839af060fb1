"""Soft suppression against a slow loop written from the paper."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from detection.evaluate.voc import pairwise_iou
from detection.ops.nms import MulticlassNms
from detection.ops.soft_nms import SoftNms

WINDOW = np.array([0.0, 0, 100, 100], np.float32)


def problem(images: int = 2, rows: int = 30, classes: int = 3, per_class: bool = False, seed: int = 0):
    rng = np.random.default_rng(seed)
    shape = (images, rows, classes) if per_class else (images, rows)
    corners = rng.uniform(-10, 70, (*shape, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(20, 40, (*shape, 2))], axis=-1).astype(np.float32)
    return boxes, rng.uniform(0, 1, (images, rows, classes)).astype(np.float32)


def slow(boxes, scores, nms: SoftNms) -> list[tuple[float, int, int, tuple[float, ...]]]:
    """(score, class, row, clipped box) of one image; boxes [R, 4] or [R, K, 4]."""
    found = []
    for class_ in range(scores.shape[1]):
        own = boxes if boxes.ndim == 2 else boxes[:, class_]
        left = dict(enumerate(scores[:, class_].astype(np.float64)))
        for _ in range(nms.max_detections_per_class):
            best = max(left, key=left.get, default=None)
            if best is None or left[best] <= nms.score_threshold:
                break
            found.append((left.pop(best), class_, best, tuple(np.clip(own[best], 0, 100))))
            for row in list(left):
                overlap = pairwise_iou(own[None, best], own[None, row])[0, 0]
                left[row] *= np.exp(-(overlap**2) / (2 * nms.sigma))
    found = [one for one in found if one[3][2] > one[3][0] and one[3][3] > one[3][1]]
    return sorted(found, key=lambda one: -one[0])[: nms.max_total_detections]


@pytest.mark.parametrize(
    ("per_class", "settings"),
    [
        (False, {}),
        (False, {"score_threshold": 0.3}),
        (True, {"max_detections_per_class": 5, "max_total_detections": 8}),
        (False, {"max_detections_per_class": 60, "max_total_detections": 70}),
    ],
)
def test_against_the_definition(per_class, settings):
    boxes, scores = problem(per_class=per_class)
    nms = SoftNms(0.4, **{"max_total_detections": 40, "max_detections_per_class": 20, **settings})
    kept, rows = tf.function(nms.with_indices)(boxes, scores, np.stack([WINDOW] * 2))
    assert kept.boxes.shape == (2, nms.max_total_detections, 4)
    for image in range(2):
        expected = slow(boxes[image], scores[image], nms)
        count = int(kept.counts[image])
        assert count == len(expected) > 5
        np.testing.assert_allclose(kept.scores[image, :count], [one[0] for one in expected], rtol=1e-5)  # float32
        assert kept.classes[image, :count].numpy().tolist() == [one[1] for one in expected]
        assert rows[image, :count].numpy().tolist() == [one[2] for one in expected]
        np.testing.assert_allclose(kept.boxes[image, :count], [one[3] for one in expected], rtol=1e-6)
        assert not kept.scores[image, count:].numpy().any() and not rows[image, count:].numpy().any()


def test_a_tiny_sigma_equals_hard_suppression_at_threshold_0():
    boxes, scores = map(tf.constant, problem())
    settings = {"score_threshold": 0.01}
    soft, rows = SoftNms(1e-9, **settings).with_indices(boxes, scores, np.stack([WINDOW] * 2))
    hard, others = MulticlassNms(iou_threshold=0.0, **settings).with_indices(boxes, scores, np.stack([WINDOW] * 2))
    for one, other in zip((*soft, rows), (*hard, others), strict=True):
        np.testing.assert_array_equal(one, other)


def test_class_agnostic_boxes_have_their_best_class():
    boxes, scores = problem(images=1)
    nms = SoftNms(0.4, max_total_detections=6, class_agnostic=True)
    kept, rows = nms.with_indices(boxes, scores, WINDOW[None])
    alone = SoftNms(0.4, max_detections_per_class=6, max_total_detections=6)
    expected = slow(boxes[0], scores[0].max(axis=1, keepdims=True), alone)
    np.testing.assert_allclose(kept.scores[0], [one[0] for one in expected], rtol=1e-5)
    assert kept.classes[0].numpy().tolist() == [int(scores[0, one[2]].argmax()) for one in expected]
    assert rows[0].numpy().tolist() == [one[2] for one in expected]
