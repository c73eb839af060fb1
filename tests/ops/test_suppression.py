"""Suppression that returns positions, compared with a loop."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from detection.ops import boxes as box_ops
from detection.ops import suppression


def loop(boxes, count, iou_threshold):
    overlaps = box_ops.iou(boxes, boxes).numpy()
    kept = []
    for position in range(count):
        if all(overlaps[position, other] <= iou_threshold for other in kept):
            kept.append(position)
    return kept


def test_equals_a_loop():
    rng = np.random.default_rng(1)
    corner = rng.uniform(0, 60, (3, 40, 2))
    boxes = tf.constant(np.concatenate([corner, corner + rng.uniform(10, 40, (3, 40, 2))], -1), tf.float32)
    counts = [40, 17, 0]
    for iou_threshold in (0.0, 0.3, 0.9):
        for most in (5, 40):
            actual = suppression.suppress(boxes, tf.constant(counts), iou_threshold, most).numpy()
            assert actual.shape == (3, most)
            for image, count in enumerate(counts):
                expected = loop(boxes[image], count, iou_threshold)[:most]
                np.testing.assert_array_equal(actual[image], expected + [40] * (most - len(expected)))


def test_order_is_descending_and_stable():
    np.testing.assert_array_equal(suppression.order_by(tf.constant([[1.0, 3.0, 3.0, 2.0, 1.0]])), [[1, 2, 3, 0, 4]])
