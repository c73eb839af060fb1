"""Box coders against the values in the TF Object Detection API's own unit tests: four coders, with and without scale
factors, both ways."""

from __future__ import annotations

import numpy as np
import pytest

from detection.ops.box_coders import FasterRcnnBoxCoder, KeypointBoxCoder, MeanStddevBoxCoder, SquareBoxCoder

BOXES = [[10.0, 10.0, 20.0, 15.0], [0.2, 0.1, 0.5, 0.4]]
ANCHORS = [[15.0, 12.0, 30.0, 18.0], [0.1, 0.0, 0.7, 0.9]]
POINTS = [[15.0, 12.0, 10.0, 15.0], [0.5, 0.3, 0.2, 0.4]]
WITH_POINTS = [box + points for box, points in zip(BOXES, POINTS, strict=True)]
PLAIN = [[-0.5, -0.416666, -0.405465, -0.182321], [-0.083333, -0.222222, -0.693147, -1.098612]]
SCALED = [[-1.0, -1.25, -1.62186, -0.911608], [-0.166667, -0.666667, -2.772588, -5.493062]]
PLAIN_POINTS = [[-0.5, -0.5, -0.833333, 0.0], [0.166667, -0.166667, -0.333333, -0.055556]]
SCALED_POINTS = [[-1.0, -1.5, -1.666667, 0.0], [0.333333, -0.5, -0.666667, -0.166667]]
SQUARES = [
    [14.594306, 7.884875, 20.918861, 14.209432],
    [0.155051, 0.102989, 0.522474, 0.470412],
]  # of the codes PLAIN and SCALED without the last

CORNERS = [[0.0, 0.0, 0.5, 0.5], [0.0, 0.0, 0.5, 0.5]]
MEANS = [[0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 0.8]]

BOTH_WAYS = {
    "faster_rcnn": (FasterRcnnBoxCoder(1, 1, 1, 1), BOXES, ANCHORS, PLAIN),
    "faster_rcnn, scaled": (FasterRcnnBoxCoder(2, 3, 4, 5), BOXES, ANCHORS, SCALED),
    "mean_stddev": (MeanStddevBoxCoder(0.1), CORNERS, MEANS, [[0.0] * 4, [-5.0, -5.0, -5.0, -3.0]]),
    "keypoint": (KeypointBoxCoder(2, 1, 1, 1, 1), WITH_POINTS, ANCHORS, np.hstack([PLAIN, PLAIN_POINTS])),
    "keypoint, scaled": (KeypointBoxCoder(2, 2, 3, 4, 5), WITH_POINTS, ANCHORS, np.hstack([SCALED, SCALED_POINTS])),
}
ENCODED = {
    "square": (SquareBoxCoder(1, 1, 1), [[-0.790569, -0.263523, -0.293893], [-0.068041, -0.272166, -0.89588]]),
    "square, scaled": (SquareBoxCoder(2, 3, 4), [[-1.581139, -0.790569, -1.175573], [-0.136083, -0.816497, -3.583519]]),
}
DECODED = {"square": (SquareBoxCoder(1, 1, 1), PLAIN), "square, scaled": (SquareBoxCoder(2, 3, 4), SCALED)}
# A box 1e-7 wide, which float32 makes 0 wide: finite codes, since 1e-8 is added to sizes.
SLIVER = {
    "faster_rcnn": (
        FasterRcnnBoxCoder(1, 1, 1, 1),
        [[10.0, 10.0, 10.0000001, 20.0]],
        [[-0.833333, 0.0, -21.128731, 0.510826]],
    ),
    "square": (SquareBoxCoder(1, 1, 1), [[10.0, 10.0, 10.0000001, 20.0]], [[-1.317616, 0.0, -20.670586]]),
    "keypoint": (
        KeypointBoxCoder(2, 1, 1, 1, 1),
        [[10.0, 10.0, 10.0000001, 20.0, 10.0, 10.0, 10.0000001, 20.0]],
        [[-0.833333, 0.0, -21.128731, 0.510826, -0.833333, -0.833333, -0.833333, 0.833333]],
    ),
}


def f32(values) -> np.ndarray:
    return np.asarray(values, np.float32)


@pytest.mark.parametrize("name", BOTH_WAYS)
def test_encode_and_decode(name):
    coder, boxes, anchors, codes = BOTH_WAYS[name]
    np.testing.assert_allclose(coder.encode(f32(boxes), f32(anchors)), codes, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(coder.decode(f32(codes), f32(anchors)), boxes, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ENCODED)
def test_encode_squares(name):
    coder, codes = ENCODED[name]
    np.testing.assert_allclose(coder.encode(f32(BOXES), f32(ANCHORS)), codes, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", DECODED)
def test_decode_squares(name):
    coder, codes = DECODED[name]
    np.testing.assert_allclose(coder.decode(f32(codes)[:, :3], f32(ANCHORS)), SQUARES, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", SLIVER)
def test_a_box_without_width_has_a_finite_code(name):
    coder, boxes, codes = SLIVER[name]
    np.testing.assert_allclose(coder.encode(f32(boxes), f32([[15.0, 12.0, 30.0, 18.0]])), codes, rtol=1e-4, atol=1e-4)
