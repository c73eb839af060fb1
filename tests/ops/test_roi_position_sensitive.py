"""Position-sensitive pooling against its two definitions in numpy, and the crop against the reference
implementation."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.ops.roi import PositionSensitiveAveragePool, PositionSensitiveCrop


def random_case(seed, bins, depth, batch=2, count=3):
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 9, 2)
    maps = rng.normal(size=[batch, height, width, bins[0] * bins[1] * depth]).astype(np.float32)
    boxes = rng.uniform(-40, 200, [batch, count, 4]).astype(np.float32)
    return maps, boxes, (int(16 * height), int(16 * width))


def naive_crop(op, maps, boxes, image_shape):
    """By the words of the module: cut the box, crop each part from its channels, average; with TensorFlow's crops,
    which test_roi_crop.py checks."""
    means = []
    for k, (i, j) in enumerate(np.ndindex(*op.bins)):
        first, last = np.array([i, j]) / op.bins, np.array([i + 1, j + 1]) / op.bins
        low, high = boxes[..., :2].astype(np.float64), boxes[..., 2:].astype(np.float64)
        part = np.concatenate([low + (high - low) * first, low + (high - low) * last], -1) / np.tile(image_shape, 2)
        depth = maps.shape[-1] // np.prod(op.bins)
        owner = np.repeat(np.arange(len(boxes)), boxes.shape[1])
        size = np.array(op.crop_size) // op.bins
        crops = tf.image.crop_and_resize(
            maps[..., k * depth : (k + 1) * depth], part.reshape(-1, 4).astype(np.float32), owner, size
        )
        means.append(np.mean(crops, (1, 2)))
    return np.mean(means, 0)


def naive_average(op, maps, boxes):
    """Exact bins, float64 means."""
    depth = maps.shape[-1] // np.prod(op.bins)
    height, width = maps.shape[1:3]

    def cells(low, high, part, parts, side):
        low, high = (int(np.sign(edge) * floor(abs(Fraction(float(edge))) + Fraction(1, 2))) for edge in (low, high))
        start, step = Fraction(low, op.stride), Fraction(max(high - low, 1), op.stride * parts)
        return slice(*np.clip([floor(start + part * step), ceil(start + (part + 1) * step)], 0, side))

    rows = []
    for image, own in zip(maps.astype(np.float64), boxes, strict=True):
        for ymin, xmin, ymax, xmax in own:
            total = np.zeros(depth)
            for k, (i, j) in enumerate(np.ndindex(*op.bins)):
                part = image[
                    cells(ymin, ymax, i, op.bins[0], height),
                    cells(xmin, xmax, j, op.bins[1], width),
                    k * depth : (k + 1) * depth,
                ]
                total += part.mean((0, 1)) if part.size else 0
            rows.append(total / np.prod(op.bins))
    return np.array(rows)


BINS = st.tuples(st.integers(1, 4), st.integers(1, 4))


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), BINS, st.integers(1, 3), st.integers(1, 3))
def test_crop_equals_its_definition(seed, bins, depth, samples):
    """atol: positions of samples are float32, on maps of unit variance."""
    op = PositionSensitiveCrop(bins, (bins[0] * samples, bins[1] * (4 - samples)))
    maps, boxes, image_shape = random_case(seed, bins, depth)
    pooled = op(tf.constant(maps), tf.constant(boxes), image_shape)
    np.testing.assert_allclose(pooled, naive_crop(op, maps, boxes, image_shape), rtol=1e-4, atol=5e-5)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), BINS, st.integers(1, 3), st.sampled_from([1, 3, 16]))
def test_average_equals_its_definition(seed, bins, depth, stride):
    """rtol and atol: sums in float32."""
    op = PositionSensitiveAveragePool(bins, stride)
    maps, boxes, image_shape = random_case(seed, bins, depth)
    boxes = np.round(boxes * 2) / 2 if seed % 2 else boxes  # halves: rounded away from zero
    boxes[0, 0] = [0, 0, *image_shape]
    np.testing.assert_allclose(
        op(tf.constant(maps), tf.constant(boxes), image_shape), naive_average(op, maps, boxes), rtol=1e-5, atol=1e-6
    )


def test_crop_equals_the_reference(shared):
    """`pooled` of the reference; tolerance as its README says."""
    data = np.load(shared / "parity" / "units.npz")
    maps, boxes, pooled = (
        data[f"position_sensitive_crop_v0.{name}"] for name in ("in.image", "in.boxes", "out.pooled")
    )
    found = PositionSensitiveCrop((3, 3), (18, 18))(maps[np.newaxis], boxes[np.newaxis] * np.float32(160), (160, 160))
    np.testing.assert_allclose(found, pooled[:, 0, 0], rtol=1e-5, atol=1e-6)


def test_each_bin_has_its_own_channels():
    """Maps that are constant in each channel: the result is the mean over bins, in contiguous groups of channels."""
    maps = tf.broadcast_to(tf.range(12.0), [1, 8, 8, 12])
    boxes = tf.constant([[[10.0, 20.0, 90.0, 100.0]]])
    for op in (PositionSensitiveCrop((2, 3), (4, 6)), PositionSensitiveAveragePool((2, 3), 16)):
        np.testing.assert_allclose(op(maps, boxes, (128, 128)), [[5.0, 6.0]], rtol=1e-6)


def test_parts_by_hand():
    """Rows 0 to 3 of the map hold their number; a box over all of them: the upper bin averages rows 0, 1, the lower 2,
    3."""
    rows = tf.broadcast_to(tf.range(4.0)[:, tf.newaxis, tf.newaxis], [4, 4, 1])
    maps = tf.concat([rows, 10.0 * rows], axis=-1)[tf.newaxis]
    pooled = PositionSensitiveAveragePool((2, 1), 16)(
        maps, tf.constant([[[0.0, 0.0, 64.0, 64.0], [24.0, 0.0, 24.2, 9.0]]]), (64, 64)
    )
    np.testing.assert_allclose(pooled, [[(0.5 + 25.0) / 2], [(1 + 10) / 2]])


OPS = [PositionSensitiveCrop((3, 2), (6, 6)), PositionSensitiveAveragePool((3, 2), 16)]


@pytest.mark.parametrize("op", OPS)
def test_gradient_is_the_adjoint(op):
    """Both are linear in the maps, so <upstream, op(x)> = <gradient, x> for every x; rtol: sums in float32."""
    maps, boxes, image_shape = random_case(5, op.bins, 4)
    upstream = tf.random.stateless_normal([6, 4], [1, 2])
    maps, boxes = tf.constant(maps), tf.constant(boxes)
    with tf.GradientTape() as tape:
        tape.watch([maps, boxes])
        pooled = op(maps, boxes, image_shape)
    gradient, of_boxes = tape.gradient(pooled, [maps, boxes], upstream)
    assert of_boxes is None
    for seed in range(3):
        x = tf.random.stateless_normal(maps.shape, [seed, 7])
        np.testing.assert_allclose(
            tf.reduce_sum(gradient * x), tf.reduce_sum(upstream * op(x, boxes, image_shape)), rtol=1e-3, atol=1e-4
        )


@pytest.mark.parametrize("op", OPS)
def test_padding_gives_finite_values(op):
    maps = tf.random.stateless_normal([1, 3, 3, 12], [1, 2])
    with tf.GradientTape() as tape:
        tape.watch(maps)
        pooled = op(maps, tf.zeros([1, 2, 4]), (48, 48))
    np.testing.assert_allclose(
        pooled, np.tile(tf.reduce_mean(tf.reshape(maps[0, 0, 0], [6, 2]), axis=0), [2, 1]), rtol=1e-5, atol=1e-6
    )
    assert np.isfinite(tape.gradient(pooled, maps)).all()


def test_average_of_non_finite_boxes_is_zero():
    boxes = tf.constant(
        [[[0.0, 0.0, np.nan, 1.0], [-np.inf, 0.0, 9.0, 9.0], [0.0, 0.0, 48.0, 48.0], [500.0, 500.0, 600.0, 600.0]]]
    )
    pooled = PositionSensitiveAveragePool((3, 2), 16)(tf.ones([1, 3, 3, 6]), boxes, (48, 48))
    np.testing.assert_allclose(pooled, [[0.0], [0.0], [1.0], [0.0]], rtol=1e-6)


@pytest.mark.parametrize("op", OPS)
def test_static_and_dynamic_sizes(op):
    known = []

    def run(maps, boxes, height, width):
        pooled = op(maps, boxes, (height, width))
        known.append(pooled.shape.as_list())
        return pooled

    scalar = tf.TensorSpec([], tf.int32)
    unknown = [tf.TensorSpec([None, None, None, 12]), tf.TensorSpec([None, None, 4]), scalar, scalar]
    maps, boxes = (
        tf.random.stateless_normal([2, 5, 4, 12], [1, 2]),
        tf.random.stateless_uniform([2, 3, 4], [3, 4], 0.0, 64.0),
    )
    expected = op(maps, boxes, (80, 64))
    np.testing.assert_allclose(
        tf.function(run, input_signature=unknown)(maps, boxes, 80, 64), expected, rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(tf.function(run)(maps, boxes, 80, 64), expected, rtol=1e-5, atol=1e-6)
    assert known == [[None, 2], [6, 2]]
    assert op(maps, boxes[:, :0], (80, 64)).shape == [0, 2]


def test_settings_and_channels_are_checked():
    for wrong in (((3, 3), (18, 17)), ((0, 3), (18, 18)), ((3, 3), (0, 0))):
        with pytest.raises(ValueError, match="multiple"):
            PositionSensitiveCrop(*wrong)
    for wrong in (((0, 3), 16), ((3, 3), 0)):
        with pytest.raises(ValueError, match="at least 1"):
            PositionSensitiveAveragePool(*wrong)
    for op in OPS:
        with pytest.raises(ValueError, match="13 channels"):
            op(tf.ones([1, 3, 3, 13]), tf.zeros([1, 2, 4]), (48, 48))
