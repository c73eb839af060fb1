"""Finds the input rows of NMS survivors: TensorFlow's combined op returns boxes and scores, not row numbers.

The best score of a detection's row is at least that of the worst detection of its image, so only the few such rows
have to be searched.
"""

from __future__ import annotations

from typing import Protocol

import tensorflow as tf

_SEARCH_ALL = 8  # rows for each detection: up to this many, all rows are searched
# Rows for each detection. If very many scores tie, as before training, the keys of all rows would fill the memory.
_MAX_CANDIDATES = 64
_HASH_FACTOR = 0x3C6EF35F  # odd; spreads the bits of scores before those of coordinates are added
_PAIRS = 2**18  # of row and detection, compared at a time if the search by keys failed


class Survivors(Protocol):
    """The fields of D detections per image, zero padded, that the search needs."""

    @property
    def scores(self) -> tf.Tensor:
        """Scores float32 [B, D], descending."""

    @property
    def classes(self) -> tf.Tensor:
        """Classes int32 [B, D], 0-based."""

    @property
    def counts(self) -> tf.Tensor:
        """Numbers of detections int32 [B]."""


def rows_of(kept: Survivors, unclipped: tf.Tensor, boxes: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
    """A row that has both the box and the score of each detection, usually the first; 0 in padding.

    Rows are found by a key; if that finds none or a wrong one (several share a key), all rows are compared.

    Args:
        kept: the detections.
        unclipped: float32 [B, D, 4], the boxes of the detections before clipping, as they are in `boxes`.
        boxes: float32 [B, R, 4], or class-specific [B, R, K, 4].
        scores: float32 [B, R, K].

    Returns:
        int32 [B, D].
    """
    rows = _by_key(kept, unclipped, boxes, scores)
    padding = tf.range(tf.shape(rows)[1]) >= kept.counts[:, tf.newaxis]
    all_found = tf.reduce_all(_matches(rows, kept, unclipped, boxes, scores) | padding)
    return tf.cond(
        all_found, lambda: tf.where(padding, 0, rows), lambda: _by_comparing_all(kept, unclipped, boxes, scores)
    )


def numbers_of(chosen: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Row numbers of the True values of each image.

    Args:
        chosen: bool [B, R].

    Returns:
        Ascending row numbers int32 [B, M], padded with 0, and bool [B, M], which of them are not padding. M is the
        largest count of an image, at least 1.
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
    """Rows int32 [B, D] with the same bits of one corner, or, if boxes are class-specific, of score and ymin."""
    search_all = scores.shape[1] is not None and scores.shape[1] <= _SEARCH_ALL * kept.scores.shape[1]
    if search_all:
        return _with_key(kept, unclipped, boxes, scores)
    candidates = numbers_of(tf.reduce_max(scores, axis=-1) >= _worst(kept))[0][
        :, : _MAX_CANDIDATES * kept.scores.shape[1]
    ]
    places = _with_key(kept, unclipped, *(tf.gather(values, candidates, batch_dims=1) for values in (boxes, scores)))
    return tf.gather(candidates, places, batch_dims=1)


def _worst(kept: Survivors) -> tf.Tensor:
    """The lowest score of a detection, float32 [B, 1], infinite if there is none."""
    real = tf.range(tf.shape(kept.scores)[1]) < kept.counts[:, tf.newaxis]
    return tf.reduce_min(tf.where(real, kept.scores, float("inf")), axis=-1, keepdims=True)


def _with_key(kept: Survivors, unclipped: tf.Tensor, boxes: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
    """The first row that has the key of each detection, int32 [B, D], 0 if there is none."""
    if boxes.shape.rank == 3:
        same = tf.equal(_corner_bits(boxes)[:, tf.newaxis, :], _corner_bits(unclipped)[:, :, tf.newaxis])
    # Two rows of a class hardly ever share this key, even if their scores are equal; comparing whole boxes would be
    # four times as many numbers.
    else:
        keys = tf.transpose(_hash(scores, boxes[..., 0]), [0, 2, 1])
        detection_keys = _hash(kept.scores, unclipped[..., 0])
        same = tf.equal(
            tf.gather(keys, kept.classes, axis=1, batch_dims=1), detection_keys[:, :, tf.newaxis]
        )  # [B, D, R]
    rows = tf.shape(same)[2]
    reversed_rows = tf.where(same, tf.range(rows, 0, -1), 0)  # argmax is half as fast as max
    return (rows - tf.reduce_max(reversed_rows, axis=-1)) % tf.maximum(rows, 1)


def _matches(rows: tf.Tensor, kept: Survivors, unclipped: tf.Tensor, boxes: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
    """Whether rows [B, D] have the boxes and scores of the detections, bool [B, D]."""
    indices = tf.stack([rows, kept.classes], axis=-1)
    row_boxes = (
        tf.gather(boxes, rows, batch_dims=1) if boxes.shape.rank == 3 else tf.gather_nd(boxes, indices, batch_dims=1)
    )
    return tf.equal(tf.gather_nd(scores, indices, batch_dims=1), kept.scores) & tf.reduce_all(
        tf.equal(row_boxes, unclipped), axis=-1
    )


def _hash(scores: tf.Tensor, ymin: tf.Tensor) -> tf.Tensor:
    """A hash of the bits of both, int32 of their shape."""
    return tf.bitcast(scores, tf.int32) * _HASH_FACTOR + tf.bitcast(ymin, tf.int32)


def _corner_bits(boxes: tf.Tensor) -> tf.Tensor:
    """The bits of ymin and xmin of boxes [B, N, 4], int64 [B, N]."""
    return tf.bitcast(boxes[..., :2], tf.int64)


def _by_comparing_all(kept: Survivors, unclipped: tf.Tensor, boxes: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
    """The first row of each detection, int32 [B, D], comparing `_PAIRS` pairs of row and detection at a time."""
    rows = tf.shape(scores)[1]
    chunk = max(_PAIRS // max(kept.scores.shape[1], 1), 1)

    def compare(start: tf.Tensor, first_rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        places, matched = _first_match(
            kept, unclipped, boxes[:, start : start + chunk], scores[:, start : start + chunk]
        )
        return start + chunk, tf.where(matched, tf.minimum(first_rows, start + places), first_rows)

    _, first_rows = tf.while_loop(
        lambda start, _: start < rows, compare, (0, tf.fill(tf.shape(kept.scores), rows)), parallel_iterations=1
    )
    return tf.where(first_rows < rows, first_rows, 0)


def _first_match(
    kept: Survivors, unclipped: tf.Tensor, boxes: tf.Tensor, scores: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """The first row with both the box and the score of each detection.

    int32 [B, D]; and bool [B, D], whether there is one.
    """
    same = tf.equal(tf.gather(scores, kept.classes, axis=2, batch_dims=1), kept.scores[:, tf.newaxis, :])  # [B, R, D]
    candidates = (
        boxes[:, :, tf.newaxis, :] if boxes.shape.rank == 3 else tf.gather(boxes, kept.classes, axis=2, batch_dims=1)
    )
    same &= tf.reduce_all(tf.equal(candidates, unclipped[:, tf.newaxis, :, :]), axis=-1)
    return tf.argmax(tf.cast(same, tf.uint8), axis=1, output_type=tf.int32), tf.reduce_any(same, axis=1)
