"""Per anchor, w (1 - GIoU); with the smallest box C around both boxes, GIoU = IoU - (|C| - |union|) / |C| (Rezatofighi
et al. 2019)."""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf

from detection.losses.weighted_iou import intersection_and_union


@dataclass(frozen=True)
class WeightedGiou:
    """Localisation loss over decoded boxes; unlike 1 - IoU it has a gradient where the boxes do not touch."""

    needs_boxes = True

    def __call__(self, predictions: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """predictions and targets: boxes float32 [B, A, 4], pixels; weights [B, A] -> [B, A]."""
        shared, union = intersection_and_union(predictions, targets)
        low = tf.minimum(predictions[..., :2], targets[..., :2])
        high = tf.maximum(predictions[..., 2:], targets[..., 2:])
        enclosing = tf.reduce_prod(high - low, axis=-1)
        giou = tf.math.divide_no_nan(shared, union) - tf.math.divide_no_nan(enclosing - union, enclosing)
        return weights * (1.0 - giou)
