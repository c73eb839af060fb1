"""The head of R-FCN: maps of scores and boxes for every bin of a region, computed once for the whole image (Dai et al.
2016, section 2).

features -> 1x1 to `depth` -> bins * (K + 1) class maps -> position-sensitive crop of each region -> K + 1 logits
                           -> bins * K * 4 box maps     -> position-sensitive crop of each region -> K boxes of 4 codes
                                                        each
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import keras
import tensorflow as tf

from detection.networks.hyperparams import Hyperparams
from detection.networks.layers import Conv

# (maps [B, h, w, bins * d], boxes [B, P, 4] in pixels, (H, W) of the image) -> [B * P, d]
PositionSensitiveOp = Callable[[tf.Tensor, tf.Tensor, tuple[int | tf.Tensor, int | tf.Tensor]], tf.Tensor]


@dataclasses.dataclass(frozen=True)
class PositionSensitiveOptions:
    """Fields of the message `RfcnBoxPredictor`, as objects."""

    hyperparams: Hyperparams
    crop: PositionSensitiveOp
    num_bins: int = 9
    depth: int = 1024
    code_size: int = 4


class PositionSensitiveHead(keras.layers.Layer):
    """Class logits and class-specific boxes of regions from the map of the whole image, in two steps: maps once, then
    regions in any portions.

    Args of call: features float32 [B, h, w, c]. Returns the maps of boxes, float32 [B, h, w, bins * K * code], and
    those of classes, float32 [B, h, w, bins * (K + 1)].
    """

    def __init__(
        self, num_classes: int, options: PositionSensitiveOptions, name: str = "SecondStageBoxPredictor"
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.num_classes, self.code_size, self.crop = num_classes, options.code_size, options.crop
        linear = options.hyperparams.linear()
        self.reduce = Conv("reduce_depth", options.depth, 1, options.hyperparams)
        self.boxes = Conv("refined_locations", options.num_bins * num_classes * options.code_size, 1, linear)
        self.classes = Conv("class_predictions", options.num_bins * (num_classes + 1), 1, linear)
        self.sides = ((num_classes, options.code_size), (num_classes + 1,))  # of what a region gets

    def build(self, shape: tuple[int | None, ...]) -> None:
        """The parts build themselves when first called, inside this layer's scope."""

    def call(self, features: tf.Tensor, training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        reduced = self.reduce(features, training=training)
        return self.boxes(reduced, training=training), self.classes(reduced, training=training)

    def regions(
        self,
        maps: tuple[tf.Tensor, tf.Tensor],
        boxes: tf.Tensor,
        image_shape: tuple[int | tf.Tensor, int | tf.Tensor],
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Codes float32 [B * P, K, code] and logits float32 [B * P, K + 1] of boxes float32 [B, P, 4], pixels;
        image_shape is the padded image's."""
        codes, logits = (self.crop(each, boxes, image_shape) for each in maps)
        return tf.reshape(codes, [-1, self.num_classes, self.code_size]), logits
