"""What a second stage saw of each detection, as outputs of their own: for search by example, tracking, or as the memory
of another model (Beery et al. 2020, section 4)."""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from detection.meta_architectures.faster_rcnn import CropRegions, by_image


@dataclasses.dataclass(frozen=True)
class BoxFeatures:
    """The maps of detections, cut out once more at their final boxes: `final` those behind the tail of the network,
    `cropped` those before it."""

    final: bool
    cropped: bool

    def __call__(
        self, regions: CropRegions, maps: tuple[tf.Tensor, ...], boxes: tf.Tensor, image_shape: tuple
    ) -> tuple[tf.Tensor | None, tf.Tensor | None]:
        """boxes float32 [B, D, 4], pixels -> (final, cropped), float32 [B, D, h, w, c] each, None for what is not
        asked for."""
        cut = regions.crop(maps, image_shape)(boxes)
        final = by_image(regions.tail(cut, training=False), boxes) if self.final else None
        return final, by_image(cut, boxes) if self.cropped else None


class NoBoxFeatures:
    """Boxes, classes and scores are all."""

    def __call__(self, regions: object, maps: tuple, boxes: tf.Tensor, image_shape: tuple) -> tuple[None, None]:
        """Nothing."""
        return None, None
