"""Random padding, which makes objects smaller.

Together with crops it is the zoom augmentation of the SSD paper (Liu et al. 2016, section 3.6).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import tensorflow as tf

from detection.data.augment import draw, window
from detection.data.augment.crop import (
    SSD_CROPS,
    Crop,
    chosen,
    one_of,
    random_crop_image,
    random_crop_to_aspect_ratio,
    ssd_random_crop,
)
from detection.data.sample import Sample

Color = tuple[float, float, float] | None  # None: the mean of the image
Ratios = tuple[float, float]  # of height and width


@dataclass(frozen=True)
class CropPad:
    """Settings of a crop followed by a pad; the canvas is measured in sizes of the image before the crop."""

    crop: Crop = Crop()
    min_padded_size_ratio: Ratios | tf.Tensor = (1.0, 1.0)
    max_padded_size_ratio: Ratios | tf.Tensor = (2.0, 2.0)
    pad_color: Color = None


SSD_CROP_PADS = tuple(CropPad(crop=settings) for settings in SSD_CROPS[1:])


def random_pad_image(
    sample: Sample,
    seed: tf.Tensor,
    min_image_size: tuple[int, int] | tf.Tensor | None = None,
    max_image_size: tuple[int, int] | tf.Tensor | None = None,
    pad_color: Color = None,
) -> Sample:
    """Places the image at a random position on a canvas of random size.

    Args:
        sample: the sample.
        seed: of size and position.
        min_image_size: height and width of the smallest canvas, at least those of the image; None for those of the
            image.
        max_image_size: of the largest canvas; None for twice the image.
        pad_color: of the canvas.
    """
    shape = tf.shape(sample.image)[:2]
    smallest = shape if min_image_size is None else tf.maximum(tf.convert_to_tensor(min_image_size), shape)
    largest = shape * 2 if max_image_size is None else tf.maximum(tf.convert_to_tensor(max_image_size), shape)
    seeds = draw.split(seed, 4)
    # Sizes are drawn below the largest; if the range is empty, the largest is used.
    size = tf.stack(
        [
            tf.where(largest[i] > smallest[i], draw.integer(seeds[i], smallest[i], largest[i]), largest[i])
            for i in range(2)
        ]
    )
    before = tf.stack([draw.integer(seeds[2 + i], 0, size[i] - shape[i]) for i in range(2)])
    color = (
        tf.reduce_mean(tf.cast(sample.image, tf.float32), axis=[0, 1])
        if pad_color is None
        else tf.constant(pad_color, tf.float32)
    )
    return window.pad(sample, before, size, color)


def random_absolute_pad_image(
    sample: Sample, seed: tf.Tensor, max_height_padding: int, max_width_padding: int, pad_color: Color = None
) -> Sample:
    """Places the image on a canvas less than `max_..._padding` pixels larger."""
    largest = tf.shape(sample.image)[:2] + tf.constant([max_height_padding, max_width_padding])
    return random_pad_image(sample, seed, None, largest, pad_color)


def random_crop_pad_image(sample: Sample, seed: tf.Tensor, settings: CropPad = CropPad()) -> Sample:
    """Crops randomly and places the result on a random canvas."""
    crop_seed, pad_seed = draw.split(seed, 2)
    shape = tf.cast(tf.shape(sample.image)[:2], tf.float32)
    smallest = tf.cast(shape * settings.min_padded_size_ratio, tf.int32)
    largest = tf.cast(shape * settings.max_padded_size_ratio, tf.int32)
    cropped = random_crop_image(sample, crop_seed, settings.crop)
    return random_pad_image(cropped, pad_seed, smallest, largest, settings.pad_color)


def ssd_random_crop_pad(sample: Sample, seed: tf.Tensor, operations: tuple[CropPad, ...] = SSD_CROP_PADS) -> Sample:
    """Applies one of several `random_crop_pad_image` settings, each with equal probability."""
    choice_seed, operation_seed = draw.split(seed, 2)
    number = draw.integer(choice_seed, 0, len(operations))
    crop = chosen(tuple(operation.crop for operation in operations), number)
    if crop is not None and len({operation.pad_color for operation in operations}) == 1:
        low = tf.gather([operation.min_padded_size_ratio for operation in operations], number)
        high = tf.gather([operation.max_padded_size_ratio for operation in operations], number)
        return random_crop_pad_image(sample, operation_seed, CropPad(crop, low, high, operations[0].pad_color))
    # All branches of a graph must return the same type, and padding with a colour gives float32.
    sample = sample._replace(image=tf.cast(sample.image, tf.float32))
    return one_of(tuple(partial(random_crop_pad_image, settings=settings) for settings in operations), sample, seed)


def random_pad_to_aspect_ratio(
    sample: Sample,
    seed: tf.Tensor,
    aspect_ratio: float = 1.0,
    min_padded_size_ratio: Ratios = (1.0, 1.0),
    max_padded_size_ratio: Ratios = (2.0, 2.0),
) -> Sample:
    """Places the image at the top left of a black canvas with the given width / height.

    Args:
        sample: the sample.
        seed: of the size.
        aspect_ratio: width / height of the canvas.
        min_padded_size_ratio: smallest height and width of the canvas, in sizes of the image.
        max_padded_size_ratio: largest height and width, as far as the aspect ratio allows.
    """
    shape = tf.cast(tf.shape(sample.image)[:2], tf.float32)
    height, width = shape[0], shape[1]
    smallest = tf.stack([tf.maximum(height, width / aspect_ratio), tf.maximum(width, height * aspect_ratio)])
    low = tf.reduce_max(tf.maximum(shape * min_padded_size_ratio, smallest) / smallest)
    high = tf.reduce_min(shape * max_padded_size_ratio / smallest)
    # If the ratios and the aspect ratio contradict each other, the maximum takes precedence (as in the TF Object
    # Detection API), but the canvas is at least as large as the image.
    low = tf.maximum(tf.minimum(low, high), 1.0)
    scale = draw.uniform(seed, low, tf.maximum(low, high))
    size = tf.maximum(tf.cast(tf.round(scale * smallest), tf.int32), tf.shape(sample.image)[:2])
    return window.pad(sample, tf.zeros([2], tf.int32), size)


def ssd_random_crop_fixed_aspect_ratio(
    sample: Sample, seed: tf.Tensor, crops: tuple[Crop, ...] = SSD_CROPS, aspect_ratio: float = 1.0
) -> Sample:
    """Applies `ssd_random_crop`, then crops to the given width / height. The `crops` have the aspect ratio too."""
    first, second = draw.split(seed, 2)
    cropped = ssd_random_crop(sample, first, crops)
    return random_crop_to_aspect_ratio(cropped, second, aspect_ratio, clip_boxes=crops[0].clip_boxes)


def ssd_random_crop_pad_fixed_aspect_ratio(
    sample: Sample,
    seed: tf.Tensor,
    crops: tuple[Crop, ...] = SSD_CROPS,
    aspect_ratio: float = 1.0,
    min_padded_size_ratio: Ratios = (1.0, 1.0),
    max_padded_size_ratio: Ratios = (2.0, 2.0),
) -> Sample:
    """Applies `ssd_random_crop`, then pads with black to the given width / height."""
    first, second = draw.split(seed, 2)
    cropped = ssd_random_crop(sample, first, crops)
    return random_pad_to_aspect_ratio(cropped, second, aspect_ratio, min_padded_size_ratio, max_padded_size_ratio)
