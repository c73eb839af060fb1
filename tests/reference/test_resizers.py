"""Resizers against the sizes and values in the TF Object Detection API's own unit tests (resizer builder,
preprocessor)."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format

from detection.builders import image_resizer
from detection.config.check import examine
from detection.data.augment import scale
from detection.data.sample import Sample
from detection.protos import image_resizer_pb2

KEEP = "keep_aspect_ratio_resizer {{ min_dimension: {} max_dimension: {} {} }}"
SIZES = [
    (KEEP.format(10, 20, ""), (50, 25), (20, 10)),
    (KEEP.format(10, 20, ""), (90, 60), (15, 10)),
    (KEEP.format(10, 20, ""), (240, 60), (20, 5)),
    (KEEP.format(10, 20, "pad_to_max_dimension: true"), (50, 25), (20, 20)),
    (KEEP.format(50, 100, ""), (60, 40), (75, 50)),
    (KEEP.format(50, 100, ""), (15, 30), (50, 100)),
    (KEEP.format(50, 100, ""), (15, 50), (30, 100)),
    (KEEP.format(320, 320, ""), (312, 312), (320, 320)),
    (KEEP.format(320, 320, ""), (299, 299), (320, 320)),
    ("fixed_shape_resizer { height: 10 width: 20 }", (50, 25), (10, 20)),
    ("identity_resizer { }", (50, 25), (50, 25)),
    # The reference's resize to a least side: what is large enough stays as it is.
    ("conditional_shape_resizer { condition: SMALLER size_threshold: 50 }", (60, 55), (60, 55)),
    ("conditional_shape_resizer { condition: SMALLER size_threshold: 50 }", (15, 30), (50, 100)),
    ("conditional_shape_resizer { condition: SMALLER size_threshold: 50 }", (60, 40), (75, 50)),
]


def resizer_of(text: str):
    return image_resizer.build(text_format.Parse(text, image_resizer_pb2.ImageResizer()))


@pytest.mark.parametrize(("text", "given", "expected"), SIZES)
def test_sizes(text, given, expected):
    resizer = resizer_of(text)
    image, true_shape = resizer(tf.zeros([*given, 3], tf.uint8))
    assert image.shape == (*expected, 3)
    if not resizer.pads:
        assert true_shape.numpy().tolist() == list(expected)
    traced = tf.function(resizer.__call__, input_signature=[tf.TensorSpec([None, None, 3], tf.uint8)])
    assert traced(tf.zeros([*given, 3], tf.uint8))[0].shape == (*expected, 3)


def test_nearest_neighbour_to_one_pixel_is_the_first():
    image = np.tile(np.arange(1, 10, dtype=np.uint8).reshape(3, 3, 1), (1, 1, 3))
    resized, _ = resizer_of("fixed_shape_resizer { height: 1 width: 1 resize_method: NEAREST_NEIGHBOR }")(
        tf.constant(image)
    )
    assert np.unique(resized).tolist() == [1.0]


def test_nothing_chosen_is_an_error():
    faults, _ = examine(image_resizer_pb2.ImageResizer(), "model.ssd.image_resizer")
    assert len(faults) == 1 and faults[0].startswith("model.ssd.image_resizer is empty; set one of ")


@pytest.mark.parametrize("given", [(60, 40), (15, 30)])
def test_the_step_resize_image(given):
    none = tf.zeros([0])
    sample = Sample(tf.zeros([*given, 3]), tf.zeros([0, 4]), tf.cast(none, tf.int32), none, none > 0, none > 0, none)
    assert scale.resize_image(sample, new_height=50, new_width=100).image.shape == (50, 100, 3)
