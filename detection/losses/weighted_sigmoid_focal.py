"""Focal loss (Lin et al. 2017): sigmoid cross entropy times (1 - p_t)^γ.

It is also multiplied by α where the target is 1, and by 1 - α where it is 0. p_t is the probability the logit gives to
its target. 1 - p_t is computed as a sigmoid, not as a difference, and the power as e^(γ ln(1 - p_t)), so that the loss
and its gradient stay finite at extreme logits.
"""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf


@dataclass(frozen=True)
class WeightedSigmoidFocal:
    """Classification loss; with alpha None, positives and negatives have the same weight."""

    gamma: float = 2.0
    alpha: float | None = None

    def __call__(self, predictions: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """Logits and targets (0 or 1) float32 [B, A, K + 1], weights [B, A] -> [B, A, K + 1]."""
        entropy = tf.nn.sigmoid_cross_entropy_with_logits(labels=targets, logits=predictions)
        logits_of_wrong = predictions * (1.0 - 2.0 * targets)
        focus = tf.exp(self.gamma * tf.math.log_sigmoid(logits_of_wrong))
        loss = weights[..., tf.newaxis] * focus * entropy
        return loss if self.alpha is None else loss * (targets * self.alpha + (1.0 - targets) * (1.0 - self.alpha))
