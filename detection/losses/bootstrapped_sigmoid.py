"""Sigmoid cross entropy against a mixture of the target and the model's own prediction, for noisy labels.

Reed et al. 2014:

t' = α t + (1 - α) q,    q = sigmoid(x) (soft), or 1 where sigmoid(x) > ½, else 0 (hard)
"""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf


@dataclass(frozen=True)
class BootstrappedSigmoid:
    """Classification loss. In the soft form the gradient also flows through q, as in the reference implementation."""

    alpha: float
    hard: bool = False

    def __call__(self, predictions: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """Logits and targets float32 [B, A, K + 1], weights [B, A] -> [B, A, K + 1]."""
        opinion = tf.cast(predictions > 0.0, predictions.dtype) if self.hard else tf.sigmoid(predictions)
        mixed = self.alpha * targets + (1.0 - self.alpha) * opinion
        return weights[..., tf.newaxis] * tf.nn.sigmoid_cross_entropy_with_logits(labels=mixed, logits=predictions)
