"""Per-class non-maximum suppression against the values in the TF Object Detection API's own unit tests of its
post-processing."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from detection.ops.nms import MulticlassNms

SHARED = [
    [0, 0, 1, 1],
    [0, 0.1, 1, 1.1],
    [0, -0.1, 1, 0.9],
    [0, 10, 1, 11],
    [0, 10.1, 1, 11.1],
    [0, 100, 1, 101],
    [0, 1000, 1, 1002],
    [0, 1000, 1, 1002.1],
]
OF_CLASS_1 = [[0, 0, 4, 5], [0, 0.1, 2, 1.1], *SHARED[2:6], [0, 999, 2, 1004], [0, 999, 2, 1002.7]]
SEPARATE = [[box, other] for box, other in zip(SHARED, OF_CLASS_1, strict=True)]  # a box a class
SCORES = [[0.9, 0.01], [0.75, 0.05], [0.6, 0.01], [0.95, 0], [0.5, 0.01], [0.3, 0.01], [0.01, 0.85], [0.01, 0.5]]
WIDE = [0.0, -10.0, 10.0, 2000.0]  # a window that cuts nothing

BEST = [[0, 10, 1, 11], [0, 0, 1, 1], [0, 1000, 1, 1002], [0, 100, 1, 101]]
# name -> (per class, total, boxes, scores, window, boxes found, scores found, classes found)
CASES = {
    "shared boxes": (4, 4, SHARED, SCORES, WIDE, BEST, [0.95, 0.9, 0.85, 0.3], [0, 0, 1, 0]),
    "a cap a class": (2, 4, SHARED, SCORES, WIDE, BEST[:3], [0.95, 0.9, 0.85], [0, 0, 1]),
    "a cap in total": (4, 2, SHARED, SCORES, WIDE, BEST[:2], [0.95, 0.9], [0, 0]),
    "one class": (
        3,
        3,
        SHARED,
        [[row[0]] for row in SCORES],
        WIDE,
        [BEST[0], BEST[1], BEST[3]],
        [0.95, 0.9, 0.3],
        [0, 0, 0],
    ),
    "a box a class": (
        4,
        4,
        SEPARATE,
        SCORES,
        WIDE,
        [BEST[0], BEST[1], [0, 999, 2, 1004], BEST[3]],
        [0.95, 0.9, 0.85, 0.3],
        [0, 0, 1, 0],
    ),
    "a window": (100, 100, [[0, 0, 10, 10], [1, 1, 11, 11]], [[0.9], [0.75]], [5, 4, 8, 7], [[5, 4, 8, 7]], [0.9], [0]),
}


def run(nms, boxes, scores, windows):
    return nms(*(tf.constant(value, tf.float32) for value in (boxes, scores, windows)))


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_one_image(name, traced):
    per_class, total, boxes, scores, window, *expected = CASES[name]
    nms = MulticlassNms(0.0 if name == "a window" else 0.1, 0.5, per_class, total)
    kept = run(tf.function(nms.__call__) if traced else nms, [boxes], [scores], [window])
    count = int(kept.counts[0])
    assert count == len(expected[0]) and kept.boxes.shape == (1, total, 4)
    for found, wanted in zip(kept[:3], expected, strict=True):
        np.testing.assert_allclose(found[0, :count], wanted, rtol=1e-6)
        np.testing.assert_array_equal(found[0, count:], np.zeros_like(found[0, count:]))


BATCH = [SEPARATE[:4], SEPARATE[4:]], [SCORES[:4], SCORES[4:]]
SECOND = [[0, 999, 2, 1004], [0, 10.1, 1, 11.1], [0, 100, 1, 101]]
# windows -> for each image, the boxes found with their scores and classes
BATCHES = {
    "nothing is cut": ([WIDE] * 2, [(BEST[:2], [0.95, 0.9], [0, 0]), (SECOND, [0.85, 0.5, 0.3], [1, 0, 0])]),
    "one window": ([[0, 0, 200, 200]] * 2, [(BEST[:2], [0.95, 0.9], [0, 0]), (SECOND[1:], [0.5, 0.3], [0, 0])]),
    "a window an image": (
        [[0, 0, 5, 5], [0, 0, 200, 200]],
        [(BEST[1:2], [0.9], [0]), (SECOND[1:], [0.5, 0.3], [0, 0])],
    ),
}


@pytest.mark.parametrize("name", BATCHES)
def test_two_images(name):
    windows, expected = BATCHES[name]
    kept = run(MulticlassNms(0.1, 0.5, 4, 4), *BATCH, windows)
    assert kept.counts.numpy().tolist() == [len(boxes) for boxes, _, _ in expected]
    for image, wanted in enumerate(expected):
        for found, values in zip(kept[:3], wanted, strict=True):
            np.testing.assert_allclose(found[image, : len(values)], values, rtol=1e-6)
            assert not np.any(found[image, len(values) :])
