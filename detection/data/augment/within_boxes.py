"""Changes of what is inside of boxes: each box's part of the image is taken out, changed and put back."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from detection.data.augment import draw, pixel_ops
from detection.data.sample import Sample

_Change = Callable[[Sample, tf.Tensor], Sample]  # (a part as a sample without boxes, seed) -> the same


def within_boxes(sample: Sample, seed: tf.Tensor, probability: tf.Tensor, change: _Change) -> Sample:
    """Changes the part of the image in each box, one after the other, each with the given probability. Boxes stay."""
    places = _pixels(sample)
    nothing = sample._replace(boxes=tf.zeros([0, 4]), proposals=())

    def part_of(image: tf.Tensor, number: tf.Tensor, own: tf.Tensor) -> tf.Tensor:
        top, left, bottom, right = tf.unstack(places[number])
        part = change(nothing._replace(image=image[top:bottom, left:right]), own).image
        margins = [[top, tf.shape(image)[0] - bottom], [left, tf.shape(image)[1] - right], [0, 0]]
        inside = tf.pad(tf.ones_like(part[..., :1], tf.bool), margins)
        return tf.where(inside, tf.pad(part, margins), image)

    def step(number: tf.Tensor, image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        chance, own = draw.split(tf.random.fold_in(seed, tf.cast(number, tf.int64)), 2)
        image = draw.maybe(chance, probability, lambda each: part_of(each, number, own), image)
        return number + 1, tf.ensure_shape(image, sample.image.shape)

    count = tf.shape(places)[0]
    invariants = (tf.TensorShape([]), sample.image.shape)
    _, image = tf.while_loop(lambda number, _: number < count, step, (0, sample.image), invariants)
    return sample._replace(image=image)


def cutout_of_a_box(sample: Sample, seed: tf.Tensor, fraction: tf.Tensor) -> Sample:
    """A grey rectangle inside a random box: around a pixel of it, `fraction` times its sides."""
    which, y_seed, x_seed = draw.split(seed, 3)
    places = _pixels(sample)

    def cut() -> tf.Tensor:
        top, left, bottom, right = tf.unstack(places[draw.integer(which, 0, tf.shape(places)[0])])
        half = tf.cast(fraction * tf.cast(tf.stack([bottom - top, right - left]), tf.float32) / 2.0, tf.int32)
        y, x = draw.integer(y_seed, top, bottom), draw.integer(x_seed, left, right)
        return pixel_ops.hide(sample.image, y - half[0], x - half[1], y + half[0], x + half[1])

    return sample._replace(image=tf.cond(tf.shape(places)[0] > 0, cut, lambda: sample.image))


def _pixels(sample: Sample) -> tf.Tensor:
    """int32 [n, 4]: first row and column of each box, and those behind its last, at least one pixel in the image."""
    shape = tf.shape(sample.image)[:2]
    corners = tf.cast(sample.boxes * tf.cast(tf.tile(shape, [2]), tf.float32), tf.int32)
    first = tf.clip_by_value(corners[:, :2], 0, shape - 1)
    last = tf.clip_by_value(corners[:, 2:], first, shape - 1)
    return tf.concat([first, last + 1], axis=1)
