"""Mirror images and quarter turns."""

from __future__ import annotations

import tensorflow as tf

from detection.data.augment import draw
from detection.data.sample import Sample, move_boxes


def random_horizontal_flip(sample: Sample, seed: tf.Tensor, probability: float = 0.5) -> Sample:
    """Mirrors left and right: x -> 1 - x."""

    def flipped(boxes: tf.Tensor) -> tf.Tensor:
        ymin, xmin, ymax, xmax = tf.unstack(boxes, axis=1)
        return tf.stack([ymin, 1 - xmax, ymax, 1 - xmin], axis=1)

    def flip(sample: Sample) -> Sample:
        return move_boxes(sample._replace(image=tf.reverse(sample.image, [1])), flipped)

    return draw.maybe(seed, probability, flip, sample)


def random_vertical_flip(sample: Sample, seed: tf.Tensor, probability: float = 0.5) -> Sample:
    """Mirrors top and bottom: y -> 1 - y."""

    def flipped(boxes: tf.Tensor) -> tf.Tensor:
        ymin, xmin, ymax, xmax = tf.unstack(boxes, axis=1)
        return tf.stack([1 - ymax, xmin, 1 - ymin, xmax], axis=1)

    def flip(sample: Sample) -> Sample:
        return move_boxes(sample._replace(image=tf.reverse(sample.image, [0])), flipped)

    return draw.maybe(seed, probability, flip, sample)


def random_rotation90(sample: Sample, seed: tf.Tensor, probability: float = 0.5) -> Sample:
    """Rotates by 90 degrees counterclockwise: the pixel at (y, x) moves to (1 - x, y)."""

    def rotated(boxes: tf.Tensor) -> tf.Tensor:
        ymin, xmin, ymax, xmax = tf.unstack(boxes, axis=1)
        return tf.stack([1 - xmax, ymin, 1 - xmin, ymax], axis=1)

    def rotate(sample: Sample) -> Sample:
        return move_boxes(sample._replace(image=tf.reverse(tf.transpose(sample.image, [1, 0, 2]), [0])), rotated)

    return draw.maybe(seed, probability, rotate, sample)
