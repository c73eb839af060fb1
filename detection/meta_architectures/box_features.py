"""Features of each detection as additional outputs of a two-stage detector.

They serve for similarity search and tracking, or as the memory bank of Context R-CNN (Beery et al. 2020, section 4).
"""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from detection.meta_architectures.faster_rcnn import CropRegions, by_image


@dataclasses.dataclass(frozen=True)
class BoxFeatures:
    """Crops the feature maps at the final boxes."""

    final: bool  # whether to return the features after the second stage's network
    cropped: bool  # whether to return the crops, which are its input

    def __call__(
        self, regions: CropRegions, maps: tuple[tf.Tensor, ...], boxes: tf.Tensor, image_shape: tuple
    ) -> tuple[tf.Tensor | None, tf.Tensor | None]:
        """Returns (final, cropped), each float32 [B, D, h, w, c], or None if it is not an output.

        Args:
            regions: the second stage's crops and network.
            maps: the feature maps.
            boxes: float32 [B, D, 4], pixels.
            image_shape: height and width of the padded images.
        """
        cut = regions.crop(maps, image_shape)(boxes)
        final = by_image(regions.tail(cut, training=False), boxes) if self.final else None
        return final, by_image(cut, boxes) if self.cropped else None


class NoBoxFeatures:
    """No features are outputs."""

    def __call__(self, regions: object, maps: tuple, boxes: tf.Tensor, image_shape: tuple) -> tuple[None, None]:
        """Nothing."""
        return None, None
