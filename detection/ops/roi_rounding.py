"""Rounds boxes to integers as Caffe's RoI layers do: halves away from zero, where TensorFlow rounds to even."""

from __future__ import annotations

import tensorflow as tf

FAR = 2**20  # Coordinates are clipped to this, so that integers made of them stay exact in int32 and float32.


def rounded(boxes: tf.Tensor, stride: int = 1) -> tf.Tensor:
    """Boxes float32 [..., 4] in units of the stride, rounded to int32; one that is not finite is moved far outside."""
    finite = tf.reduce_all(tf.math.is_finite(boxes), axis=-1, keepdims=True)
    scaled = tf.clip_by_value(tf.where(finite, boxes, -FAR) * (1.0 / stride), -FAR, FAR)
    whole = tf.floor(tf.abs(scaled))
    return tf.cast(tf.sign(scaled) * tf.where(tf.abs(scaled) - whole >= 0.5, whole + 1.0, whole), tf.int32)
