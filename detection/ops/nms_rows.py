"""Which rows suppression's survivors came from: TensorFlow's combined op returns boxes and scores, not their numbers.

A detection's row scores, in its best class, no less than the worst detection of its image: the few rows that do are all
that have to be looked at.
"""

from __future__ import annotations

from typing import Protocol

import tensorflow as tf

_LOOKED_AT = 8  # rows for each detection: where there are no more, all are looked at
_AT_MOST = (
    64  # rows for each detection: where very many tie, as before anything is learnt, keys of all would fill the memory
)
_ODD = 0x3C6EF35F  # spreads the bits of scores before those of coordinates are added
_PAIRS = 2**18  # of row and detection, compared at a time when looking at keys did not find it


class Survivors(Protocol):
    """What is known of D detections an image, zero padded."""

    @property
    def scores(self) -> tf.Tensor:
        """float32 [B, D], descending."""

    @property
    def classes(self) -> tf.Tensor:
        """int32 [B, D], 0-based."""

    @property
    def counts(self) -> tf.Tensor:
        """int32 [B]."""


def rows_of(kept: Survivors, unclipped: tf.Tensor, boxes: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
    """A row that has both the box and the score of each detection, in general the first; 0 in padding.

    Looked for by a key; then in all rows, if that found a wrong one (several share a key) or none.

    Args:
        kept: the detections.
        unclipped: float32 [B, D, 4], their boxes as they are among `boxes`.
        boxes: float32 [B, R, 4], or class-specific [B, R, K, 4].
        scores: float32 [B, R, K].

    Returns:
        int32 [B, D].
    """
    rows = _by_key(kept, unclipped, boxes, scores)
    padding = tf.range(tf.shape(rows)[1]) >= kept.counts[:, tf.newaxis]
    every = tf.reduce_all(_is_right(rows, kept, unclipped, boxes, scores) | padding)
    return tf.cond(every, lambda: tf.where(padding, 0, rows), lambda: _among_all(kept, unclipped, boxes, scores))


def numbers_of(chosen: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Where each image has what is chosen, bool [B, R]: ascending numbers int32 [B, M], padded with 0, and which are
    none, bool [B, M].

    M is that of the image with most, at least 1.
    """
    counts = tf.math.count_nonzero(chosen, axis=-1, dtype=tf.int32)
    most = tf.minimum(tf.maximum(tf.reduce_max(counts), 1), tf.shape(chosen)[1])
    numbers = tf.cast(tf.where(chosen)[:, 1], tf.int32)
    rows = tf.RaggedTensor.from_row_lengths(numbers, counts, validate=False).to_tensor(
        shape=tf.stack([tf.shape(chosen)[0], most])
    )
    rows.set_shape([chosen.shape[0], None])
    return rows, tf.range(most) < counts[:, tf.newaxis]


def _by_key(kept: Survivors, unclipped: tf.Tensor, boxes: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
    """int32 [B, D], by the bits of one corner; where classes have boxes of their own by those of score and ymin."""
    few = scores.shape[1] is not None and scores.shape[1] <= _LOOKED_AT * kept.scores.shape[1]
    if few:
        return _with_key(kept, unclipped, boxes, scores)
    candidates = numbers_of(tf.reduce_max(scores, axis=-1) >= _worst(kept))[0][:, : _AT_MOST * kept.scores.shape[1]]
    places = _with_key(kept, unclipped, *(tf.gather(values, candidates, batch_dims=1) for values in (boxes, scores)))
    return tf.gather(candidates, places, batch_dims=1)


def _worst(kept: Survivors) -> tf.Tensor:
    """float32 [B, 1], the lowest score of a detection, infinite where there is none."""
    real = tf.range(tf.shape(kept.scores)[1]) < kept.counts[:, tf.newaxis]
    return tf.reduce_min(tf.where(real, kept.scores, float("inf")), axis=-1, keepdims=True)


def _with_key(kept: Survivors, unclipped: tf.Tensor, boxes: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
    """int32 [B, D], the first row that has the key of each detection, 0 where there is none."""
    if boxes.shape.rank == 3:
        same = tf.equal(_corner_bits(boxes)[:, tf.newaxis, :], _corner_bits(unclipped)[:, :, tf.newaxis])
    # two rows of a class hardly ever share it, be their scores the same; to compare boxes would be four times as many
    # numbers
    else:
        keys = tf.transpose(_mixed(scores, boxes[..., 0]), [0, 2, 1])
        sought = _mixed(kept.scores, unclipped[..., 0])
        same = tf.equal(tf.gather(keys, kept.classes, axis=1, batch_dims=1), sought[:, :, tf.newaxis])  # [B, D, R]
    rows = tf.shape(same)[2]
    left = tf.where(same, tf.range(rows, 0, -1), 0)  # argmax is half as fast as max
    return (rows - tf.reduce_max(left, axis=-1)) % tf.maximum(rows, 1)


def _is_right(rows: tf.Tensor, kept: Survivors, unclipped: tf.Tensor, boxes: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
    """bool [B, D], whether rows [B, D] have the boxes and scores of the detections."""
    there = tf.stack([rows, kept.classes], axis=-1)
    own = tf.gather(boxes, rows, batch_dims=1) if boxes.shape.rank == 3 else tf.gather_nd(boxes, there, batch_dims=1)
    return tf.equal(tf.gather_nd(scores, there, batch_dims=1), kept.scores) & tf.reduce_all(
        tf.equal(own, unclipped), axis=-1
    )


def _mixed(scores: tf.Tensor, ymin: tf.Tensor) -> tf.Tensor:
    """int32 of the shape of both, from the bits of both."""
    return tf.bitcast(scores, tf.int32) * _ODD + tf.bitcast(ymin, tf.int32)


def _corner_bits(boxes: tf.Tensor) -> tf.Tensor:
    """int64 [B, N], ymin and xmin of boxes [B, N, 4], bit by bit."""
    return tf.bitcast(boxes[..., :2], tf.int64)


def _among_all(kept: Survivors, unclipped: tf.Tensor, boxes: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
    """int32 [B, D], the first row; some hundred thousand pairs of row and detection at a time."""
    rows = tf.shape(scores)[1]
    share = max(_PAIRS // max(kept.scores.shape[1], 1), 1)

    def look(start: tf.Tensor, found: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        places, right = _first(kept, unclipped, boxes[:, start : start + share], scores[:, start : start + share])
        return start + share, tf.where(right, tf.minimum(found, start + places), found)

    _, found = tf.while_loop(
        lambda start, _: start < rows, look, (0, tf.fill(tf.shape(kept.scores), rows)), parallel_iterations=1
    )
    return tf.where(found < rows, found, 0)


def _first(kept: Survivors, unclipped: tf.Tensor, boxes: tf.Tensor, scores: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The first of the rows that has both box and score of each detection, int32 [B, D], and whether there is one, bool
    [B, D]."""
    same = tf.equal(tf.gather(scores, kept.classes, axis=2, batch_dims=1), kept.scores[:, tf.newaxis, :])  # [B, R, D]
    candidates = (
        boxes[:, :, tf.newaxis, :] if boxes.shape.rank == 3 else tf.gather(boxes, kept.classes, axis=2, batch_dims=1)
    )
    same &= tf.reduce_all(tf.equal(candidates, unclipped[:, tf.newaxis, :, :]), axis=-1)
    return tf.argmax(tf.cast(same, tf.uint8), axis=1, output_type=tf.int32), tf.reduce_any(same, axis=1)
