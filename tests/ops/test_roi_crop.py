"""Crops against bilinear sampling written out in numpy; borders, padding, pooling, shapes, gradients."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.ops.roi import CropAndResize
from detection.ops.roi_crop import crop


def sample(image, y, x):
    """Bilinear value of image [h, w, c] at a point, 0 outside."""
    height, width = image.shape[:2]
    if not (0 <= y <= height - 1 and 0 <= x <= width - 1):
        return np.zeros(image.shape[2])
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    above = image[top, left] * (1 - x + left) + image[top, right] * (x - left)
    below = image[bottom, left] * (1 - x + left) + image[bottom, right] * (x - left)
    return above * (1 - y + top) + below * (y - top)


def points(low, high, count):
    return np.linspace(low, high, count) if count > 1 else np.array([(low + high) / 2])


def naive(maps, boxes, image_shape, size):
    """float64 [B * P, *size, c]."""
    sides = (np.array(maps.shape[1:3]) - 1) / image_shape
    crops = []
    for image, own in zip(maps, boxes.astype(np.float64), strict=True):
        for ymin, xmin, ymax, xmax in own * np.tile(sides, 2):
            ys, xs = points(ymin, ymax, size[0]), points(xmin, xmax, size[1])
            crops.append([[sample(image, y, x) for x in xs] for y in ys])
    return np.array(crops).reshape(-1, *size, maps.shape[-1])


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 9), st.integers(1, 5), st.integers(1, 5))
def test_equals_bilinear_sampling(seed, height, width, rows, columns):
    """Boxes of any kind, sides of images that are no multiple of the stride; rtol and atol: float32 against float64."""
    rng = np.random.default_rng(seed)
    maps, image_shape = rng.normal(size=[2, height, width, 3]).astype(np.float32), (16 * height - 5, 16 * width + 7)
    boxes = rng.uniform(-50, 200, [2, 4, 4]).astype(np.float32)
    crops = crop(tf.constant(maps), tf.constant(boxes), image_shape, (rows, columns))
    np.testing.assert_allclose(crops, naive(maps, boxes, image_shape, (rows, columns)), rtol=1e-4, atol=2e-5)


def test_by_hand():
    """The whole image is the whole map, whatever the ratio of their sides."""
    maps = tf.reshape(tf.range(9.0), [1, 3, 3, 1])
    boxes = tf.constant([[[0.0, 0.0, 64.0, 32.0], [0.0, 0.0, 32.0, 16.0], [0.0, 0.0, 128.0, 64.0]]])
    crops = crop(maps, boxes, (64, 32), (3, 3))[..., 0]
    np.testing.assert_allclose(crops[0], [[0, 1, 2], [3, 4, 5], [6, 7, 8]])
    np.testing.assert_allclose(crops[1], [[0, 0.5, 1], [1.5, 2, 2.5], [3, 3.5, 4]])
    np.testing.assert_allclose(
        crops[2], [[0, 2, 0], [6, 8, 0], [0, 0, 0]]
    )  # every second sample, and beyond the map zeros


@pytest.mark.parametrize("side", [600, 608, 1000, 49, 213])
def test_the_image_border_is_inside_the_map(side):
    """In a graph too, where 1 / side is a constant: 49 * (1 / 49) is below 1 in float32, and other products are
    above."""
    maps, boxes = tf.ones([1, 4, 4, 1]), tf.constant([[[0.0, 0.0, side, side]]], tf.float32)
    for run in (crop, tf.function(crop)):
        np.testing.assert_array_equal(run(maps, boxes, (side, side), (2, 2)), np.ones([1, 2, 2, 1]))


def test_pooling_is_without_padding():
    maps = tf.random.stateless_normal([2, 6, 5, 3], [1, 2])
    boxes = tf.constant(
        [[[3.0, 5.0, 60.0, 70.0], [10.0, 10.0, 90.0, 20.0]], [[0.0, 0.0, 0.0, 0.0], [-9.0, 5.0, 40.0, 100.0]]]
    )
    crops = crop(maps, boxes, (96, 80), (5, 5)).numpy()
    np.testing.assert_array_equal(CropAndResize(5, 1, 1)(maps, boxes, (96, 80)), crops)
    pooled = CropAndResize(5, 2, 2)(maps, boxes, (96, 80))
    expected = [[crops[:, i : i + 2, j : j + 2].max((1, 2)) for j in (0, 2)] for i in (0, 2)]
    np.testing.assert_array_equal(pooled, np.moveaxis(expected, 2, 0))
    np.testing.assert_array_equal(CropAndResize(5, 1, 2)(maps, boxes, (96, 80)), crops[:, ::2, ::2])


def test_gradient_flows_to_features_only():
    """Without the pool the op is linear in the map, so <upstream, op(x)> = <gradient, x>; rtol: sums in float32 in
    another order."""
    maps, boxes = (
        tf.random.stateless_normal([2, 6, 5, 3], [1, 2]),
        tf.random.stateless_uniform([2, 3, 4], [3, 4], -20.0, 110.0),
    )
    upstream = tf.random.stateless_normal([6, 4, 4, 3], [5, 6])
    with tf.GradientTape() as tape:
        tape.watch([maps, boxes])
        crops = CropAndResize(4, 1, 1)(maps, boxes, (96, 80))
    gradient, of_boxes = tape.gradient(crops, [maps, boxes], upstream)
    assert of_boxes is None
    np.testing.assert_allclose(tf.reduce_sum(gradient * maps), tf.reduce_sum(upstream * crops), rtol=1e-4)


@pytest.mark.parametrize(("batch", "count"), [(1, 11), (2, 5)])
@pytest.mark.parametrize("compiled", [False, True])
def test_many_regions_in_chunks(batch, count, compiled):
    """The same crops; the same gradient but for the order of its sums."""
    maps = tf.random.stateless_normal([batch, 6, 5, 3], [1, 2])
    boxes = tf.random.stateless_uniform([batch, count, 4], [3, 4], -20.0, 110.0)
    upstream = tf.random.stateless_normal([batch * count, 3, 3, 3], [5, 6])

    def run(op):
        with tf.GradientTape() as tape:
            tape.watch([maps, boxes])
            pooled = op(maps, boxes, (96, 80))
        return pooled, *tape.gradient(pooled, [maps, boxes], upstream)

    whole, chunked = CropAndResize(6, 2, 2), CropAndResize(6, 2, 2, chunk=4)
    pooled, gradient, of_boxes = tf.function(run)(chunked) if compiled else run(chunked)
    expected, wanted, _ = run(whole)
    assert of_boxes is None and pooled.shape == expected.shape
    np.testing.assert_allclose(pooled, expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(gradient, wanted, rtol=1e-5, atol=1e-5)


def test_padding_repeats_the_corner():
    maps = tf.random.stateless_normal([1, 3, 3, 2], [1, 2])
    with tf.GradientTape() as tape:
        tape.watch(maps)
        pooled = CropAndResize(14, 2, 2)(maps, tf.zeros([1, 2, 4]), (48, 48))
    np.testing.assert_array_equal(pooled, np.broadcast_to(maps[0, 0, 0], pooled.shape))
    assert np.isfinite(tape.gradient(pooled, maps)).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_non_finite_boxes_are_refused(bad):
    with pytest.raises(tf.errors.InvalidArgumentError, match="not finite"):
        CropAndResize(4, 2, 2)(tf.ones([1, 3, 3, 2]), tf.constant([[[0.0, 0.0, bad, 1.0]]]), (48, 48))


def test_static_and_dynamic_sizes():
    op = CropAndResize(14, 2, 2)
    known = []

    def run(maps, boxes, height, width):
        pooled = op(maps, boxes, (height, width))
        known.append(pooled.shape.as_list())
        return pooled

    scalar = tf.TensorSpec([], tf.int32)
    unknown = [tf.TensorSpec([None, None, None, 3]), tf.TensorSpec([None, None, 4]), scalar, scalar]
    maps, boxes = (
        tf.random.stateless_normal([2, 5, 4, 3], [1, 2]),
        tf.random.stateless_uniform([2, 3, 4], [3, 4], 0.0, 64.0),
    )
    expected = op(maps, boxes, (80, 64))
    np.testing.assert_allclose(
        tf.function(run, input_signature=unknown)(maps, boxes, 80, 64), expected, rtol=1e-6, atol=1e-6
    )
    np.testing.assert_allclose(tf.function(run)(maps, boxes, 80, 64), expected, rtol=1e-6, atol=1e-6)
    assert known == [[None, 7, 7, 3], [6, 7, 7, 3]]
    assert op(maps, boxes[:, :0], (80, 64)).shape == [0, 7, 7, 3]


def test_settings_are_checked():
    for wrong in ((14, 15, 2), (14, 0, 1), (14, 2, 0)):
        with pytest.raises(ValueError, match="pool_size"):
            CropAndResize(*wrong)
