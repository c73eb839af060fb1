"""Activations that TensorFlow lacks."""

from __future__ import annotations

import tensorflow as tf


def hard_swish(x: tf.Tensor) -> tf.Tensor:
    """Hard swish, x * relu6(x + 3) / 6 (Howard et al. 2019, MobileNet v3, section 5.2).

    It is written in the form that LiteRT's converter turns into a single op.
    """
    return x * tf.nn.relu6(x + 3.0) * (1.0 / 6.0)
