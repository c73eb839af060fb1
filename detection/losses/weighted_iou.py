"""Per anchor, w (1 - IoU) of the predicted and the groundtruth box."""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf


def intersection_and_union(boxes1: tf.Tensor, boxes2: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Areas [...] of the intersection and of the union of boxes [..., 4], row by row."""
    low = tf.maximum(boxes1[..., :2], boxes2[..., :2])
    high = tf.minimum(boxes1[..., 2:], boxes2[..., 2:])
    shared = tf.reduce_prod(tf.maximum(high - low, 0.0), axis=-1)
    area1, area2 = (
        tf.reduce_prod(tf.maximum(boxes[..., 2:] - boxes[..., :2], 0.0), axis=-1) for boxes in (boxes1, boxes2)
    )
    return shared, area1 + area2 - shared


@dataclass(frozen=True)
class WeightedIou:
    """Localisation loss over decoded boxes."""

    needs_boxes = True

    def __call__(self, predictions: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """Computes float32 [B, A] from predicted and target boxes [B, A, 4] in pixels and weights [B, A].

        Two empty boxes have IoU 0.
        """
        shared, union = intersection_and_union(predictions, targets)
        return weights * (1.0 - tf.math.divide_no_nan(shared, union))
