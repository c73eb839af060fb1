"""Anchors against the values in the TF Object Detection API's own unit tests of its grid and multiple-grid
generators."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from detection.ops.anchors import GridAnchors, SsdAnchors, tile

NINE = [
    [-121, -35, 135, 29],
    [-249, -67, 263, 61],
    [-505, -131, 519, 125],
    [-57, -67, 71, 61],
    [-121, -131, 135, 125],
    [-249, -259, 263, 253],
    [-25, -131, 39, 125],
    [-57, -259, 71, 253],
    [-121, -515, 135, 509],
]
TWO_BY_TWO = [
    [cy - half, cx - half, cy + half, cx + half]
    for cy, cx in ((0, 0), (0, 19), (19, 0), (19, 19))
    for half in (2.5, 5, 10)
]  # the reference lists the twelve boxes: centres 19 apart, sides 5, 10, 20


def test_one_cell():
    anchors = GridAnchors((0.5, 1.0, 2.0), (0.25, 1.0, 4.0), offset=(7, -3))
    np.testing.assert_allclose(anchors([(1, 1)], (256, 256)), NINE)
    shapes = [(scale, ratio) for ratio in (0.25, 1.0, 4.0) for scale in (0.5, 1.0, 2.0)]
    np.testing.assert_allclose(tile((1, 1), shapes, (256, 256), (16, 16), (7, -3)), NINE)


@pytest.mark.parametrize("traced", [False, True])
def test_a_grid(traced):
    anchors = GridAnchors((0.5, 1.0, 2.0), (1.0,), base=(10, 10), stride=(19, 19))
    if traced:
        shape = tf.TensorSpec([], tf.int32)
        made = tf.function(lambda h, w: anchors([(h, w)], (40, 40)), input_signature=[shape, shape])(2, 2)
    else:
        made = anchors([(2, 2)], (40, 40))
    np.testing.assert_allclose(made, TWO_BY_TWO)


@pytest.mark.parametrize("traced", [False, True])
def test_one_row_of_two_cells_on_a_wide_image(traced):
    """On 320 x 640 the shorter side is the unit, so that boxes are square in pixels: in fractions of the image [0, 0,
    1, 0.5] and [0, 0.5, 1, 1]."""
    anchors = SsdAnchors(shapes=(((1.0, 1.0),),))
    if traced:
        shape = tf.TensorSpec([], tf.int32)
        made = tf.function(lambda h, w: anchors([(h, w)], (320, 640)), input_signature=[shape, shape])(1, 2)
    else:
        made = anchors([(1, 2)], (320, 640))
    np.testing.assert_allclose(made / [320, 640, 320, 640], [[0, 0, 1, 0.5], [0, 0.5, 1, 1]])


def test_two_maps():
    made = (
        SsdAnchors(shapes=(((1.0, 1.0), (2.0, 1.0), (1.0, 0.5)), ((1.0, 1.0), (1.0, 0.5))))(
            [(4, 4), (2, 2)], (64, 64)
        ).numpy()
        / 64
    )
    h, w = np.sqrt(2), 1 / np.sqrt(2)
    assert made.shape == (56, 4)
    first = [[0.125 - half, 0.125 - half, 0.125 + half, 0.125 + half] for half in (0.5, 1.0)]
    np.testing.assert_allclose(
        made[:3], [*first, [0.125 - h / 2, 0.125 - w / 2, 0.125 + h / 2, 0.125 + w / 2]], atol=1e-6
    )
    last = [
        [cy - height / 2, cx - width / 2, cy + height / 2, cx + width / 2]
        for cy, cx in ((0.25, 0.25), (0.25, 0.75), (0.75, 0.25), (0.75, 0.75))
        for height, width in ((1, 1), (h, w))
    ]
    np.testing.assert_allclose(made[48:], last, atol=1e-6)


@pytest.mark.parametrize(("reduced", "count"), [(True, 7308), (False, 11640)])
def test_number_of_ssd_anchors(reduced, count):
    maps = [(38, 38), (19, 19), (10, 10), (5, 5), (3, 3), (1, 1)]
    ratios = (1.0, 2.0, 3.0, 0.5, 1 / 3)
    assert SsdAnchors.evenly_scaled(aspect_ratios=ratios, reduce_boxes_in_lowest_layer=reduced)(
        maps, (300, 300)
    ).shape == (count, 4)


def test_the_number_of_maps_must_fit():
    two = SsdAnchors(shapes=(((1.0, 1.0),), ((1.0, 1.0),)))
    for maps in ([(4, 4)], [(4, 4), (2, 2), (1, 1)]):
        with pytest.raises(ValueError, match="feature maps for anchors of 2 maps"):
            two(maps, (64, 64))
