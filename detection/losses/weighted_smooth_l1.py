"""Smooth L1 (Huber) loss of box codes (Fast R-CNN, equation 3).

Per anchor, w Σ_i h(p_i - t_i), where h(x) = ½ x² if |x| <= δ, otherwise δ (|x| - ½ δ).
"""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf


@dataclass(frozen=True)
class WeightedSmoothL1:
    """Localisation loss over box codes."""

    delta: float = 1.0
    needs_boxes = False

    def __call__(self, predictions: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """Computes float32 [B, A] from predictions and targets [B, A, C] and weights [B, A]."""
        distance = tf.abs(predictions - targets)
        # The quadratic part. Capping it keeps x² from overflowing where the loss is linear.
        inside = tf.minimum(distance, self.delta)
        return weights * tf.reduce_sum(inside * (distance - 0.5 * inside), axis=-1)
