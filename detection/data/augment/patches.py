"""Hides squares of the image or adds noise to them, so that detection does not depend on a single part of an object."""

from __future__ import annotations

import tensorflow as tf

from detection.data.augment import draw
from detection.data.sample import Sample


def random_black_patches(
    sample: Sample,
    seed: tf.Tensor,
    max_black_patches: int = 10,
    probability: float = 0.5,
    size_to_image_ratio: float = 0.1,
) -> Sample:
    """Draws up to `max_black_patches` black squares, each with the given probability.

    Their side is `size_to_image_ratio` times the image's short side.
    """
    decide_seed, position_seed = draw.split(seed, 2)
    shape = tf.shape(sample.image)[:2]
    side = tf.cast(tf.cast(tf.reduce_min(shape), tf.float32) * size_to_image_ratio, tf.int32)
    is_drawn = tf.random.stateless_uniform([max_black_patches], decide_seed) < probability
    corners = tf.random.stateless_uniform([max_black_patches, 2], position_seed, 0.0, 1.0 - size_to_image_ratio)
    corners = tf.cast(corners * tf.cast(shape, tf.float32), tf.int32)
    rows, columns = tf.range(shape[0]), tf.range(shape[1])
    in_rows = (rows >= corners[:, :1]) & (rows < corners[:, :1] + side) & is_drawn[:, tf.newaxis]  # [patches, h]
    in_columns = (columns >= corners[:, 1:]) & (columns < corners[:, 1:] + side)  # [patches, w]
    hidden = (
        tf.linalg.matmul(tf.cast(in_rows, tf.float32), tf.cast(in_columns, tf.float32), transpose_a=True) > 0
    )  # [h, w]
    return sample._replace(image=tf.where(hidden[..., tf.newaxis], tf.zeros([], sample.image.dtype), sample.image))


def random_patch_gaussian(
    sample: Sample,
    seed: tf.Tensor,
    random_coef: float = 0.0,
    min_patch_size: int = 1,
    max_patch_size: int = 250,
    min_gaussian_stddev: float = 0.0,
    max_gaussian_stddev: float = 1.0,
) -> Sample:
    """Adds Gaussian noise to one square around a random point.

    Args:
        sample: the sample.
        seed: of all random numbers.
        random_coef: probability of no change.
        min_patch_size: smallest side, pixels.
        max_patch_size: largest side, pixels.
        min_gaussian_stddev: smallest standard deviation, as a fraction of 255.
        max_gaussian_stddev: largest standard deviation, as a fraction of 255.
    """
    decide_seed, stddev_seed, y_seed, x_seed, size_seed, noise_seed = draw.split(seed, 6)
    stddev = 255.0 * draw.uniform(stddev_seed, min_gaussian_stddev, max_gaussian_stddev)
    side = draw.integer(size_seed, min_patch_size, max_patch_size + 1)

    def blur(sample: Sample) -> Sample:
        shape = tf.shape(sample.image)
        top = draw.integer(y_seed, 0, shape[0]) - side // 2
        left = draw.integer(x_seed, 0, shape[1]) - side // 2
        rows, columns = tf.range(shape[0])[:, tf.newaxis], tf.range(shape[1])[tf.newaxis]
        inside = (rows >= top) & (rows < top + side) & (columns >= left) & (columns < left + side)
        noisy = tf.clip_by_value(
            sample.image + tf.random.stateless_normal(shape, noise_seed, stddev=stddev), 0.0, 255.0
        )
        return sample._replace(image=tf.where(inside[..., tf.newaxis], noisy, sample.image))

    return draw.maybe(decide_seed, 1 - random_coef, blur, sample._replace(image=tf.cast(sample.image, tf.float32)))
