"""Generalised IoU loss (Rezatofighi et al. 2019): per anchor, w (1 - GIoU).

GIoU = IoU - (|C| - |union|) / |C|, where C is the smallest box around both boxes.
"""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf

from detection.losses.weighted_iou import intersection_and_union


@dataclass(frozen=True)
class WeightedGiou:
    """Localisation loss over decoded boxes; unlike 1 - IoU it has a gradient where the boxes do not overlap."""

    needs_boxes = True

    def __call__(self, predictions: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """Computes float32 [B, A] from predicted and target boxes [B, A, 4] in pixels and weights [B, A]."""
        shared, union = intersection_and_union(predictions, targets)
        low = tf.minimum(predictions[..., :2], targets[..., :2])
        high = tf.maximum(predictions[..., 2:], targets[..., 2:])
        enclosing = tf.reduce_prod(high - low, axis=-1)
        giou = tf.math.divide_no_nan(shared, union) - tf.math.divide_no_nan(enclosing - union, enclosing)
        return weights * (1.0 - giou)
