"""Boxes from heat maps (Zhou et al. 2019, section 3.1): cells that score highest among their neighbours of the same
class, the best of all classes, each with the size and the offset that were predicted there.

Such peaks take the place of non-maximum suppression. A cell counts as a peak if it differs from the largest of its window
by less than 1e-6, so equal neighbours are all peaks.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

_EQUAL = 1e-6


class Peaks(NamedTuple):
    """By descending score; where there are fewer cells than rows are wanted, rows of score 0 are behind them."""

    scores: tf.Tensor  # float32 [B, D]
    classes: tf.Tensor  # int32 [B, D], 0-based
    cells: tf.Tensor  # int32 [B, D, 2], y and x


def find(scores: tf.Tensor, window: int, count: int) -> Peaks:
    """The `count` best peaks of scores float32 [B, h, w, K], each the largest of `window` x `window` cells."""
    largest = tf.nn.max_pool2d(scores, window, 1, "SAME") if window > 1 else scores
    peaks = scores * tf.cast(tf.abs(scores - largest) < _EQUAL, tf.float32)
    dynamic = tf.shape(scores)
    batch, _, width, classes = (scores.shape[axis] or dynamic[axis] for axis in range(4))
    flat = tf.reshape(peaks, [batch, -1])
    cells = flat.shape[1] or tf.shape(flat)[1]
    missing = tf.maximum(count - cells, 0)
    best, where = tf.math.top_k(tf.pad(flat, [[0, 0], [0, missing]]), k=count)
    where = tf.minimum(where, cells - 1)  # of rows behind the last cell: any
    return Peaks(best, where % classes, tf.stack([where // classes // width, where // classes % width], axis=-1))


def boxes(cells: tf.Tensor, sizes: tf.Tensor, offsets: tf.Tensor) -> tf.Tensor:
    """Boxes float32 [B, D, 4] in cells, clipped to the map, of cells int32 [B, D, 2] of maps float32 [B, h, w, 2]."""
    half = tf.maximum(tf.gather_nd(sizes, cells, batch_dims=1), 0.0) / 2.0
    centers = tf.cast(cells, tf.float32) + tf.gather_nd(offsets, cells, batch_dims=1)
    sides = tf.cast(tf.shape(sizes)[1:3], tf.float32)
    return tf.clip_by_value(tf.concat([centers - half, centers + half], axis=-1), 0.0, tf.concat([sides, sides], 0))
