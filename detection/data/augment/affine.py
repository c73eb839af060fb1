"""Shifts, shears and rotations of an image with its boxes.

The size of the image does not change, and new areas are grey. A box becomes the smallest upright box around its moved
corners, clipped to the image. Pixels are not interpolated, as in the implementation of Zoph et al. (2019).
"""

from __future__ import annotations

import math

import tensorflow as tf

from detection.data.augment.pixel_ops import FILL
from detection.data.sample import Sample, move_boxes


def translate_x(sample: Sample, pixels: tf.Tensor) -> Sample:
    """Moves everything to the left."""
    return _moved(sample, [[1.0, 0.0, pixels], [0.0, 1.0, 0.0]])


def translate_y(sample: Sample, pixels: tf.Tensor) -> Sample:
    """Moves everything up."""
    return _moved(sample, [[1.0, 0.0, 0.0], [0.0, 1.0, pixels]])


def shear_x(sample: Sample, level: tf.Tensor) -> Sample:
    """Moves each row to the left, by `level` times its distance from the top."""
    return _moved(sample, [[1.0, level, 0.0], [0.0, 1.0, 0.0]])


def shear_y(sample: Sample, level: tf.Tensor) -> Sample:
    """Moves each column up, by `level` times its distance from the left."""
    return _moved(sample, [[1.0, 0.0, 0.0], [level, 1.0, 0.0]])


def rotate(sample: Sample, degrees: tf.Tensor) -> Sample:
    """Rotates counterclockwise around the centre of the image."""
    angle = degrees * (math.pi / 180.0)
    cos, sin = tf.cos(angle), tf.sin(angle)
    height, width = tf.unstack(tf.cast(tf.shape(sample.image)[:2], tf.float32))
    y, x = height / 2.0, width / 2.0
    return _moved(sample, [[cos, -sin, x - cos * x + sin * y], [sin, cos, y - sin * x - cos * y]])


def _moved(sample: Sample, source: list[list[float | tf.Tensor]]) -> Sample:
    """Moves the content from source (x, y, 1) to (x, y), in pixels from the upper left corner."""
    (a, b, c), (d, e, f) = ([tf.cast(value, tf.float32) for value in row] for row in source)
    # The operation counts from the centre of the first pixel.
    around = [a, b, c + (a + b - 1.0) / 2.0, d, e, f + (d + e - 1.0) / 2.0, tf.zeros([]), tf.zeros([])]
    image = tf.raw_ops.ImageProjectiveTransformV3(
        images=sample.image[tf.newaxis],
        transforms=tf.stack(around)[tf.newaxis],
        output_shape=tf.shape(sample.image)[:2],
        fill_value=float(FILL),
        interpolation="NEAREST",
        fill_mode="CONSTANT",
    )[0]
    image = tf.ensure_shape(image, sample.image.shape)
    determinant = a * e - b * d
    sides = tf.cast(tf.tile(tf.shape(image)[:2], [2]), tf.float32)

    def change(boxes: tf.Tensor) -> tf.Tensor:
        ymin, xmin, ymax, xmax = tf.unstack(boxes * sides, axis=1)
        x = tf.stack([xmin, xmax, xmin, xmax]) - c
        y = tf.stack([ymin, ymin, ymax, ymax]) - f
        x, y = (e * x - b * y) / determinant, (a * y - d * x) / determinant  # [4, n]
        corners = [tf.reduce_min(y, 0), tf.reduce_min(x, 0), tf.reduce_max(y, 0), tf.reduce_max(x, 0)]
        return tf.clip_by_value(tf.stack(corners, axis=1) / sides, 0.0, 1.0)

    return move_boxes(sample._replace(image=image), change)
