"""Sigmoid cross entropy of every class on its own: w (max(x, 0) - x t + ln(1 + e^-|x|))."""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf


@dataclass(frozen=True)
class WeightedSigmoid:
    """Classification loss."""

    def __call__(self, predictions: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """Logits and targets float32 [B, A, K + 1], weights [B, A] -> [B, A, K + 1]."""
        return weights[..., tf.newaxis] * tf.nn.sigmoid_cross_entropy_with_logits(labels=targets, logits=predictions)
