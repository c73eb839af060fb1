"""RoI max pooling and its gradient against plain loops in numpy: edges, outside, one pixel, empty bins, ties, every
kind of shape."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st

from detection.ops.roi import RoiMaxPool


def away_from_zero(value: np.float32) -> int:
    return int(np.sign(value) * np.floor(np.abs(np.float64(value)) + 0.5))


def bin_of(low: int, high: int, i: int, size: int, side: int) -> range:
    """Cells of bin i, with the arithmetic of Caffe's layer: float32."""
    step = np.float32(max(high - low + 1, 1)) / np.float32(size)
    start, end = low + int(np.floor(np.float32(i) * step)), low + int(np.ceil(np.float32(i + 1) * step))
    return range(min(max(start, 0), side), min(max(end, 0), side))


def naive(maps, boxes, size, stride):
    """Section 2.1 cell by cell: the maxima [B * P, size, size, c], and where they stand, flat in maps; -1 for
    nowhere."""
    (batch, height, width, depth), count = maps.shape, boxes.shape[1]
    pooled = np.zeros([batch, count, size, size, depth], np.float32)
    switches = np.full(pooled.shape, -1)
    for b, p, i, j in np.ndindex(batch, count, size, size):
        r0, c0, r1, c1 = (away_from_zero(edge * np.float32(1 / stride)) for edge in boxes[b, p])
        rows, columns = bin_of(r0, r1, i, size, height), bin_of(c0, c1, j, size, width)
        for k in range(depth):
            best = -np.inf
            for y in rows:
                for x in columns:
                    if maps[b, y, x, k] > best:
                        best = pooled[b, p, i, j, k] = maps[b, y, x, k]
                        switches[b, p, i, j, k] = np.ravel_multi_index((b, y, x, k), maps.shape)
    return pooled.reshape(-1, size, size, depth), switches.reshape(-1, size, size, depth)


def naive_gradient(upstream, switches, shape):
    """Eq. 4."""
    gradient = np.zeros(np.prod(shape), np.float32)
    np.add.at(gradient, switches[switches >= 0], upstream[switches >= 0])
    return gradient.reshape(shape)


def with_gradient(op, maps, boxes, upstream):
    with tf.GradientTape() as tape:
        tape.watch([maps, boxes])
        pooled = op(maps, boxes, (1, 1))
    return pooled, *tape.gradient(pooled, [maps, boxes], upstream)


@cache
def for_all_shapes(op):
    """Compiled once, for any batch, map and number of boxes, with two channels."""
    signature = [
        tf.TensorSpec([None, None, None, 2]),
        tf.TensorSpec([None, None, 4]),
        tf.TensorSpec([None, None, None, 2]),
    ]
    return tf.function(
        lambda maps, boxes, upstream: with_gradient(op, maps, boxes, upstream), input_signature=signature
    )


def check(run, op, maps, boxes, upstream):
    """Bit for bit: maxima are copies, and the numbers in upstream are whole, so that their sums do not depend on their
    order."""
    expected, switches = naive(maps, boxes, op.size, op.stride)
    pooled, gradient, of_boxes = run(tf.constant(maps), tf.constant(boxes), tf.constant(upstream))
    assert of_boxes is None
    np.testing.assert_array_equal(pooled, expected)
    np.testing.assert_array_equal(gradient, naive_gradient(upstream, switches, maps.shape))


@st.composite
def cases(draw, ops, depths=(1, 2, 3)):
    """Small maps, often with equal numbers; boxes inside, across edges, outside, inverted, of one pixel, on halves of
    cells."""
    op, depth = draw(ops), draw(st.sampled_from(depths))
    batch, count = draw(st.integers(1, 2)), draw(st.integers(0, 4))
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = draw(st.sampled_from([2, 5, 1000]))
    maps = rng.integers(-values, values, [batch, height, width, depth]).astype(np.float32) / 4
    maps *= rng.choice([-1.0, 1.0], maps.shape).astype(np.float32)  # so that there are zeros of both signs
    far = 3.0 * op.stride * max(height, width)
    halves = st.integers(-2 * width, 4 * width).map(lambda n: n * op.stride / 2)
    edge = st.one_of(
        st.floats(-far, far, width=32), halves, st.sampled_from([0.0, height * op.stride, width * op.stride])
    )
    boxes = np.array(
        draw(st.lists(st.lists(edge, min_size=4, max_size=4), min_size=batch * count, max_size=batch * count)),
        np.float32,
    )
    upstream = rng.integers(-8, 9, [batch * count, op.size, op.size, depth]).astype(np.float32)
    return op, maps, boxes.reshape(batch, count, 4), upstream


