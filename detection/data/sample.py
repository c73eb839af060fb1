"""What travels through the input pipeline, one image at a time.

    Record (bytes and where they come from) -> decode -> Sample -> augment -> Sample -> resize, pad, batch ->
        types.Example

Boxes of a sample are normalised to its image ([ymin, xmin, ymax, xmax], 0 to 1), so that most geometric operations need
not know its size; they become pixels once, after resizing. n counts the boxes of one image, p its proposals; both vary,
and padding comes at the end.
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


class SampleProposals(NamedTuple):
    """Regions of one image that may hold an object, given with the data (see `reading.proposal_source`), by descending
    score.
    """

    boxes: tf.Tensor  # float32 [p, 4], normalised, inside the image
    scores: tf.Tensor  # float32 [p]

    def rows(self, numbers: tf.Tensor) -> SampleProposals:
        """Those of these numbers (int64 [q])."""
        return SampleProposals(*(tf.gather(field, numbers) for field in self))


class Sample(NamedTuple):
    """One image with its boxes. Rows of the box-wise fields belong together."""

    image: tf.Tensor  # uint8 or float32 [h, w, 3], RGB, 0 to 255: stays uint8 until an operation needs fractions
    boxes: tf.Tensor  # float32 [n, 4], normalised
    classes: tf.Tensor  # int32 [n], 0-based
    weights: tf.Tensor  # float32 [n], 0 for boxes that are neither learnt nor punished
    is_crowd: tf.Tensor  # bool [n]
    difficult: tf.Tensor  # bool [n]
    areas: tf.Tensor  # float32 [n], pixels² of the original image
    proposals: SampleProposals | tuple[()] = ()  # empty where the input gives none


class SampleInfo(NamedTuple):
    """What evaluation wants to know about an image."""

    source_id: tf.Tensor  # string []
    original_shape: tf.Tensor  # int32 [2], height and width as decoded


# An augmentation: (sample, seed int64 [2]) -> sample. The same seed gives the same result.
Augmentation = Callable[[Sample, tf.Tensor], Sample]


BOX_FIELDS = ("boxes", "classes", "weights", "is_crowd", "difficult", "areas")


def keep_rows(sample: Sample, keep: tf.Tensor) -> Sample:
    """The sample with only those boxes for which `keep` (bool [n]) holds, in order; proposals stay."""
    rows = tf.where(keep)[:, 0]
    return sample._replace(**{field: tf.gather(getattr(sample, field), rows) for field in BOX_FIELDS})


def keep_proposals(sample: Sample, wanted: Callable[[tf.Tensor], tf.Tensor]) -> Sample:
    """The sample with only those proposals for which `wanted` (float32 [p, 4] -> bool [p]) holds, in order."""
    if not sample.proposals:
        return sample
    rows = tf.where(wanted(sample.proposals.boxes))[:, 0]
    return sample._replace(proposals=sample.proposals.rows(rows))


def move_boxes(sample: Sample, change: Callable[[tf.Tensor], tf.Tensor]) -> Sample:
    """The sample with `change` (float32 [any, 4] -> the same) applied to all that has a place in the image: boxes and
    proposals.
    """
    sample = sample._replace(boxes=change(sample.boxes))
    if not sample.proposals:
        return sample
    return sample._replace(proposals=sample.proposals._replace(boxes=change(sample.proposals.boxes)))
