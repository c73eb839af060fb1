"""Functions of `object_detection.utils.ops` that tutorials use: box coordinates; functions for masks raise an error."""

from __future__ import annotations

import tensorflow as tf

from detection.errors import ConfigError
from detection.ops import boxes as box_ops


def normalized_to_image_coordinates(
    normalized_boxes: tf.Tensor, image_shape: tf.Tensor, parallel_iterations: int = 32
) -> tf.Tensor:
    """Converts normalised boxes [B, N, 4] to pixels.

    Args:
        normalized_boxes: [B, N, 4].
        image_shape: [4], shape of the batch of images.
        parallel_iterations: not used.
    """
    sides = tf.convert_to_tensor(image_shape)[1:3]
    return box_ops.to_pixels(tf.convert_to_tensor(normalized_boxes), tf.cast(sides, tf.int32)[tf.newaxis])


def reframe_box_masks_to_image_masks(
    box_masks: tf.Tensor, boxes: tf.Tensor, image_height: int, image_width: int, resize_method: str = "bilinear"
) -> tf.Tensor:
    """Not supported: raises ConfigError, since detectors here predict no masks."""
    raise ConfigError(
        "object_detection.utils.ops.reframe_box_masks_to_image_masks: masks are not supported; detectors here"
        " predict boxes only, without `detection_masks`"
    )
