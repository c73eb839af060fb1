"""R-FCN (Dai et al. 2016; survey, section 2.2.3): Faster R-CNN with nearly all of the second stage done once for the
whole map.

proposals: a region proposal network
regions:   tail of the network on the whole map -> maps for every bin of a region -> position-sensitive crop of each
           proposal
"""

from __future__ import annotations

import keras
import tensorflow as tf

from detection.heads.position_sensitive import PositionSensitiveHead
from detection.meta_architectures.faster_rcnn import by_image
from detection.ops.roi_chunks import REGIONS_AT_A_TIME, in_chunks


class PositionSensitiveRegions(keras.layers.Layer):
    """Slot 2 of R-FCN.

    Called by `run`, so that its layers stand at the root of a checkpoint (`SecondStageFeatureExtractor`,
    `SecondStageBoxPredictor`).

    Args:
        tail: the map -> features of the whole image.
        head: features -> maps; maps and boxes -> codes and logits.
        chunk: regions of an image at a time, where nothing is learnt.
    """

    def __init__(
        self, *, tail: keras.layers.Layer, head: PositionSensitiveHead, chunk: int = REGIONS_AT_A_TIME
    ) -> None:
        super().__init__(name="PositionSensitiveRegions", autocast=False)
        self.tail, self.head, self.chunk = tail, head, chunk

    def run(
        self, maps: tuple[tf.Tensor, ...], boxes: tf.Tensor, image_shape: tuple, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """boxes float32 [B, P, 4], pixels -> codes float32 [B, P, K, 4], logits float32 [B, P, K + 1]."""
        (features,) = maps
        scored = self.head(self.tail(features, training=training), training=training)

        def regions(some: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            codes, logits = self.head.regions(scored, some, image_shape)
            return by_image(codes, some), by_image(logits, some)

        return regions(boxes) if training else in_chunks(regions, boxes, self.head.sides, self.chunk)

    def object_keys(self) -> dict[str, keras.Variable]:
        """None: the TF Object Detection API has no R-FCN with object-based checkpoints."""
        return {}
