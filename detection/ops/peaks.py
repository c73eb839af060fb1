"""Boxes from heat maps (Zhou et al. 2019, section 3.1): cells that score highest among their neighbours of the same
class, the best of all classes, each with the size and the offset that were predicted there.

Such peaks take the place of non-maximum suppression. A cell counts as a peak if it differs from the largest of its
window by less than 1e-6, so equal neighbours are all peaks.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

_EQUAL = 1e-6


class Peaks(NamedTuple):
    """By descending score; where there are fewer cells than rows are wanted, rows of score 0 are behind them."""

    scores: tf.Tensor  # float32 [B, D]
    classes: tf.Tensor  # int32 [B, D], 0-based
    cells: tf.Tensor  # int32 [B, D], counted row by row


def find(scores: tf.Tensor, window: int, count: int) -> Peaks:
    """The `count` best peaks of scores float32 [B, h, w, K], each the largest of `window` x `window` cells."""
    largest = tf.nn.max_pool2d(scores, window, 1, "SAME") if window > 1 else scores
    peaks = scores * tf.cast(tf.abs(scores - largest) < _EQUAL, tf.float32)
    dynamic = tf.shape(scores)
    _, height, width, classes = (scores.shape[axis] or dynamic[axis] for axis in range(4))
    pairs = height * width * classes
    flat = tf.reshape(peaks, [dynamic[0], pairs])
    best, where = tf.math.top_k(tf.pad(flat, [[0, 0], [0, tf.maximum(count - pairs, 0)]]), k=count)
    where = tf.minimum(where, pairs - 1)  # of rows behind the last pair: any
    return Peaks(best, where % classes, where // classes)


def boxes(sizes: tf.Tensor, offsets: tf.Tensor) -> tf.Tensor:
    """Boxes float32 [B, h * w, 4] in cells, clipped to the map, of every cell of maps float32 [B, h, w, 2]."""
    dynamic = tf.shape(sizes)
    height, width = (sizes.shape[axis] or dynamic[axis] for axis in (1, 2))
    corners = tf.stack(tf.meshgrid(tf.range(height), tf.range(width), indexing="ij"), axis=-1)
    half, centers = tf.maximum(sizes, 0.0) / 2.0, tf.cast(corners, tf.float32) + offsets
    sides = tf.cast(tf.stack([height, width, height, width]), tf.float32)
    clipped = tf.clip_by_value(tf.concat([centers - half, centers + half], axis=-1), 0.0, sides)
    return tf.reshape(clipped, [dynamic[0], height * width, 4])
