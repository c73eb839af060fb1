"""Structures of the input pipeline for one image.

    Record (bytes and their address) -> decode -> Sample -> augment -> Sample -> resize, pad, batch -> types.Example

Boxes of a sample are fractions of its image ([ymin, xmin, ymax, xmax], 0 to 1), so that most geometric operations do
not need its size; they are converted to pixels once, after resizing. n is the number of boxes of an image, p its number
of proposals; both vary, and padding is added at the end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf


class Record(NamedTuple):
    """One serialised tf.Example with its address, which is named in errors."""

    path: tf.Tensor  # string [], the shard
    index: tf.Tensor  # int64 [], position in the shard, from 0
    serialized: tf.Tensor  # string []
    # int64 [], of a sequence (`reading.frames`): which of its annotated frames, any number; empty for a single image
    frame: tf.Tensor | tuple[()] = ()


class SampleProposals(NamedTuple):
    """Region proposals of one image, given with the data (see `reading.proposal_source`), by descending score."""

    boxes: tf.Tensor  # float32 [p, 4], normalised, inside the image
    scores: tf.Tensor  # float32 [p]

    def rows(self, row_numbers: tf.Tensor) -> SampleProposals:
        """The proposals with the row numbers int64 [q]."""
        return SampleProposals(*(tf.gather(field, row_numbers) for field in self))


class Sample(NamedTuple):
    """One image with its boxes. Row i of all per-box fields describes box i."""

    image: tf.Tensor  # uint8 or float32 [h, w, 3], RGB, 0 to 255: stays uint8 until an operation needs fractions
    boxes: tf.Tensor  # float32 [n, 4], normalised
    classes: tf.Tensor  # int32 [n], 0-based
    weights: tf.Tensor  # float32 [n], 0 for boxes that are ignored in the loss
    is_crowd: tf.Tensor  # bool [n]
    difficult: tf.Tensor  # bool [n]
    areas: tf.Tensor  # float32 [n], pixels² of the original image
    proposals: SampleProposals | tuple[()] = ()  # empty if the input has none
    group_of: tf.Tensor | tuple[()] = ()  # bool [n], as of types.Groundtruth; empty where it is not read
    checked: tf.Tensor | tuple[()] = ()  # bool [K], as of types.Groundtruth; empty where it is not read
    class_scores: tf.Tensor | tuple[()] = ()  # float32 [n, K or K + 1], of each class; empty where a box has one class


class SampleInfo(NamedTuple):
    """Facts about an image for evaluation."""

    source_id: tf.Tensor  # string []
    original_shape: tf.Tensor  # int32 [2], height and width as decoded


# An augmentation: (sample, seed int64 [2]) -> sample. The same seed gives the same result.
Augmentation = Callable[[Sample, tf.Tensor], Sample]


BOX_FIELDS = ("boxes", "classes", "weights", "is_crowd", "difficult", "areas")


def box_fields(sample: Sample) -> tuple[str, ...]:
    """The fields that the sample has a row a box of."""
    given = (field for field in ("group_of", "class_scores") if not isinstance(getattr(sample, field), tuple))
    return (*BOX_FIELDS, *given)


def keep_rows(sample: Sample, keep: tf.Tensor) -> Sample:
    """The sample with only the boxes for which `keep` (bool [n]) is true, in order; proposals are not changed."""
    rows = tf.where(keep)[:, 0]
    return sample._replace(**{field: tf.gather(getattr(sample, field), rows) for field in box_fields(sample)})


def keep_proposals(sample: Sample, condition: Callable[[tf.Tensor], tf.Tensor]) -> Sample:
    """The sample with only the proposals for which a condition holds, in order.

    Args:
        sample: the sample.
        condition: maps boxes float32 [p, 4] to bool [p].
    """
    if not sample.proposals:
        return sample
    rows = tf.where(condition(sample.proposals.boxes))[:, 0]
    return sample._replace(proposals=sample.proposals.rows(rows))


def move_boxes(sample: Sample, change: Callable[[tf.Tensor], tf.Tensor]) -> Sample:
    """The sample with `change` (float32 [any, 4] -> the same shape) applied to its boxes and proposals."""
    sample = sample._replace(boxes=change(sample.boxes))
    if not sample.proposals:
        return sample
    return sample._replace(proposals=sample.proposals._replace(boxes=change(sample.proposals.boxes)))