ANY = st.builds(RoiMaxPool, st.sampled_from([1, 2, 3, 7]), st.sampled_from([1, 3, 16]), st.sampled_from([1, 2, 128]))


@settings(deadline=None, max_examples=60)
@given(cases(ANY))
def test_equals_the_definition(case):
    op, maps, boxes, upstream = case
    check(lambda *tensors: with_gradient(op, *tensors), op, maps, boxes, upstream)


@settings(deadline=None, max_examples=60)
@given(cases(st.sampled_from([RoiMaxPool(3, 3, 1), RoiMaxPool(7, 16)]), depths=(2,)))
def test_equals_the_definition_when_no_shape_is_known(case):
    op, maps, boxes, upstream = case
    check(for_all_shapes(op), op, maps, boxes, upstream)


@example(57)  # 7 * (57 / 7) is above 57 in float32: the last bin takes in a 58th cell, in Caffe as here.
@example(21)  # floor and ceiling of multiples of 21 * (1 / 7) would be wrong in float32.
@settings(deadline=None, max_examples=30)
@given(st.integers(1, 120))
def test_rois_of_every_length_have_the_bins_of_caffe_in_a_graph_too(length):
    op = RoiMaxPool(7, 1)  # in the graph its division by 7 is one by a constant
    maps = np.arange(length + 4, dtype=np.float32).reshape(1, 1, -1, 1)
    maps = np.concatenate([maps, -maps], -1)  # the last and the first cell of each bin
    boxes = np.array([[[0, 2, 0, length + 1]]], np.float32)
    check(for_all_shapes(op), op, maps, boxes, np.ones([1, 7, 7, 2], np.float32))


def test_by_hand():
    """A map of 3 x 4 cells of 16 pixels; the box covers rows 0 to 1 and columns 1 to 3."""
    maps = tf.reshape(tf.constant([1.0, 9.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 20.0, 20.0, 20.0, 20.0]), [1, 3, 4, 1])
    boxes = tf.constant([[[0.0, 10.0, 17.0, 52.0]]])
    pooled, gradient, _ = with_gradient(
        RoiMaxPool(2, 16), maps, boxes, tf.constant([1.0, 10.0, 100.0, 1000.0], shape=[1, 2, 2, 1])
    )
    np.testing.assert_array_equal(pooled[0, :, :, 0], [[9, 4], [7, 8]])  # columns 1 and 2, then 2 and 3
    np.testing.assert_array_equal(gradient[0, :, :, 0], [[0, 1, 0, 10], [0, 0, 100, 1000], [0, 0, 0, 0]])


def test_the_first_of_equal_values_gets_the_gradient():
    """The two windows that cover a bin of three rows overlap, and each begins with a column of equal numbers."""
    maps = np.zeros([1, 3, 5, 1], np.float32)
    maps[0, 1, 0], maps[0, 0, 4], maps[0, 2, 2] = 1, 1, 1
    _, gradient, _ = with_gradient(
        RoiMaxPool(1, 1), tf.constant(maps), tf.constant([[[0.0, 0.0, 2.0, 4.0]]]), tf.ones([1, 1, 1, 1])
    )
    assert np.flatnonzero(gradient) == [4]


