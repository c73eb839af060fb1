"""Messages to anchor generators."""

from __future__ import annotations

import pytest
from google.protobuf import text_format

from detection.builders import anchor_generator
from detection.errors import ConfigError
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


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "anchor_generator is empty; set one"),
        (
            "flexible_grid_anchor_generator {}",
            r"anchor_generator\.flexible_grid_anchor_generator is not supported; use ssd_anchor_generator",
        ),
        ("ssd_anchor_generator { num_layers: 0 }", r"ssd_anchor_generator\.num_layers \(0\) must be positive"),
        (
            "ssd_anchor_generator { min_scale: 0.9 max_scale: 0.5 }",
            r"min_scale \(0\.9\) must not exceed max_scale \(0\.5\)",
        ),
        ("ssd_anchor_generator { scales: [0.1, 0.2] }", r"scales has 2 values for num_layers 6"),
        ("ssd_anchor_generator { aspect_ratios: [1, -2] }", r"aspect_ratios \(-2\) must be positive"),
        (
            "ssd_anchor_generator { interpolated_scale_aspect_ratio: -1 }",
            r"interpolated_scale_aspect_ratio \(-1\) must not be negative",
        ),
        ("ssd_anchor_generator { interpolated_scale_aspect_ratio: 0 }", r"aspect_ratios is empty"),
        (
            "ssd_anchor_generator { height_stride: [8, 16] width_stride: [8, 16] }",
            r"height_stride has 2 values for num_layers 6",
        ),
        ("ssd_anchor_generator { num_layers: 1 height_offset: 8 }", r"width_offset has 0 values for num_layers 1"),
        (
            "ssd_anchor_generator { num_layers: 1 height_stride: 0 width_stride: 1 }",
            r"height_stride \(0\) must be positive",
        ),
        ("grid_anchor_generator {}", r"grid_anchor_generator\.scales is empty, so there would be no anchors"),
        ("grid_anchor_generator { scales: 1 aspect_ratios: inf }", r"aspect_ratios \(inf\) must be positive"),
        (
            "multiscale_anchor_generator { aspect_ratios: 1 min_level: 8 }",
            r"min_level \(8\) must be between 0 and max_level \(7\)",
        ),
        (
            "multiscale_anchor_generator { aspect_ratios: 1 scales_per_octave: 0 }",
            r"scales_per_octave \(0\) must be positive",
        ),
    ],
)
def test_refuses(text, message):
    with pytest.raises(ConfigError, match=message):
        build(text)
