"""Smooth L1 (Huber) of box codes (Fast R-CNN, equation 3): per anchor, w Σ_i h(p_i - t_i) with

h(x) = ½ x² where |x| <= δ, otherwise δ (|x| - ½ δ)
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
        """predictions and targets float32 [B, A, C], weights [B, A] -> [B, A]."""
        distance = tf.abs(predictions - targets)
        inside = tf.minimum(
            distance, self.delta
        )  # the quadratic part; keeps x² from overflowing where the linear one holds
        return weights * tf.reduce_sum(inside * (distance - 0.5 * inside), axis=-1)
