"""The regularisation loss, which is computed alike for every detector."""

from __future__ import annotations

import keras
import tensorflow as tf


def sum_of_penalties(detector: keras.layers.Layer) -> tf.Tensor:
    """Returns the sum (scalar) of the regularisation penalties of all kernels."""
    penalties = detector.losses
    return tf.add_n(penalties) if penalties else tf.constant(0.0)
