"""Builder of anchor generators."""

from __future__ import annotations

import numpy as np
import pytest
from google.protobuf import text_format

from detection.builders import anchor_generator
from detection.ops.anchors import GridAnchors, MultiscaleAnchors, SsdAnchors
from detection.protos import anchor_generator_pb2


def build(text):
    return anchor_generator.build(text_format.Parse(text, anchor_generator_pb2.AnchorGenerator()))


def test_builds_ssd():
    built = build("ssd_anchor_generator { aspect_ratios: [1, 2, 0.5] }")
    expected = SsdAnchors.evenly_scaled(aspect_ratios=(1, 2, 0.5))
    assert built.num_per_location == (3, 4, 4, 4, 4, 4) == expected.num_per_location
    assert [pytest.approx(row, rel=1e-6) for shapes in expected.shapes for row in shapes] == [
        row for shapes in built.shapes for row in shapes
    ]
    assert (built.base_height, built.base_width, built.strides, built.offsets) == (1.0, 1.0, None, None)


def test_every_ssd_option_counts():
    built = build("""ssd_anchor_generator {
        num_layers: 2 scales: [0.25, 0.5] aspect_ratios: 2 interpolated_scale_aspect_ratio: 0
          reduce_boxes_in_lowest_layer: false
        base_anchor_height: 0.5 base_anchor_width: 2
        height_stride: [8, 16] width_stride: [4, 32] height_offset: [0, 1] width_offset: [2, 3] }""")
    assert built == SsdAnchors((((0.25, 2.0),), ((0.5, 2.0),)), 0.5, 2.0, ((8, 4), (16, 32)), ((0, 2), (1, 3)))


def test_builds_grid_and_multiscale():
    grid = build(
        """grid_anchor_generator { height: 64 width: 32 height_stride: 8 width_stride: 4 height_offset: 2
          width_offset: 1
                    scales: [0.5, 1] aspect_ratios: 2 }"""
    )
    assert grid == GridAnchors((0.5, 1.0), (2.0,), (64, 32), (8, 4), (2, 1))
    assert build("grid_anchor_generator { scales: 1 aspect_ratios: 1 }") == GridAnchors((1.0,), (1.0,))
    pyramid = build(
        "multiscale_anchor_generator { min_level: 2 max_level: 4 anchor_scale: 2 aspect_ratios: 1"
        " scales_per_octave: 3 }"
    )
    assert pyramid == MultiscaleAnchors(2, 4, 2.0, (1.0,), 3)


def test_flexible_grids():
    """Sizes and aspect ratios are paired; maps may have any stride and offset."""
    built = build("""flexible_grid_anchor_generator {
        anchor_grid { base_sizes: [4, 16] aspect_ratios: [1, 4] height_stride: 8 width_stride: 10 width_offset: 3 }
        anchor_grid { base_sizes: 6 aspect_ratios: 1 height_stride: 16 width_stride: 16 height_offset: 8 } }""")
    assert built.num_per_location == (2, 1)
    expected = [
        [-2, 1, 2, 5],
        [-4, -13, 4, 19],
        [6, 1, 10, 5],
        [4, -13, 12, 19],
        [5, -3, 11, 3],
        [5, 13, 11, 19],
    ]
    np.testing.assert_allclose(built([(2, 1), (1, 2)], (100, 100)), expected)
