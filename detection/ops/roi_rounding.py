"""Boxes on whole numbers, as Caffe's RoI layers put them there: halves are rounded away from zero, where TensorFlow
would take the even number."""

from __future__ import annotations

import tensorflow as tf

FAR = 2**20  # Coordinates are cut to this, so that whole numbers made of them stay exact in int32 and float32.


def rounded(boxes: tf.Tensor, stride: int = 1) -> tf.Tensor:
    """int32 [..., 4], the nearest multiples of the stride, in strides, for float32 boxes [..., 4]; a box that is not
    finite lies far outside."""
    finite = tf.reduce_all(tf.math.is_finite(boxes), axis=-1, keepdims=True)
    scaled = tf.clip_by_value(tf.where(finite, boxes, -FAR) * (1.0 / stride), -FAR, FAR)
    whole = tf.floor(tf.abs(scaled))
    return tf.cast(tf.sign(scaled) * tf.where(tf.abs(scaled) - whole >= 0.5, whole + 1.0, whole), tf.int32)
