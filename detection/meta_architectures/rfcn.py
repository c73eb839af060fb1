"""R-FCN (Dai et al. 2016; survey, section 2.2.3): Faster R-CNN with most of the second stage shared by all regions.

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
    """Slot 2 of R-FCN: score maps of the whole image, from which every proposal is cropped.

    Call `run`, not the layer itself, so that its layers stay at the root of a checkpoint
    (`SecondStageFeatureExtractor`, `SecondStageBoxPredictor`).

    Args:
        tail: the map -> features of the whole image.
        head: features -> score maps; score maps and boxes -> codes and logits.
        chunk: regions per image that are computed at a time outside training, to limit memory.
    """

    def __init__(
        self, *, tail: keras.layers.Layer, head: PositionSensitiveHead, chunk: int = REGIONS_AT_A_TIME
    ) -> None:
        super().__init__(name="PositionSensitiveRegions", autocast=False)
        self.tail, self.head, self.chunk = tail, head, chunk

    def run(
        self, maps: tuple[tf.Tensor, ...], boxes: tf.Tensor, image_shape: tuple, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Predicts box codes and class logits of regions.

        Args:
            maps: one map, float32 [B, h, w, c].
            boxes: float32 [B, P, 4], pixels.
            image_shape: height and width of the padded image, pixels.
            training: whether layers run in training mode.

        Returns:
            Codes float32 [B, P, K, 4] and logits float32 [B, P, K + 1].
        """
        (features,) = maps
        scored = self.head(self.tail(features, training=training), training=training)

        def regions(chunk: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            codes, logits = self.head.regions(scored, chunk, image_shape)
            return by_image(codes, chunk), by_image(logits, chunk)

        return regions(boxes) if training else in_chunks(regions, boxes, self.head.sides, self.chunk)

    def object_keys(self) -> dict[str, keras.Variable]:
        """Returns an empty dict: the TF Object Detection API has no R-FCN with object-based checkpoints."""
        return {}
