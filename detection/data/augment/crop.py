"""Random crops that look at the boxes.

`random_crop_image` draws a window until it contains at least `min_object_covered` of some box (100 attempts, then the whole image), then drops the
boxes of which less than `overlap_thresh` is left. `ssd_random_crop` chooses one of several such settings with equal probability, as the data
augmentation of the SSD paper (Liu et al. 2016, section 2.2) does, with settings and order of the TF Object Detection API.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import tensorflow as tf

from detection.data.augment import draw, window
from detection.data.sample import Sample

MAX_ATTEMPTS = 100


@dataclass(frozen=True)
class Crop:
    """Settings of one random crop. `random_coef` is the probability of leaving the sample as it is."""

    min_object_covered: float | tf.Tensor = 1.0
    aspect_ratio_range: tuple[float, float] = (0.75, 1.33)
    area_range: tuple[float, float] = (0.1, 1.0)
    overlap_thresh: float | tf.Tensor = 0.3
    clip_boxes: bool = True
    random_coef: float | tf.Tensor = 0.0


SSD_CROPS = tuple(
    Crop(min_object_covered=covered, aspect_ratio_range=(0.5, 2.0), area_range=(0.1, 1.0), overlap_thresh=covered, random_coef=0.15)
    for covered in (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
)


def random_crop_image(sample: Sample, seed: tf.Tensor, settings: Crop = Crop()) -> Sample:  # noqa: B008 (frozen)
    """A window of the image, drawn with the boxes in view (no boxes: the whole image counts as one)."""
    decide, place = draw.split(seed, 2)

    def cut(sample: Sample) -> Sample:
        begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
            tf.shape(sample.image),
            tf.clip_by_value(sample.boxes, 0.0, 1.0)[tf.newaxis],
            seed=place,
            min_object_covered=settings.min_object_covered,
            aspect_ratio_range=settings.aspect_ratio_range,
            area_range=settings.area_range,
            max_attempts=MAX_ATTEMPTS,
            use_image_if_no_bounding_boxes=True,
        )
        return window.crop(sample, begin[:2], size[:2], settings.overlap_thresh, settings.clip_boxes)

    return draw.maybe(decide, 1 - settings.random_coef, cut, sample)


def one_of(operations: tuple[Callable[[Sample, tf.Tensor], Sample], ...], sample: Sample, seed: tf.Tensor) -> Sample:
    """Applies one of the operations, each with equal probability."""
    choose, act = draw.split(seed, 2)
    if len(operations) == 1:
        return operations[0](sample, act)
    chosen = draw.integer(choose, 0, len(operations))
    return tf.switch_case(chosen, [lambda operation=operation: operation(sample, act) for operation in operations])


def ssd_random_crop(sample: Sample, seed: tf.Tensor, crops: tuple[Crop, ...] = SSD_CROPS) -> Sample:
    """One of several random crops, each with equal probability."""
    first = crops[0]
    if all((c.aspect_ratio_range, c.area_range, c.clip_boxes) == (first.aspect_ratio_range, first.area_range, first.clip_boxes) for c in crops):
        # They differ in numbers that may be tensors: choosing the numbers keeps the graph, and the start of a run, seven times smaller.
        choose, act = draw.split(seed, 2)
        chosen = draw.integer(choose, 0, len(crops))
        numbers = {name: tf.gather([getattr(c, name) for c in crops], chosen) for name in ("min_object_covered", "overlap_thresh", "random_coef")}
        return random_crop_image(sample, act, replace(first, **numbers))
    return one_of(tuple(lambda s, k, c=settings: random_crop_image(s, k, c) for settings in crops), sample, seed)
