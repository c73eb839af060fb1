"""What tutorials take from `object_detection.utils.ops`: boxes between pixels and fractions. Masks are refused."""

from __future__ import annotations

import tensorflow as tf

from detection.errors import ConfigError
from detection.ops import boxes as box_ops


def normalized_to_image_coordinates(
    normalized_boxes: tf.Tensor, image_shape: tf.Tensor, parallel_iterations: int = 32
) -> tf.Tensor:
    """Boxes [B, N, 4] in fractions of the images -> pixels; image_shape [4] is that of the batch."""
    sides = tf.convert_to_tensor(image_shape)[1:3]
    return box_ops.to_pixels(tf.convert_to_tensor(normalized_boxes), tf.cast(sides, tf.int32)[tf.newaxis])


def reframe_box_masks_to_image_masks(
    box_masks: tf.Tensor, boxes: tf.Tensor, image_height: int, image_width: int, resize_method: str = "bilinear"
) -> tf.Tensor:
    """Raises ConfigError: there are no masks."""
    raise ConfigError(
        "object_detection.utils.ops.reframe_box_masks_to_image_masks: masks are not supported; detectors here give"
        " boxes, and no `detection_masks`"
    )
