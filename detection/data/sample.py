"""What travels through the input pipeline, one image at a time.

    Record (bytes and where they come from) -> decode -> Sample -> augment -> Sample -> resize, pad, batch -> types.Example

Boxes of a sample are normalised to its image ([ymin, xmin, ymax, xmax], 0 to 1), so that most geometric operations need not know its size;
they become pixels once, after resizing. n counts the boxes of one image and varies; padding comes at the end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf


class Record(NamedTuple):
    """One serialized tf.Example and its address, which every error about it names."""

    path: tf.Tensor  # string [], the shard
    index: tf.Tensor  # int64 [], position in the shard, from 0
    serialized: tf.Tensor  # string []


class Sample(NamedTuple):
    """One image with its boxes. Rows of the box-wise fields belong together."""

    image: tf.Tensor  # uint8 or float32 [h, w, 3], RGB, 0 to 255: stays uint8 until an operation needs fractions
    boxes: tf.Tensor  # float32 [n, 4], normalised
    classes: tf.Tensor  # int32 [n], 0-based
    weights: tf.Tensor  # float32 [n], 0 for boxes that are neither learnt nor punished
    is_crowd: tf.Tensor  # bool [n]
    difficult: tf.Tensor  # bool [n]
    areas: tf.Tensor  # float32 [n], pixels² of the original image


class SampleInfo(NamedTuple):
    """What evaluation wants to know about an image."""

    source_id: tf.Tensor  # string []
    original_shape: tf.Tensor  # int32 [2], height and width as decoded


# An augmentation: (sample, seed int64 [2]) -> sample. The same seed gives the same result.
Augmentation = Callable[[Sample, tf.Tensor], Sample]


def keep_rows(sample: Sample, keep: tf.Tensor) -> Sample:
    """The sample with only those boxes for which `keep` (bool [n]) holds, in order."""
    rows = tf.where(keep)[:, 0]
    return Sample(sample.image, *(tf.gather(field, rows) for field in sample[1:]))
