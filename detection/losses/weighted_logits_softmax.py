"""Softmax cross entropy against targets that are logits themselves.

Per anchor, w (-Σ_c softmax(t / scale)_c ln softmax(x / scale)_c).
"""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf


@dataclass(frozen=True)
class WeightedLogitsSoftmax:
    """Classification loss."""

    logit_scale: float = 1.0

    def __call__(self, predictions: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """Logits and target logits float32 [B, A, K + 1], weights [B, A] -> [B, A]."""
        labels = tf.stop_gradient(tf.nn.softmax(targets / self.logit_scale))
        return weights * tf.nn.softmax_cross_entropy_with_logits(labels=labels, logits=predictions / self.logit_scale)
