"""L1 distance of box codes: per anchor, w Σ_i |p_i - t_i|."""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf


@dataclass(frozen=True)
class L1:
    """Localisation loss over box codes."""

    needs_boxes = False

    def __call__(self, predictions: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """Computes float32 [B, A] from predictions and targets [B, A, C] and weights [B, A]."""
        return weights * tf.reduce_sum(tf.abs(predictions - targets), axis=-1)
