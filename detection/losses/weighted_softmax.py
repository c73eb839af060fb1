"""Softmax cross entropy over all K + 1 classes: w (-Σ_c t_c ln softmax(x / scale)_c)."""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf


@dataclass(frozen=True)
class WeightedSoftmax:
    """Classification loss."""

    logit_scale: float = 1.0

    def __call__(self, predictions: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """Logits and targets float32 [B, A, K + 1], weights [B, A] -> [B, A]."""
        logits = predictions / self.logit_scale
        return weights * tf.nn.softmax_cross_entropy_with_logits(labels=tf.stop_gradient(targets), logits=logits)
