"""Anchors: by hand, against a loop in numpy, static against dynamic shapes, and equal to the reference."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf

from detection.ops.anchors import GridAnchors, MultiscaleAnchors, SsdAnchors

RATIOS = (1.0, 2.0, 0.5, 3.0, 0.3333)
SSD300 = [(19, 19), (10, 10), (5, 5), (3, 3), (2, 2), (1, 1)]


def centre_boxes(centres_y, centres_x, sizes):
    return np.array(
        [[y - h / 2, x - w / 2, y + h / 2, x + w / 2] for y in centres_y for x in centres_x for h, w in sizes],
        np.float32,
    )


def test_ssd_shapes_follow_the_rule():
    anchors = SsdAnchors.evenly_scaled(aspect_ratios=RATIOS)
    assert anchors.num_per_location == (3, 6, 6, 6, 6, 6)
    assert anchors.shapes[0] == ((0.1, 1.0), (0.2, 2.0), (0.2, 0.5))
    np.testing.assert_allclose(
        [row[-1][0] for row in anchors.shapes[1:]], [0.41833, 0.57009, 0.72111, 0.87178, 0.97468], rtol=1e-4
    )
    full = SsdAnchors.evenly_scaled(
        num_layers=1,
        scales=(0.3,),
        aspect_ratios=(2.0,),
        reduce_boxes_in_lowest_layer=False,
        interpolated_scale_aspect_ratio=0.5,
    )
    np.testing.assert_allclose(full.shapes[0], [(0.3, 2.0), (np.sqrt(0.3), 0.5)])
    assert SsdAnchors.evenly_scaled(aspect_ratios=RATIOS, interpolated_scale_aspect_ratio=0.0).num_per_location == (
        3,
        5,
        5,
        5,
        5,
        5,
    )


def test_ssd_on_an_oblong_image_by_hand():
    """Sizes come from the shorter side (200), centres from each side's own stride."""
    anchors = SsdAnchors(shapes=(((0.5, 1.0), (0.5, 4.0)),), base_height=1.0, base_width=0.5)
    expected = centre_boxes([50, 150], [50, 150, 250, 350], [(100, 50), (50, 100)])
    np.testing.assert_allclose(anchors([(2, 4)], (200, 400)), expected, atol=1e-4)


def test_ssd_strides_and_offsets_in_pixels():
    anchors = SsdAnchors(shapes=(((0.5, 1.0),), ((1.0, 1.0),)), strides=((16, 8), (32, 32)), offsets=((4, 2), (0, 0)))
    expected = np.concatenate([centre_boxes([4, 20], [2, 10], [(50, 50)]), centre_boxes([0], [0], [(100, 100)])])
    np.testing.assert_allclose(anchors([(2, 2), (1, 1)], (100, 100)), expected, atol=1e-4)
    default_offset = SsdAnchors(shapes=(((0.5, 1.0),),), strides=((16, 8),))
    np.testing.assert_allclose(default_offset([(1, 2)], (100, 100)), centre_boxes([8], [4, 12], [(50, 50)]), atol=1e-4)


def test_grid_by_hand():
    anchors = GridAnchors(scales=(1.0, 2.0), aspect_ratios=(1.0, 4.0), base=(10, 20), stride=(4, 6), offset=(1, 2))
    expected = centre_boxes([1, 5], [2, 8, 14], [(10, 20), (20, 40), (5, 40), (10, 80)])
    np.testing.assert_allclose(anchors([(2, 3)], (999, 999)), expected, atol=1e-4)
    assert anchors.num_per_location == (4,)


def test_multiscale_offsets_only_where_the_stride_divides():
    anchors = MultiscaleAnchors(min_level=3, max_level=4, anchor_scale=2.0, aspect_ratios=(1.0,), scales_per_octave=2)
    boxes = anchors([(1, 1), (1, 1)], (16, 24)).numpy()
    root = np.sqrt(2)
    shapes = [(16, 16), (16 * root, 16 * root)]
    expected = np.concatenate([centre_boxes([4], [4], shapes), centre_boxes([8], [0], 2 * np.array(shapes))])
    np.testing.assert_allclose(boxes, expected, atol=1e-4)
    assert anchors.num_per_location == (2, 2)


