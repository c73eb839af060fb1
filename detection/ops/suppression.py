"""Greedy non-maximum suppression of one class, batched, that returns which boxes survive.

TensorFlow's combined op is the fastest exact one on a CPU, but it returns boxes, not their indices. Here boxes come in
order of priority and the op is given N, N - 1, ..., 1 as scores (exact in float32 below 2^24), so that every score it
returns identifies a box.
"""

from __future__ import annotations

import tensorflow as tf


def order_by(scores: tf.Tensor) -> tf.Tensor:
    """Positions int32 [B, N] of scores [B, N] by descending score, the lower position first among equals."""
    return tf.argsort(scores, axis=-1, direction="DESCENDING", stable=True)


def suppress(boxes: tf.Tensor, counts: tf.Tensor, iou_threshold: float, max_output: int | tf.Tensor) -> tf.Tensor:
    """Which boxes survive when each, in order, suppresses all later ones with IoU above the threshold.

    Args:
        boxes: float32 [B, N, 4], highest priority first.
        counts: int32 [B], how many rows of each image take part.
        iou_threshold: in [0, 1].
        max_output: rows S of the result; suppression stops when this many boxes survive.

    Returns:
        int32 [B, S], positions in `boxes`, ascending, padded with N.
    """
    size = tf.shape(boxes)[1]
    positions = tf.range(size)
    priorities = tf.where(positions < counts[:, tf.newaxis], size - positions, 0)
    kept = tf.image.combined_non_max_suppression(
        tf.stop_gradient(boxes)[:, :, tf.newaxis, :],
        tf.cast(priorities, tf.float32)[:, :, tf.newaxis],
        max_output_size_per_class=max_output,
        max_total_size=max_output,
        iou_threshold=iou_threshold,
        score_threshold=0.5,
        clip_boxes=False,
    )
    return size - tf.cast(kept.nmsed_scores, tf.int32)
