"""Box coders: codes by hand, round trips, finite values at the edges, equality with the reference."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.ops.box_coders import (
    CenterSqrtBoxCoder,
    CornerBoxCoder,
    FasterRcnnBoxCoder,
    KeypointBoxCoder,
    MeanStddevBoxCoder,
    SquareBoxCoder,
)

ANCHOR = tf.constant([[0.0, 0.0, 20.0, 10.0]])
BOX = tf.constant([[5.0, 5.0, 15.0, 25.0]])


def test_codes_by_hand():
    np.testing.assert_allclose(
        FasterRcnnBoxCoder().encode(BOX, ANCHOR), [[0, 10, 5 * np.log(0.5), 5 * np.log(2)]], rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(MeanStddevBoxCoder(0.5).encode(BOX, ANCHOR), [[10, 10, -10, 30]], rtol=1e-6)
    np.testing.assert_allclose(SquareBoxCoder().encode(BOX, ANCHOR), [[0, 100 / np.sqrt(200), 0]], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(CornerBoxCoder(50.0).encode(BOX, ANCHOR), [[0.1, 0.1, 0.3, 0.5]], rtol=1e-6)
    offsets = CornerBoxCoder(50.0, from_anchor=True).encode(BOX, ANCHOR)
    np.testing.assert_allclose(offsets, [[0.1, 0.1, -0.1, 0.3]], rtol=1e-6)
    # Centre (10, 15) in an anchor of 20 x 10 at (0, 0); 10 x 20 of 40 pixels.
    roots = [[0.5, 1.5, 0.5, np.sqrt(0.5)]]
    np.testing.assert_allclose(CenterSqrtBoxCoder(40.0).encode(BOX, ANCHOR), roots, rtol=1e-6)
    np.testing.assert_allclose(CenterSqrtBoxCoder(40.0).decode(tf.constant(roots, tf.float32), ANCHOR), BOX, rtol=1e-5)
    points = tf.concat([BOX, [[10.0, 10.0, 0.0, 5.0]]], axis=-1)
    codes = KeypointBoxCoder(2).encode(points, ANCHOR)
    np.testing.assert_allclose(codes[:, :4], FasterRcnnBoxCoder().encode(BOX, ANCHOR))
    np.testing.assert_allclose(codes[:, 4:], [[0, 5, -5, 0]], atol=1e-6)


def test_scales_multiply_each_code():
    plain = FasterRcnnBoxCoder(1.0, 1.0, 1.0, 1.0).encode(BOX, ANCHOR)
    scaled = FasterRcnnBoxCoder(2.0, 3.0, 4.0, 5.0).encode(BOX, ANCHOR)
    np.testing.assert_allclose(scaled, plain * [[2.0, 3.0, 4.0, 5.0]], rtol=1e-6)


boxes = st.tuples(st.floats(-50, 50), st.floats(-50, 50), st.floats(1, 200), st.floats(1, 200)).map(
    lambda b: [b[0], b[1], b[0] + b[2], b[1] + b[3]]
)


@settings(deadline=None, max_examples=50)
@given(boxes, boxes)
def test_decode_undoes_encode(box, anchor):
    box, anchor = tf.constant([box]), tf.constant([anchor])
    corners = (CornerBoxCoder(300.0), CornerBoxCoder(300.0, from_anchor=True), CenterSqrtBoxCoder(300.0))
    for coder in (FasterRcnnBoxCoder(), MeanStddevBoxCoder(), *corners):
        np.testing.assert_allclose(coder.decode(coder.encode(box, anchor), anchor), box, rtol=1e-4, atol=1e-2)
    points = tf.concat([box, box + 3.0], axis=-1)
    np.testing.assert_allclose(
        KeypointBoxCoder(2).decode(KeypointBoxCoder(2).encode(points, anchor), anchor), points, rtol=1e-4, atol=1e-2
    )
    square = SquareBoxCoder().decode(SquareBoxCoder().encode(box, anchor), anchor)[0]
    side = tf.sqrt((box[0, 2] - box[0, 0]) * (box[0, 3] - box[0, 1]))
    np.testing.assert_allclose([square[2] - square[0], square[3] - square[1]], [side, side], rtol=1e-3, atol=1e-2)


def test_leading_dimensions_broadcast_and_code_sizes():
    for coder in (
        *(FasterRcnnBoxCoder(), MeanStddevBoxCoder(), SquareBoxCoder(), KeypointBoxCoder(3)),
        *(CornerBoxCoder(2.0), CenterSqrtBoxCoder(2.0)),
    ):
        codes = tf.random.normal([2, 5, coder.code_size], seed=1)
        anchors = tf.tile(ANCHOR, [5, 1])
        decoded = coder.decode(codes, anchors)
        assert decoded.shape == (2, 5, 4 if coder.code_size < 5 else coder.code_size)
        assert coder.encode(decoded, anchors).shape == (2, 5, coder.code_size)


def test_empty_boxes_and_extreme_codes_stay_finite():
    for coder in (
        *(FasterRcnnBoxCoder(), SquareBoxCoder(), MeanStddevBoxCoder()),
        *(CornerBoxCoder(300.0), CenterSqrtBoxCoder(300.0)),
    ):
        assert np.isfinite(coder.encode(tf.zeros([1, 4]), ANCHOR)).all()
        assert np.isfinite(coder.encode(BOX, tf.zeros([1, 4]))).all()
        codes = tf.constant([[1e4] * coder.code_size, [-1e4] * coder.code_size])
        with tf.GradientTape() as tape:
            tape.watch(codes)
            decoded = coder.decode(codes, ANCHOR)
        assert np.isfinite(decoded).all() and np.isfinite(tape.gradient(decoded, codes)).all()


@pytest.mark.parametrize(
    ("name", "coder"),
    [("faster_rcnn", FasterRcnnBoxCoder()), ("mean_stddev", MeanStddevBoxCoder()), ("square", SquareBoxCoder())],
)
def test_equals_the_reference(shared, name, coder):
    units = np.load(shared / "parity" / "units.npz")
    boxes, anchors, codes, encoded, decoded = (
        units[f"box_coder_{name}_v0.{key}"]
        for key in ("in.boxes", "in.anchors", "in.codes", "out.encoded", "out.decoded")
    )
    np.testing.assert_allclose(coder.encode(boxes, anchors), encoded, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(coder.decode(codes, anchors), decoded, rtol=1e-5, atol=1e-6)
    with_xla = tf.function(lambda b, a: coder.decode(coder.encode(b, a), a), jit_compile=True)
    np.testing.assert_allclose(
        with_xla(boxes, anchors), coder.decode(coder.encode(boxes, anchors), anchors), rtol=1e-4, atol=1e-3
    )
