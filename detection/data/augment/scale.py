"""Changes of size and quality. Boxes are fractions of the image, so most operations do not change them."""

from __future__ import annotations

import tensorflow as tf

from detection.data.augment import draw, window
from detection.data.resize import Method, resize
from detection.data.sample import Sample


def resize_image(
    sample: Sample,
    seed: tf.Tensor | None = None,
    new_height: int = 0,
    new_width: int = 0,
    method: Method = Method.BILINEAR,
) -> Sample:
    """Resizes to new_height x new_width."""
    return sample._replace(image=resize(sample.image[tf.newaxis], (new_height, new_width), method)[0])


def random_resize_method(sample: Sample, seed: tf.Tensor, target_height: int, target_width: int) -> Sample:
    """Resizes to target_height x target_width with one of the four methods at random."""
    branches = [
        lambda m=method: resize(sample.image[tf.newaxis], (target_height, target_width), m)[0] for method in Method
    ]
    return sample._replace(image=tf.switch_case(draw.integer(seed, 0, len(branches)), branches))


def random_image_scale(
    sample: Sample, seed: tf.Tensor, min_scale_ratio: float = 0.5, max_scale_ratio: float = 2.0
) -> Sample:
    """Multiplies both sides by a random factor from [min_scale_ratio, max_scale_ratio)."""
    scale = draw.uniform(seed, min_scale_ratio, max_scale_ratio)
    size = tf.maximum(tf.cast(tf.cast(tf.shape(sample.image)[:2], tf.float32) * scale, tf.int32), 1)
    return sample._replace(image=resize(sample.image[tf.newaxis], size, align_corners=True)[0])


def random_downscale_to_target_pixels(
    sample: Sample,
    seed: tf.Tensor,
    random_coef: float = 0.0,
    min_target_pixels: int = 300_000,
    max_target_pixels: int = 500_000,
) -> Sample:
    """Shrinks an image with more than a random number of pixels to about that number.

    `random_coef` is the probability of no change.
    """
    decide_seed, target_seed = draw.split(seed, 2)
    target = draw.integer(target_seed, min_target_pixels, max_target_pixels + 1)

    def shrink(sample: Sample) -> Sample:
        shape = tf.cast(tf.shape(sample.image)[:2], tf.float32)
        scale = tf.minimum(tf.sqrt(tf.cast(target, tf.float32) / tf.reduce_prod(shape)), 1.0)
        size = tf.maximum(tf.cast(shape * scale, tf.int32), 1)
        return sample._replace(
            image=tf.cond(scale < 1, lambda: resize(sample.image[tf.newaxis], size)[0], lambda: sample.image)
        )

    return draw.maybe(decide_seed, 1 - random_coef, shrink, sample._replace(image=tf.cast(sample.image, tf.float32)))


def random_jpeg_quality(
    sample: Sample, seed: tf.Tensor, random_coef: float = 0.0, min_jpeg_quality: int = 0, max_jpeg_quality: int = 100
) -> Sample:
    """Compresses the image as JPEG with a random quality; `random_coef` is the probability of no change."""
    decide_seed, quality_seed = draw.split(seed, 2)
    quality = draw.integer(quality_seed, min_jpeg_quality, max_jpeg_quality + 1)

    def compress(sample: Sample) -> Sample:
        colors, others = sample.image[..., :3], sample.image[..., 3:]  # those behind the third stay as they are
        pixels = tf.cast(tf.round(tf.clip_by_value(colors, 0.0, 255.0)), tf.uint8)
        encoded = tf.raw_ops.EncodeJpegVariableQuality(images=pixels, quality=quality)
        image = tf.cast(tf.io.decode_jpeg(encoded, channels=3), tf.float32)
        return sample._replace(image=tf.concat([image, others], axis=2) if others.shape[2] else image)

    return draw.maybe(decide_seed, 1 - random_coef, compress, sample._replace(image=tf.cast(sample.image, tf.float32)))


def random_scale_crop_and_pad_to_square(
    sample: Sample, seed: tf.Tensor, output_size: int = 512, scale_min: float = 0.1, scale_max: float = 2.0
) -> Sample:
    """Scales randomly, crops and pads to a square.

    The long side becomes output_size times a random factor; a random part of at most output_size is placed at the top
    left of a black square of that size.

    Args:
        sample: the sample.
        seed: of scale and position.
        output_size: side of the result, pixels.
        scale_min: smallest factor.
        scale_max: largest factor.
    """
    scale_seed, *position_seeds = draw.split(seed, 3)
    shape = tf.cast(tf.shape(sample.image)[:2], tf.float32)
    scale = draw.uniform(scale_seed, scale_min, scale_max) * output_size / tf.reduce_max(shape)
    size = tf.maximum(tf.cast(shape * scale, tf.int32), 1)
    sample = sample._replace(image=resize(sample.image[tf.newaxis], size)[0])
    part = tf.minimum(size, output_size)
    begin = tf.stack([draw.integer(position_seeds[i], 0, size[i] - part[i] + 1) for i in range(2)])
    sample = window.crop(sample, begin, part, overlap_thresh=0.0, clip_boxes=True)
    return window.pad(sample, tf.zeros([2], tf.int32), tf.constant([output_size, output_size]))
