"""Boxes from the peaks of heat maps (Zhou et al. 2019, section 3.1).

A peak is a cell whose score is the highest among its neighbours of the same class. The highest peaks of all classes are
the detections, each with the size and offset predicted at its cell.

This replaces non-maximum suppression. A cell is a peak if it differs from the maximum of its window by less than 1e-6,
so equal neighbours are all peaks.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

_EQUAL = 1e-6


class Peaks(NamedTuple):
    """Peaks by descending score, padded with rows of score 0 if there are fewer cells than rows."""

    scores: tf.Tensor  # float32 [B, D]
    classes: tf.Tensor  # int32 [B, D], 0-based
    cells: tf.Tensor  # int32 [B, D], index of the cell in row-major order


def find(scores: tf.Tensor, window: int, count: int) -> Peaks:
    """Returns the `count` highest peaks of scores float32 [B, h, w, K]; windows have `window` x `window` cells."""
    largest = tf.nn.max_pool2d(scores, window, 1, "SAME") if window > 1 else scores
    peaks = scores * tf.cast(tf.abs(scores - largest) < _EQUAL, tf.float32)
    dynamic = tf.shape(scores)
    _, height, width, classes = (scores.shape[axis] or dynamic[axis] for axis in range(4))
    pairs = height * width * classes
    flat = tf.reshape(peaks, [dynamic[0], pairs])
    best, where = tf.math.top_k(tf.pad(flat, [[0, 0], [0, tf.maximum(count - pairs, 0)]]), k=count)
    where = tf.minimum(where, pairs - 1)  # padding rows need a valid index, no matter which
    return Peaks(best, where % classes, where // classes)


def boxes(sizes: tf.Tensor, offsets: tf.Tensor) -> tf.Tensor:
    """Returns the box of every cell, float32 [B, h * w, 4] in cells, clipped to the map, from maps [B, h, w, 2]."""
    dynamic = tf.shape(sizes)
    height, width = (sizes.shape[axis] or dynamic[axis] for axis in (1, 2))
    corners = tf.stack(tf.meshgrid(tf.range(height), tf.range(width), indexing="ij"), axis=-1)
    half, centers = tf.maximum(sizes, 0.0) / 2.0, tf.cast(corners, tf.float32) + offsets
    sides = tf.cast(tf.stack([height, width, height, width]), tf.float32)
    clipped = tf.clip_by_value(tf.concat([centers - half, centers + half], axis=-1), 0.0, sides)
    return tf.reshape(clipped, [dynamic[0], height * width, 4])
