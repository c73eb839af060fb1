"""Areas, similarities and windows of boxes against the values in the TF Object Detection API's own unit tests (box
lists, region similarity)."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from detection.data.augment import window
from detection.data.sample import Sample
from detection.ops import boxes as ops

TWO = [[4.0, 3.0, 7.0, 5.0], [5.0, 6.0, 10.0, 7.0]]
THREE = [[3.0, 4.0, 6.0, 8.0], [14.0, 14.0, 15.0, 15.0], [0.0, 0.0, 20.0, 20.0]]
FAR = [[3.0, 4.0, 1.0, 0.0], [-4.0, 0.0, 0.0, 3.0], [0.0, 0.0, 0.0, 0.0]]
PAIRS = {
    "intersection": (ops.intersection, TWO, THREE, [[2, 0, 6], [1, 0, 5]]),
    "iou": (ops.iou, TWO, THREE, [[2 / 16, 0, 6 / 400], [1 / 16, 0, 5 / 400]]),
    "ioa": (ops.ioa, TWO, THREE, [[2 / 12, 0, 6 / 400], [1 / 12, 0, 5 / 400]]),
    "ioa, the other way": (ops.ioa, THREE, TWO, [[2 / 6, 1 / 5], [0, 0], [1, 1]]),
    "neg_sq_dist": (ops.neg_sq_dist, [[0.0] * 4, [1.0, 1.0, 0.0, 2.0]], FAR, [[-26, -25, 0], [-18, -27, -6]]),
    # The reference answers the score of the groundtruth box (1 - its background confidence) where we answer 1: its
    # detectors hand in 1 too.
    "thresholded_iou": (ops.ThresholdedIou(0.013), TWO, THREE, [[1, 0, 1], [1, 0, 0]]),
}
WINDOW = [0.0, 0.0, 9.0, 14.0]
AROUND = [
    [5.0, 5.0, 6.0, 6.0],
    [-1.0, -2.0, 4.0, 5.0],
    [2.0, 3.0, 5.0, 9.0],
    [0.0, 0.0, 9.0, 14.0],
    [-100.0, -100.0, 300.0, 600.0],
]
OUTSIDE = [-10.0, -10.0, -9.0, -9.0]


@pytest.mark.parametrize("name", PAIRS)
def test_pairwise(name):
    function, rows, columns, expected = PAIRS[name]
    np.testing.assert_allclose(function(tf.constant(rows), tf.constant(columns)), expected, rtol=1e-6)


@pytest.mark.parametrize("function", [ops.iou, ops.ioa, ops.intersection, ops.neg_sq_dist])
def test_pairwise_of_nothing(function):
    empty = tf.zeros([0, 4])
    assert function(tf.constant(TWO), empty).shape == (2, 0) and function(empty, tf.constant(THREE)).shape == (0, 3)
    assert function(empty, empty).shape == (0, 0)


def test_area():
    np.testing.assert_allclose(ops.area(tf.constant([[0.0, 0.0, 10.0, 20.0], [1.0, 2.0, 3.0, 4.0]])), [200, 4])


def test_clip():
    clipped = ops.clip(tf.constant([[*AROUND, OUTSIDE]]), tf.constant([WINDOW]))[0]
    expected = [[5, 5, 6, 6], [0, 0, 4, 5], [2, 3, 5, 9], [0, 0, 9, 14], [0, 0, 9, 14], [0, 0, 0, 0]]
    np.testing.assert_allclose(clipped, expected)


def test_what_lies_wholly_outside_a_window_is_dropped():
    inside = window.overlaps(tf.constant([*AROUND[:4], OUTSIDE, AROUND[4]]), tf.constant(WINDOW))
    assert np.flatnonzero(inside).tolist() == [0, 1, 2, 3, 5]
    assert window.overlaps(tf.zeros([0, 4]), tf.constant(WINDOW)).shape == (0,)


def test_change_of_frame():
    moved = window.change_frame(
        tf.constant([[0.25, 0.5, 0.75, 0.75], [0.5, 0.0, 1.0, 1.0]]), tf.constant([0.25, 0.25, 0.75, 0.75])
    )
    np.testing.assert_allclose(moved, [[0, 0.5, 1, 1], [0.5, -0.5, 1.5, 1.5]])


def test_boxes_of_which_too_little_is_seen_are_dropped():
    """Reference: of TWO against THREE with a least overlap of 0.5 both stay, seen wholly by the largest; of THREE
    against TWO none."""
    seen = [
        [window.visible_part(tf.constant(rows), tf.constant(one)).numpy() for one in others]
        for rows, others in ((TWO, THREE), (THREE, TWO))
    ]
    assert np.max(seen[0], axis=0).tolist() == [1.0, 1.0] and np.max(seen[1], axis=0).max() < 0.5


def test_scaling_to_pixels_and_back():
    boxes, shapes = tf.constant([[[0.1, 0.2, 0.4, 0.6], [0.5, 0.3, 0.9, 0.7]]]), tf.constant([[60, 40]])
    pixels = ops.to_pixels(boxes, shapes)
    np.testing.assert_allclose(pixels[0], [[6, 8, 24, 24], [30, 12, 54, 28]], rtol=1e-6)
    np.testing.assert_allclose(ops.to_normalised(pixels, shapes), boxes, rtol=1e-6)
    normalised = ops.to_normalised(
        tf.constant([[[0.0, 0.0, 100.0, 200.0], [50.0, 120.0, 100.0, 140.0]]]), tf.constant([[100, 200]])
    )
    np.testing.assert_allclose(normalised[0], [[0, 0, 1, 1], [0.5, 0.6, 1.0, 0.7]], rtol=1e-6)


def test_an_image_without_boxes_passes_a_crop():
    none = tf.zeros([0])
    sample = Sample(tf.zeros([8, 8, 3]), tf.zeros([0, 4]), tf.cast(none, tf.int32), none, none > 0, none > 0, none)
    cropped = window.crop(sample, tf.constant([1, 2]), tf.constant([4, 5]), 0.3, True)
    assert cropped.boxes.shape == (0, 4) and cropped.image.shape == (4, 5, 3)
