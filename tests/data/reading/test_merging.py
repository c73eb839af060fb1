"""Boxes of several classes, one row for each in a record, as one box."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from detection.data.reading.input import train_dataset
from detection.data.reading.merging import merge_equal_boxes
from detection.data.resize import IdentityResizer
from detection.data.sample import Sample


def test_equal_boxes_become_one_of_several_classes():
    """The third box is the first to a ten thousandth of the image; the last is not."""
    boxes = tf.constant([[0.1, 0.2, 0.5, 0.6], [0, 0, 1, 1], [0.100005, 0.2, 0.5, 0.6], [0.1, 0.2, 0.5, 0.601]])
    flags = tf.constant([False, False, True, False])
    weights = tf.constant([0.5, 1, 2, 1])
    sample = Sample(tf.zeros([4, 4, 3]), boxes, tf.constant([2, 0, 1, 2]), weights, flags, flags, weights)
    merged, classes = merge_equal_boxes(sample, 4)
    np.testing.assert_array_equal(merged.boxes, boxes.numpy()[[0, 1, 3]])
    np.testing.assert_array_equal(classes, [[0, 1, 1, 0], [1, 0, 0, 0], [0, 0, 1, 0]])
    np.testing.assert_array_equal(merged.weights, [0.5, 1, 1])
    np.testing.assert_array_equal(merged.is_crowd, [False] * 3)
    nothing, none = merge_equal_boxes(Sample(sample.image, boxes[:0], *(field[:0] for field in sample[2:7])), 4)
    assert nothing.boxes.shape == (0, 4) and none.shape == (0, 4)


def test_training_reads_them_so_where_the_config_asks(write, example, options):
    boxes = [(0, 0, 0.5, 0.5), (0.5, 0.5, 1, 1), (0, 0, 0.5, 0.5)]
    settings = options(write(example(boxes=boxes, image__object__class__label=[3, 1, 1])), num_epochs=1)
    for merge in (False, True):
        (batch,) = train_dataset(dataclasses.replace(settings, merge_boxes=merge), (), IdentityResizer(), 1, seed=1)
        assert batch.groundtruth.counts.numpy() == [2 if merge else 3]
    np.testing.assert_array_equal(
        batch.groundtruth.class_sets[0], [[1, 0, 1], [1, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]]
    )
    np.testing.assert_array_equal(batch.groundtruth.classes[0], [2, 0, 0, 0, 0])
