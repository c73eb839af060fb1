"""Random crops that depend on the boxes.

`random_crop_image` draws windows until one contains at least `min_object_covered` of some box (100 attempts, then the
whole image), and drops the boxes of which less than `overlap_thresh` is left. `ssd_random_crop` chooses one of several
such settings with equal probability, as in the data augmentation of the SSD paper (Liu et al. 2016, section 2.2), with
settings and order of the TF Object Detection API.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import tensorflow as tf

from detection.data.augment import draw, window
from detection.data.sample import Sample

MAX_ATTEMPTS = 100


@dataclass(frozen=True)
class Crop:
    """Settings of one random crop. `random_coef` is the probability of not changing the sample."""

    min_object_covered: float | tf.Tensor = 1.0
    aspect_ratio_range: tuple[float, float] = (0.75, 1.33)
    area_range: tuple[float, float] = (0.1, 1.0)
    overlap_thresh: float | tf.Tensor = 0.3
    clip_boxes: bool = True
    random_coef: float | tf.Tensor = 0.0


SSD_CROPS = tuple(
    Crop(
        min_object_covered=covered,
        aspect_ratio_range=(0.5, 2.0),
        area_range=(0.1, 1.0),
        overlap_thresh=covered,
        random_coef=0.15,
    )
    for covered in (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
)


def random_crop_image(sample: Sample, seed: tf.Tensor, settings: Crop = Crop()) -> Sample:
    """Crops to a random window that contains enough of a box; without boxes, the whole image counts as one."""
    decide_seed, window_seed = draw.split(seed, 2)

    def crop_to_window(sample: Sample) -> Sample:
        begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
            tf.shape(sample.image),
            tf.clip_by_value(sample.boxes, 0.0, 1.0)[tf.newaxis],
            seed=window_seed,
            min_object_covered=settings.min_object_covered,
            aspect_ratio_range=settings.aspect_ratio_range,
            area_range=settings.area_range,
            max_attempts=MAX_ATTEMPTS,
            use_image_if_no_bounding_boxes=True,
        )
        return window.crop(sample, begin[:2], size[:2], settings.overlap_thresh, settings.clip_boxes)

    return draw.maybe(decide_seed, 1 - settings.random_coef, crop_to_window, sample)


def one_of(operations: tuple[Callable[[Sample, tf.Tensor], Sample], ...], sample: Sample, seed: tf.Tensor) -> Sample:
    """Applies one of the operations, each with equal probability."""
    choice_seed, operation_seed = draw.split(seed, 2)
    if len(operations) == 1:
        return operations[0](sample, operation_seed)
    index = draw.integer(choice_seed, 0, len(operations))
    return tf.switch_case(
        index, [lambda operation=operation: operation(sample, operation_seed) for operation in operations]
    )


def chosen(crops: tuple[Crop, ...], number: tf.Tensor) -> Crop | None:
    """The settings crops[number] with tensors, or None if the crops differ in settings that cannot be tensors.

    Selecting numbers instead of branches keeps the graph, and the time until a run starts, as small as for one crop.

    Args:
        crops: all settings.
        number: int32 scalar, which one to choose.
    """
    first = crops[0]
    if any(
        (c.aspect_ratio_range, c.area_range, c.clip_boxes)
        != (first.aspect_ratio_range, first.area_range, first.clip_boxes)
        for c in crops
    ):
        return None
    names = ("min_object_covered", "overlap_thresh", "random_coef")
    return replace(first, **{name: tf.gather([getattr(c, name) for c in crops], number) for name in names})


def ssd_random_crop(sample: Sample, seed: tf.Tensor, crops: tuple[Crop, ...] = SSD_CROPS) -> Sample:
    """Applies one of several random crops, each with equal probability."""
    choice_seed, crop_seed = draw.split(seed, 2)
    settings = chosen(crops, draw.integer(choice_seed, 0, len(crops)))
    if settings is not None:
        return random_crop_image(sample, crop_seed, settings)
    return one_of(tuple(partial(random_crop_image, settings=c) for c in crops), sample, seed)


def random_crop_to_aspect_ratio(
    sample: Sample, seed: tf.Tensor, aspect_ratio: float = 1.0, overlap_thresh: float = 0.3, clip_boxes: bool = True
) -> Sample:
    """Crops the largest window with the given width / height, at a random position."""
    shape = tf.shape(sample.image)[:2]
    height, width = tf.cast(shape[0], tf.float32), tf.cast(shape[1], tf.float32)
    float_size = tf.stack(
        [tf.minimum(height, tf.round(width / aspect_ratio)), tf.minimum(width, tf.round(height * aspect_ratio))]
    )
    size = tf.clip_by_value(tf.cast(float_size, tf.int32), 1, shape)
    seeds = draw.split(seed, 2)
    begin = tf.stack([draw.integer(seeds[i], 0, shape[i] - size[i] + 1) for i in range(2)])
    return window.crop(sample, begin, size, overlap_thresh, clip_boxes)


def random_square_crop_by_scale(
    sample: Sample,
    seed: tf.Tensor,
    max_border: int = 128,
    scale_min: float = 0.6,
    scale_max: float = 1.3,
    num_scales: int = 8,
) -> Sample:
    """Crops a square of one of `num_scales` sizes around a random point, with black outside the image.

    The distance of the point from the edges is at least max_border, halved until it is less than half the side
    (CenterNet, arXiv 1904.07850).

    Args:
        sample: the sample.
        seed: of size and position.
        max_border: pixels.
        scale_min: smallest side of the square, in long sides of the image.
        scale_max: largest side, in long sides of the image.
        num_scales: number of sizes.
    """
    shape = tf.shape(sample.image)[:2]
    scale_seed, *position_seeds = draw.split(seed, 3)
    scale = tf.linspace(scale_min, scale_max, num_scales)[draw.integer(scale_seed, 0, num_scales)]
    side = tf.maximum(tf.cast(scale * tf.cast(tf.reduce_max(shape), tf.float32), tf.int32), 2)
    halvings = tf.maximum(
        tf.math.ceil(tf.math.log(2.0 * max_border / tf.cast(shape, tf.float32)) / tf.math.log(2.0)), 0
    )
    border = tf.cast(max_border / tf.pow(2.0, halvings), tf.int32)
    centre = tf.stack([draw.integer(position_seeds[i], border[i], shape[i] - border[i] + 1) for i in range(2)])
    corner = centre - side // 2
    begin, end = tf.maximum(corner, 0), tf.minimum(corner + side, shape)
    sample = window.crop(sample, begin, tf.maximum(end - begin, 1), overlap_thresh=0.0, clip_boxes=True)
    return window.pad(sample, begin - corner, tf.stack([side, side]))
