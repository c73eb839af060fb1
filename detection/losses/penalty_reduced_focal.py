"""Penalty-reduced focal loss of heat maps (Zhou et al. 2019, Equation 1; Law and Deng 2018, Equation 1).

For a cell with probability p and target t, the loss is

    t = 1:  -(1 - p)^α log p          otherwise:  -(1 - t)^β p^α log(1 - p)

so that the penalty is smaller for cells near an object. As in the TF Object Detection API, p is clipped to [0.0001,
0.9999], and there is no gradient outside.
"""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf

_LEAST = 1e-4


@dataclass(frozen=True)
class PenaltyReducedFocal:
    """Classification loss of heat map cells."""

    alpha: float = 2.0
    beta: float = 4.0

    def __call__(self, predictions: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """Logits and targets in [0, 1] float32 [B, A, K], weights [B, A] -> [B, A, K]."""
        p = tf.clip_by_value(tf.sigmoid(predictions), _LEAST, 1.0 - _LEAST)
        of_objects = tf.pow(1.0 - p, self.alpha) * tf.math.log(p)
        of_others = tf.pow(1.0 - targets, self.beta) * tf.pow(p, self.alpha) * tf.math.log(1.0 - p)
        return -weights[..., tf.newaxis] * tf.where(targets >= 1.0, of_objects, of_others)