GENERATORS = [
    (SsdAnchors.evenly_scaled(num_layers=2, aspect_ratios=RATIOS), [(5, 7), (3, 4)], (100, 140)),
    (GridAnchors((0.5, 1.0), (0.5, 1.0, 2.0)), [(4, 6)], (64, 96)),
    (MultiscaleAnchors(3, 4), [(6, 8), (3, 4)], (48, 65)),
]


@pytest.mark.parametrize(("generator", "maps", "image"), GENERATORS)
def test_tensor_shapes_give_the_same_and_known_ones_a_constant(generator, maps, image):
    expected = generator(maps, image)
    assert expected.shape[0] == sum(n * h * w for n, (h, w) in zip(generator.num_per_location, maps, strict=True))

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.int32), tf.TensorSpec([2], tf.int32)])
    def dynamic(shapes, image_shape):
        return generator([tuple(tf.unstack(shapes[i])) for i in range(len(maps))], tuple(tf.unstack(image_shape)))

    np.testing.assert_allclose(dynamic(tf.constant(maps), tf.constant(image)), expected, atol=1e-4)
    static = tf.function(lambda: generator(maps, image)).get_concrete_function()
    assert static.output_shapes == expected.shape
    assert {op.type for op in static.graph.get_operations()} <= {"Const", "Identity", "NoOp"}


def test_wrong_number_of_maps_is_refused():
    with pytest.raises(ValueError, match="1 feature maps for anchors of 2"):
        SsdAnchors.evenly_scaled(num_layers=2, aspect_ratios=RATIOS)([(1, 1)], (10, 10))


def test_ssd_equals_the_reference(shared):
    golden = json.loads((shared / "reference" / "odapi_golden.json").read_text())
    generator = SsdAnchors.evenly_scaled(aspect_ratios=RATIOS)
    for ours, theirs in zip(generator.shapes, golden["ssd_box_specs"], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    anchors = generator(SSD300, (300, 300)).numpy() / 300
    assert len(anchors) == golden["ssd_anchor_count"]
    for rows, key in (
        (slice(4), "ssd_anchor_first4"),
        (slice(1083, 1089), "ssd_anchor_1083_1089"),
        (slice(-6, None), "ssd_anchor_last6"),
    ):
        np.testing.assert_allclose(anchors[rows], golden[key], rtol=1e-5, atol=1e-6)
    oblong = generator(SSD300, (300, 600)).numpy()[:3] / [300, 600, 300, 600]
    np.testing.assert_allclose(oblong, golden["ssd_anchor_300x600_first3"], rtol=1e-5, atol=1e-6)
    units = np.load(shared / "parity" / "units.npz")
    np.testing.assert_allclose(anchors, units["ssd_anchors_v0.out.anchors"], rtol=1e-5, atol=1e-6)


def test_grid_and_multiscale_equal_the_reference(shared):
    golden = json.loads((shared / "reference" / "odapi_golden.json").read_text())
    units = np.load(shared / "parity" / "units.npz")
    grid = GridAnchors((0.25, 0.5, 1.0, 2.0), (0.5, 1.0, 2.0))
    np.testing.assert_allclose(grid([(2, 2)], (32, 32))[:13], golden["frcnn_grid_2x2_first13"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(grid([(5, 7)], (80, 112)), units["grid_anchors_v0.out.anchors"], rtol=1e-5, atol=1e-6)
    pyramid = MultiscaleAnchors()([(32, 32), (16, 16), (8, 8), (4, 4), (2, 2)], (256, 256))
    np.testing.assert_allclose(pyramid / 256, units["multiscale_anchors_v0.out.anchors"], rtol=1e-5, atol=1e-6)
