"""Areas, similarities, clipping and conversions, against numbers by hand, numpy loops and the reference."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from detection.ops import boxes as box_ops


def box_arrays(most: int = 6):
    """float32 [n, 4], well-formed, some of them empty."""
    corners = hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, most), st.just(4)),
        elements=st.integers(0, 40).map(lambda v: np.float32(v * 2.5)),
    )
    return corners.map(
        lambda c: np.stack(
            [
                np.minimum(c[:, 0], c[:, 2]),
                np.minimum(c[:, 1], c[:, 3]),
                np.maximum(c[:, 0], c[:, 2]),
                np.maximum(c[:, 1], c[:, 3]),
            ],
            axis=-1,
        )
    )


def naive_overlaps(a, b):
    height = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    width = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    shared = height * width
    area_a, area_b = (a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1])
    return (shared / (area_a + area_b - shared) if shared else 0.0), (shared / area_b if shared else 0.0)


def test_overlaps_by_hand():
    one = tf.constant([[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 0.0, 0.0]])
    other = tf.constant(
        [[5.0, 0.0, 15.0, 10.0], [20.0, 20.0, 30.0, 30.0], [0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 10.0, 20.0]]
    )
    np.testing.assert_allclose(box_ops.iou(one, other), [[1 / 3, 0, 0, 0.5], [0, 0, 0, 0]], rtol=1e-6)
    np.testing.assert_allclose(box_ops.ioa(one, other), [[0.5, 0, 0, 0.5], [0, 0, 0, 0]], rtol=1e-6)
    np.testing.assert_allclose(box_ops.neg_sq_dist(one, other)[0], [-50, -1600, -200, -100])
    np.testing.assert_allclose(box_ops.ThresholdedIou(1 / 3 + 1e-3)(one, other)[0], [0, 0, 0, 1])
    np.testing.assert_allclose(box_ops.area(tf.constant([[0.0, 0, 2, 3], [2, 3, 0, 0], [1, 1, 1, 9]])), [6, 0, 0])


@settings(deadline=None, max_examples=60)
@given(box_arrays(), box_arrays())
def test_overlaps_equal_a_loop_and_are_bounded(rows, columns):
    expected = np.array([[naive_overlaps(a, b) for b in columns] for a in rows])
    iou = box_ops.iou(rows, columns).numpy()
    np.testing.assert_allclose(iou, expected[..., 0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(box_ops.ioa(rows, columns), expected[..., 1], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(iou, box_ops.iou(columns, rows).numpy().T, rtol=1e-6)
    assert ((iou >= 0) & (iou <= 1 + 1e-6)).all()


def test_leading_dimensions_broadcast():
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 50, (2, 3, 2))
    rows = tf.constant(np.concatenate([corner, corner + 20], -1), tf.float32)
    columns = rows[0, :2]
    for similarity in (box_ops.iou, box_ops.ioa, box_ops.neg_sq_dist, box_ops.ThresholdedIou(0.2)):
        batched = similarity(rows, columns)
        assert batched.shape == (2, 3, 2)
        np.testing.assert_allclose(batched[1], similarity(rows[1], columns), rtol=1e-6)


def test_boxes_are_clipped_to_the_window_of_their_image():
    boxes = tf.constant([[[-5.0, -5.0, 5.0, 5.0], [50.0, 50.0, 60.0, 60.0]]] * 2)
    windows = tf.constant([[0.0, 0.0, 100.0, 100.0], [0.0, 2.0, 40.0, 55.0]])
    clipped = box_ops.clip(boxes, windows).numpy()
    np.testing.assert_array_equal(clipped[0], [[0, 0, 5, 5], [50, 50, 60, 60]])
    np.testing.assert_array_equal(clipped[1], [[0, 2, 5, 5], [40, 50, 40, 55]])
    assert box_ops.area(clipped[1, 1]) == 0


def test_conversions_use_the_true_shape_and_are_inverse():
    boxes = tf.constant([[[0.1, 0.2, 0.5, 1.0]], [[0.0, 0.0, 1.0, 1.0]]])
    true_shapes = tf.constant([[100, 200], [30, 40]])
    pixels = box_ops.to_pixels(boxes, true_shapes)
    np.testing.assert_allclose(pixels[:, 0], [[10, 40, 50, 200], [0, 0, 30, 40]], rtol=1e-6)
    np.testing.assert_allclose(box_ops.to_normalised(pixels, true_shapes), boxes, rtol=1e-6)
    np.testing.assert_array_equal(box_ops.image_windows(true_shapes), [[0, 0, 100, 200], [0, 0, 30, 40]])


@pytest.mark.parametrize("name", ["iou", "ioa", "neg_sq_dist"])
def test_equals_the_reference(shared, name):
    units = np.load(shared / "parity" / "units.npz")
    actual = getattr(box_ops, name)(units["similarity_v0.in.boxes1"], units["similarity_v0.in.boxes2"])
    np.testing.assert_allclose(actual, units[f"similarity_v0.out.{name}"], rtol=1e-5, atol=1e-6)
