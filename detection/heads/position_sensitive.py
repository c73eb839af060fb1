"""The head of R-FCN (Dai et al. 2016, section 2): score and box maps for every bin of a region.

The maps are computed once for the whole image.

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
    """Class logits and class-specific boxes of regions, from the map of the whole image.

    It runs in two steps: calling it computes the maps, once per image; `regions` then crops regions from them, in
    chunks of any size.

    Args:
        num_classes: number of foreground classes K.
        options: layers, hyperparameters and the crop operation.
        name: name of the head in checkpoints.
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
        self.sides = ((num_classes, options.code_size), (num_classes + 1,))  # shapes of a region's codes and logits

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Does nothing: the parts are built when first called, inside this layer's scope."""

    def call(self, features: tf.Tensor, training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """Computes the maps of the whole image.

        Args:
            features: float32 [B, h, w, c].
            training: whether batch norm runs in training mode.

        Returns:
            Box maps float32 [B, h, w, bins * K * code] and class maps float32 [B, h, w, bins * (K + 1)].
        """
        reduced = self.reduce(features, training=training)
        return self.boxes(reduced, training=training), self.classes(reduced, training=training)

    def regions(
        self,
        maps: tuple[tf.Tensor, tf.Tensor],
        boxes: tf.Tensor,
        image_shape: tuple[int | tf.Tensor, int | tf.Tensor],
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Crops regions from the maps.

        Args:
            maps: box maps and class maps, as returned by calling the head.
            boxes: float32 [B, P, 4], pixels.
            image_shape: height and width of the padded image, pixels.

        Returns:
            Codes float32 [B * P, K, code] and logits float32 [B * P, K + 1].
        """
        codes, logits = (self.crop(each, boxes, image_shape) for each in maps)
        return tf.reshape(codes, [-1, self.num_classes, self.code_size]), logits
