"""R-FCN (Dai et al. 2016; survey, section 2.2.3): Faster R-CNN with nearly all of the second stage done once for the whole map.

proposals: a region proposal network
regions:   tail of the network on the whole map -> maps for every bin of a region -> position-sensitive crop of each proposal
"""

from __future__ import annotations

import keras
import tensorflow as tf

from detection.heads.position_sensitive import PositionSensitiveHead
from detection.meta_architectures.faster_rcnn import by_image


class PositionSensitiveRegions(keras.layers.Layer):
    """Slot 2 of R-FCN.

    Called by `run`, so that its layers stand at the root of a checkpoint (`SecondStageFeatureExtractor`, `SecondStageBoxPredictor`).

    Args:
        tail: the map -> features of the whole image.
        head: features and boxes -> codes and logits.
    """

    def __init__(self, *, tail: keras.layers.Layer, head: PositionSensitiveHead) -> None:
        super().__init__(name="PositionSensitiveRegions", autocast=False)
        self.tail, self.head = tail, head

    def run(self, features: tf.Tensor, boxes: tf.Tensor, image_shape: tuple, training: bool) -> tuple[tf.Tensor, tf.Tensor]:
        """boxes float32 [B, P, 4], pixels -> codes float32 [B, P, K, 4], logits float32 [B, P, K + 1]."""
        whole = self.tail(features, training=training)
        codes, logits = self.head(whole, boxes=boxes, image_shape=image_shape, training=training)
        return by_image(codes, boxes), by_image(logits, boxes)
