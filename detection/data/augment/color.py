"""Changes of colour and brightness. Pixels stay in 0 to 255; strengths are fractions of that range.

The image is converted to float32, and results are clipped.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from detection.data.augment import draw
from detection.data.sample import Sample


def to_float(sample: Sample) -> Sample:
    """The sample with a float32 image of the same values."""
    return sample._replace(image=tf.cast(sample.image, tf.float32))


def _recolor(sample: Sample, change: Callable[[tf.Tensor], tf.Tensor]) -> Sample:
    """Applies `change` to the float32 image and clips.

    Hue, saturation and contrast do not depend on the scale, so the image is not scaled to 0 to 1.
    """
    return _of_colors(to_float(sample), lambda image: tf.clip_by_value(change(image), 0.0, 255.0))


def _of_colors(sample: Sample, change: Callable[[tf.Tensor], tf.Tensor]) -> Sample:
    """Applies `change` to red, green and blue; further channels stay."""
    if sample.image.shape[2] == 3:
        return sample._replace(image=change(sample.image))
    changed = change(sample.image[..., :3])
    return sample._replace(image=tf.concat([changed, tf.cast(sample.image[..., 3:], changed.dtype)], axis=2))


def random_adjust_brightness(sample: Sample, seed: tf.Tensor, max_delta: float = 0.2) -> Sample:
    """Adds a random number from [-max_delta, max_delta) of the range to all pixels."""
    delta = draw.uniform(seed, -max_delta, max_delta)
    return _recolor(sample, lambda image: image + 255.0 * delta)


def random_adjust_contrast(sample: Sample, seed: tf.Tensor, min_delta: float = 0.8, max_delta: float = 1.25) -> Sample:
    """Multiplies each channel's difference from its mean by a random factor from [min_delta, max_delta)."""
    factor = draw.uniform(seed, min_delta, max_delta)
    return _recolor(sample, lambda image: tf.image.adjust_contrast(image, factor))


def random_adjust_hue(sample: Sample, seed: tf.Tensor, max_delta: float = 0.02) -> Sample:
    """Shifts the hue by a random angle from [-max_delta, max_delta) of the colour circle."""
    delta = draw.uniform(seed, -max_delta, max_delta)
    return _recolor(sample, lambda image: tf.image.adjust_hue(image, delta))


def random_adjust_saturation(
    sample: Sample, seed: tf.Tensor, min_delta: float = 0.8, max_delta: float = 1.25
) -> Sample:
    """Multiplies the saturation by a random factor from [min_delta, max_delta)."""
    factor = draw.uniform(seed, min_delta, max_delta)
    return _recolor(sample, lambda image: tf.image.adjust_saturation(image, factor))


def random_distort_color(sample: Sample, seed: tf.Tensor, color_ordering: int = 0) -> Sample:
    """Changes brightness, saturation, hue and contrast strongly.

    Args:
        sample: the sample.
        seed: of all changes.
        color_ordering: 0: brightness, saturation, hue, contrast; 1: brightness, contrast, saturation, hue.
    """
    brightness, contrast, saturation, hue = draw.split(seed, 4)

    def saturate(sample: Sample) -> Sample:
        return random_adjust_saturation(sample, saturation, 0.5, 1.5)

    def turn(sample: Sample) -> Sample:
        return random_adjust_hue(sample, hue, 0.2)

    def stretch(sample: Sample) -> Sample:
        return random_adjust_contrast(sample, contrast, 0.5, 1.5)

    sample = random_adjust_brightness(sample, brightness, 32.0 / 255.0)
    for change in {0: (saturate, turn, stretch), 1: (stretch, saturate, turn)}[color_ordering]:
        sample = change(sample)
    return sample


def random_pixel_value_scale(sample: Sample, seed: tf.Tensor, minval: float = 0.9, maxval: float = 1.1) -> Sample:
    """Multiplies every value by its own random factor from [minval, maxval): noise proportional to brightness."""
    factors = minval + (maxval - minval) * tf.random.stateless_uniform(tf.shape(sample.image), seed)
    image = tf.cast(sample.image, tf.float32) * factors
    return sample._replace(image=tf.clip_by_value(image, 0.0, 255.0))


def rgb_to_gray(sample: Sample, seed: tf.Tensor | None = None) -> Sample:
    """Replaces all three channels by the luminance; the image keeps three channels."""
    return _of_colors(to_float(sample), lambda image: tf.tile(tf.image.rgb_to_grayscale(image), [1, 1, 3]))


def random_rgb_to_gray(sample: Sample, seed: tf.Tensor, probability: float = 0.1) -> Sample:
    """Converts to grey with the given probability."""
    return draw.maybe(seed, probability, rgb_to_gray, to_float(sample))


def normalize_image(
    sample: Sample,
    seed: tf.Tensor | None = None,
    original_minval: float = 0.0,
    original_maxval: float = 255.0,
    target_minval: float = 0.0,
    target_maxval: float = 1.0,
) -> Sample:
    """Maps the original range linearly onto the target range.

    Networks scale their input themselves, so this is rarely needed.
    """
    scale = (target_maxval - target_minval) / (original_maxval - original_minval)
    image = (tf.cast(sample.image, tf.float32) - original_minval) * scale + target_minval
    return sample._replace(image=image)


def subtract_channel_mean(
    sample: Sample, seed: tf.Tensor | None = None, means: tuple[float, float, float] = (0.0, 0.0, 0.0)
) -> Sample:
    """Subtracts a number from each of red, green and blue."""
    return _of_colors(to_float(sample), lambda image: image - tf.constant(means, tf.float32))


def adjust_gamma(sample: Sample, seed: tf.Tensor | None = None, gamma: float = 1.0, gain: float = 1.0) -> Sample:
    """Computes gain * x ^ gamma on values scaled to 0 to 1."""
    return _recolor(sample, lambda image: 255.0 * gain * tf.pow(image / 255.0, gamma))
