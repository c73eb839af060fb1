"""Merges boxes that differ only in their class, so that one box has several classes.

Records have such a box once for each class (AVA: a person who stands and talks).

Two boxes are the same where all four sides fall into the same of 10,000 equal parts of the image, as in the TF Object
Detection API.
"""

from __future__ import annotations

import tensorflow as tf

from detection.data.sample import Sample, box_fields

_PARTS = 10_000


def merge_equal_boxes(sample: Sample, num_classes: int) -> tuple[Sample, tf.Tensor]:
    """Returns the sample with each box once, and the classes of each box.

    A box is kept as its first row has it, in the order of the first rows. The classes are float32 [n, K], 1 for every
    class of which the box has a row.
    """
    parts = tf.cast(sample.boxes * (_PARTS - 1), tf.int64)
    keys = tf.linalg.matvec(parts, tf.constant([_PARTS**side for side in range(4)], tf.int64))
    unique, places = tf.unique(keys)
    count = tf.size(unique)
    first = tf.math.unsorted_segment_min(tf.range(tf.size(keys)), places, count)
    classes = tf.math.unsorted_segment_max(tf.one_hot(sample.classes, num_classes), places, count)
    rows = {field: tf.gather(getattr(sample, field), first) for field in box_fields(sample)}
    return sample._replace(**rows), classes
