"""Changes of the boxes and their classes: jitter, dropping, relabelling, duplicating, scores to probabilities."""

from __future__ import annotations

import enum

import numpy as np
import tensorflow as tf

from detection.data.augment import draw
from detection.data.sample import Sample, SampleProposals, box_fields, keep_rows

_OUTWARD = np.array([-1.0, -1.0, 1.0, 1.0], np.float32)  # for each side, the sign of a move that enlarges a box
_LEAST_SIDE = 1e-6  # as a fraction of the image


class Jitter(enum.Enum):
    """How the four sides move.

    The symmetric modes move opposite sides by the same amount, the XY modes all four sides by the same fraction.
    """

    DEFAULT = 0  # each side independently in or out
    EXPAND = 1
    SHRINK = 2
    EXPAND_SYMMETRIC = 4
    SHRINK_SYMMETRIC = 5
    EXPAND_SYMMETRIC_XY = 6
    SHRINK_SYMMETRIC_XY = 7


def random_jitter_boxes(sample: Sample, seed: tf.Tensor, ratio: float = 0.05, mode: Jitter = Jitter.DEFAULT) -> Sample:
    """Moves each side of a box by up to `ratio` of its height or width, inside the image.

    The image does not change: this simulates inaccurate labels. The symmetric modes keep the centre of every box: if
    the edge of the image limits one side, it limits the opposite side too, and in the XY modes all four.
    """
    count = tf.shape(sample.boxes)[0]
    numbers = {
        Jitter.EXPAND_SYMMETRIC: 2,
        Jitter.SHRINK_SYMMETRIC: 2,
        Jitter.EXPAND_SYMMETRIC_XY: 1,
        Jitter.SHRINK_SYMMETRIC_XY: 1,
    }.get(mode, 4)
    moves = tf.random.stateless_uniform([count, numbers], seed, -ratio, ratio)
    if mode is not Jitter.DEFAULT:
        moves = tf.tile(tf.abs(moves), [1, 4 // numbers]) * (_OUTWARD if mode.name.startswith("EXPAND") else -_OUTWARD)
    sizes = sample.boxes[:, 2:] - sample.boxes[:, :2]
    if numbers < 4:
        # Distance to the nearer edge, vertical and horizontal; negative outside the image.
        margin = tf.minimum(sample.boxes[:, :2], 1.0 - sample.boxes[:, 2:])
        max_move = margin / tf.maximum(sizes, _LEAST_SIDE)
        max_move = tf.tile(max_move, [1, 2]) if numbers == 2 else tf.reduce_min(max_move, axis=1, keepdims=True)
        moves = tf.minimum(moves * _OUTWARD, max_move) * _OUTWARD
    return sample._replace(boxes=tf.clip_by_value(sample.boxes + moves * tf.tile(sizes, [1, 2]), 0.0, 1.0))


def drop_label_probabilistically(sample: Sample, seed: tf.Tensor, label: int, drop_probability: float = 1.0) -> Sample:
    """Drops each box with label id `label` with the given probability; its pixels become background."""
    is_dropped = tf.random.stateless_uniform([tf.shape(sample.boxes)[0]], seed) < drop_probability
    return keep_rows(sample, ~(is_dropped & (sample.classes == label - 1)))


def remap_labels(
    sample: Sample, seed: tf.Tensor | None = None, original_labels: tuple[int, ...] = (), new_label: int = 1
) -> Sample:
    """Changes the label id of all boxes with an id in `original_labels` to `new_label`."""
    matches = tf.reduce_any(
        sample.classes[:, tf.newaxis] == tf.constant(original_labels, tf.int32, [1, len(original_labels)]) - 1, axis=1
    )
    return sample._replace(classes=tf.where(matches, new_label - 1, sample.classes))


def convert_class_logits_to_softmax(sample: Sample, seed: tf.Tensor | None = None, temperature: float = 1.0) -> Sample:
    """Converts class scores from logits to probabilities: softmax(scores / temperature) for each box.

    Source: Hinton et al. 2015, section 2.
    """
    return sample._replace(class_scores=tf.nn.softmax(sample.class_scores / temperature))


def random_self_concat_image(
    sample: Sample,
    seed: tf.Tensor,
    concat_vertical_probability: float = 0.1,
    concat_horizontal_probability: float = 0.1,
) -> Sample:
    """Concatenates two copies vertically and horizontally, each with its probability: objects of half the size."""

    def doubled(sample: Sample, axis: int) -> Sample:
        halving = tf.constant([[0.5, 1.0, 0.5, 1.0], [1.0, 0.5, 1.0, 0.5]][axis])
        step = tf.constant([[0.5, 0.0, 0.5, 0.0], [0.0, 0.5, 0.0, 0.5]][axis])

        def with_copies(boxes: tf.Tensor) -> tf.Tensor:
            """Each box, then its copy: proposals stay sorted by score."""
            return tf.reshape(tf.stack([boxes * halving, boxes * halving + step], axis=1), [-1, 4])

        repeated = {field: tf.repeat(getattr(sample, field), 2, axis=0) for field in box_fields(sample)[1:]}
        sample = sample._replace(image=tf.concat([sample.image] * 2, axis), boxes=with_copies(sample.boxes), **repeated)
        if not sample.proposals:
            return sample
        return sample._replace(
            proposals=SampleProposals(with_copies(sample.proposals.boxes), tf.repeat(sample.proposals.scores, 2))
        )

    vertical, horizontal = draw.split(seed, 2)
    sample = draw.maybe(vertical, concat_vertical_probability, lambda s: doubled(s, 0), sample)
    return draw.maybe(horizontal, concat_horizontal_probability, lambda s: doubled(s, 1), sample)