def test_extreme_values_keep_their_order():
    """Infinities, the smallest and largest floats, both zeros: the key of a number must order as the number does."""
    tiny, huge = np.finfo(np.float32).tiny, np.finfo(np.float32).max
    values = np.array([-np.inf, -huge, -1.0, -tiny, -0.0, 0.0, tiny, 1.0, huge, np.inf], np.float32)
    first, second = np.repeat(values, len(values)), np.tile(values, len(values))  # a pair of them in each channel
    maps = tf.constant(np.stack([first, second])[np.newaxis, np.newaxis])
    pooled, gradient, _ = with_gradient(
        RoiMaxPool(1, 1), maps, tf.constant([[[0.0, 0.0, 0.0, 1.0]]]), tf.ones([1, 1, 1, len(first)])
    )
    np.testing.assert_array_equal(pooled[0, 0, 0], np.maximum(first, second))
    np.testing.assert_array_equal(gradient[0, 0], [second <= first, second > first])


def test_gradient_equals_finite_differences():
    """Numbers a quarter of a unit apart keep their order when one moves by a sixteenth, so that the slope is exact in
    float32."""
    rng = np.random.default_rng(3)
    maps = tf.constant(rng.permutation(2 * 5 * 6 * 2).reshape(2, 5, 6, 2).astype(np.float32) / 4)
    boxes = tf.constant(rng.uniform(0, 80, [2, 3, 4]).astype(np.float32))
    upstream = tf.constant(rng.integers(-8, 9, [6, 3, 3, 2]).astype(np.float32))
    op = RoiMaxPool(3, 16)
    _, gradient, _ = with_gradient(op, maps, boxes, upstream)
    moves = np.eye(maps.shape.num_elements(), dtype=np.float32).reshape(-1, *maps.shape) / 16
    slope = tf.function(lambda move: tf.reduce_sum((op(maps + move, boxes) - op(maps - move, boxes)) * upstream) * 8)
    slopes = [slope(move) for move in moves]
    np.testing.assert_array_equal(tf.reshape(gradient, [-1]), slopes)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 3e38, -3e38])
@pytest.mark.parametrize("edge", range(4))
def test_invalid_boxes_give_finite_values(bad, edge):
    op, maps = RoiMaxPool(2, 16), tf.random.stateless_uniform([1, 4, 4, 3], [1, 2], 1.0, 2.0)
    boxes = np.array([[[0, 0, 63, 63], [0, 0, 63, 63]]], np.float32)
    boxes[0, 1, edge] = bad
    pooled, gradient, _ = with_gradient(op, maps, tf.constant(boxes), tf.ones([2, 2, 2, 3]))
    assert np.isfinite(pooled).all() and np.isfinite(gradient).all()
    np.testing.assert_array_equal(pooled[0], op(maps, tf.constant(boxes[:, :1]))[0])
    if not np.isfinite(bad):
        assert not pooled[1].numpy().any() and np.sum(gradient) == 2 * 2 * 3


def test_padding_is_the_first_cell():
    maps = tf.random.stateless_normal([2, 3, 3, 4], [1, 2])
    pooled, gradient, _ = with_gradient(RoiMaxPool(7, 16), maps, tf.zeros([2, 3, 4]), tf.ones([6, 7, 7, 4]))
    np.testing.assert_array_equal(
        pooled, np.repeat(maps[:, 0, 0].numpy(), 3, axis=0)[:, None, None] * np.ones([1, 7, 7, 1], np.float32)
    )
    assert (
        gradient.numpy()[:, 0, 0].min() == gradient.numpy()[:, 0, 0].max() == 3 * 49
        and not gradient.numpy()[:, 1:].any()
    )


def test_static_shapes_are_kept():
    def shape(batch, count):
        def run(maps, boxes):
            pooled = RoiMaxPool(7, 16)(maps, boxes)
            shapes.append(pooled.shape.as_list())
            return pooled

        shapes = []
        tf.function(
            run, input_signature=[tf.TensorSpec([batch, None, None, 5]), tf.TensorSpec([batch, count, 4])]
        ).get_concrete_function()
        return shapes[0]

    assert shape(2, 3) == [6, 7, 7, 5]
    assert shape(None, 3) == shape(2, None) == [None, 7, 7, 5]


def test_settings_are_checked():
    for wrong in ({"size": 0}, {"stride": 0}, {"chunk": 0}):
        with pytest.raises(ValueError, match="at least 1"):
            RoiMaxPool(**{"size": 7, "stride": 16, **wrong})
