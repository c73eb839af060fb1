"""Activations that TensorFlow lacks."""

from __future__ import annotations

import tensorflow as tf


def hard_swish(x: tf.Tensor) -> tf.Tensor:
    """x * relu6(x + 3) / 6 (Howard et al. 2019, MobileNet v3, section 5.2), in the form that LiteRT's converter makes a
    single op of."""
    return x * tf.nn.relu6(x + 3.0) * (1.0 / 6.0)
