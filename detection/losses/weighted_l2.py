"""Half the squared distance of box codes: per anchor, ½ Σ_i (w (p_i - t_i))².

The weight is squared too, as in the TF Object Detection API, unless it `enters_once`: per anchor, ½ w Σ_i (p_i - t_i)².
"""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf


@dataclass(frozen=True)
class WeightedL2:
    """Localisation loss over box codes."""

    # For weights that are also a share of the loss, such as 1 / number of proposals.
    enters_once: bool = False
    needs_boxes = False

    def __call__(self, predictions: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """Computes float32 [B, A] from predictions and targets [B, A, C] and weights [B, A]."""
        if self.enters_once:
            return 0.5 * weights * tf.reduce_sum(tf.square(predictions - targets), axis=-1)
        difference = (predictions - targets) * weights[..., tf.newaxis]
        return 0.5 * tf.reduce_sum(tf.square(difference), axis=-1)
