"""The regularisation loss, the same for every detector."""

from __future__ import annotations

import keras
import tensorflow as tf


def sum_of_penalties(detector: keras.layers.Layer) -> tf.Tensor:
    """Sum of the penalties of all kernels, scalar."""
    penalties = detector.losses
    return tf.add_n(penalties) if penalties else tf.constant(0.0)
