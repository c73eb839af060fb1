"""Pixel operations of AutoAugment's policies (Cubuk et al. 2019, table 6), on uint8 [h, w, 3].

The first four compute d + f (x - d) with a degenerate image d and a factor f, as PIL's enhancements do.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from detection.data.augment import draw

FILL = 128  # the grey of what is cut out, or was outside of the image
_SMOOTHING = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], np.float32) / 13.0


def brightness(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Towards black, or away from it."""
    return _enhanced(tf.zeros_like(image), image, factor)


def color(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Towards grey."""
    return _enhanced(tf.image.grayscale_to_rgb(tf.image.rgb_to_grayscale(image)), image, factor)


def contrast(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Towards the mean of its grey."""
    mean = tf.reduce_mean(tf.cast(tf.image.rgb_to_grayscale(image), tf.float32))
    return _enhanced(tf.ones_like(image, tf.float32) * tf.floor(mean + 0.5), image, factor)


def sharpness(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Towards a smoothed image; pixels at the border stay."""
    kernel = tf.constant(np.repeat(_SMOOTHING[..., np.newaxis], 3, axis=2)[..., np.newaxis])
    pixels = tf.cast(image, tf.float32)
    smooth = tf.nn.depthwise_conv2d(pixels[tf.newaxis], kernel, [1, 1, 1, 1], "SAME")[0]
    rows, columns = (_inner(size) for size in tf.unstack(tf.shape(image)[:2]))
    inside = (rows[:, tf.newaxis] & columns)[..., tf.newaxis]
    return _enhanced(tf.where(inside, tf.floor(tf.clip_by_value(smooth, 0.0, 255.0)), pixels), image, factor)


def autocontrast(image: tf.Tensor) -> tf.Tensor:
    """Each channel stretched to 0 to 255; one of a single value stays."""
    pixels = tf.cast(image, tf.float32)
    low, high = (reduce(pixels, axis=[0, 1], keepdims=True) for reduce in (tf.reduce_min, tf.reduce_max))
    scale = 255.0 / tf.where(high > low, high - low, 1.0)
    return tf.where(high > low, _to_bytes((pixels - low) * scale), image)


def equalize(image: tf.Tensor) -> tf.Tensor:
    """The histogram of each channel made flat, as `PIL.ImageOps.equalize` does."""
    return tf.stack([_equalized(channel) for channel in tf.unstack(tf.cast(image, tf.int32), axis=2)], axis=2)


def posterize(image: tf.Tensor, bits: tf.Tensor) -> tf.Tensor:
    """Only the upper bits, at least one: TensorFlow shifts a byte by 7 at most, and so the policies were found."""
    shift = tf.cast(tf.minimum(8 - tf.cast(bits, tf.int32), 7), tf.uint8)
    return tf.bitwise.left_shift(tf.bitwise.right_shift(image, shift), shift)


def solarize(image: tf.Tensor, threshold: tf.Tensor) -> tf.Tensor:
    """Values from the threshold on are inverted."""
    return tf.where(tf.cast(image, tf.int32) < tf.cast(threshold, tf.int32), image, 255 - image)


def solarize_add(image: tf.Tensor, addition: tf.Tensor) -> tf.Tensor:
    """Values below 128 are raised."""
    raised = tf.minimum(tf.cast(image, tf.int32) + tf.cast(addition, tf.int32), 255)
    return tf.where(image < 128, tf.cast(raised, tf.uint8), image)


def cutout(image: tf.Tensor, seed: tf.Tensor, half: tf.Tensor) -> tf.Tensor:
    """A grey square of 2 `half` pixels around a random pixel (DeVries and Taylor 2017)."""
    shape, half = tf.shape(image), tf.cast(half, tf.int32)
    y, x = (draw.integer(each, 0, shape[axis]) for axis, each in enumerate(draw.split(seed, 2)))
    return hide(image, y - half, x - half, y + half, x + half)


def hide(image: tf.Tensor, top: tf.Tensor, left: tf.Tensor, bottom: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
    """Grey in rows from top to below bottom and columns from left to below right, int32 scalars, pixels."""
    rows, columns = tf.range(tf.shape(image)[0])[:, tf.newaxis], tf.range(tf.shape(image)[1])[tf.newaxis]
    inside = (rows >= top) & (rows < bottom) & (columns >= left) & (columns < right)
    return tf.where(inside[..., tf.newaxis], tf.constant(FILL, tf.uint8), image)


def _enhanced(degenerate: tf.Tensor, image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    degenerate = tf.cast(degenerate, tf.float32)
    return _to_bytes(degenerate + factor * (tf.cast(image, tf.float32) - degenerate))


def _to_bytes(pixels: tf.Tensor) -> tf.Tensor:
    """Fractions are cut off, as in PIL."""
    return tf.cast(tf.clip_by_value(pixels, 0.0, 255.0), tf.uint8)


def _inner(size: tf.Tensor) -> tf.Tensor:
    """Returns bool [size], False at both ends."""
    places = tf.range(size)
    return (places > 0) & (places < size - 1)


def _equalized(channel: tf.Tensor) -> tf.Tensor:
    """int32 [h, w] -> uint8."""
    counts = tf.math.bincount(tf.reshape(channel, [-1]), minlength=256, maxlength=256)
    last = counts[tf.reduce_max(channel)]
    step = (tf.reduce_sum(counts) - last) // 255
    before = tf.cumsum(counts, exclusive=True)
    table = tf.clip_by_value((before + step // 2) // tf.maximum(step, 1), 0, 255)
    return tf.cast(tf.cond(step == 0, lambda: channel, lambda: tf.gather(table, channel)), tf.uint8)
