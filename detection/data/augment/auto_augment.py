"""AutoAugment for detection (Zoph et al. 2019).

A row of the policy is drawn at random, and its two or three operations are applied, each with its probability.
Operations that move the image move its boxes too; operations "of boxes" change the content of each box, but no
coordinates. Their strengths are levels from 0 to 10 (table 6 of the paper; `_ARGUMENTS`).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from detection.data.augment import draw, pixel_ops
from detection.data.augment.affine import rotate, shear_x, shear_y, translate_x, translate_y
from detection.data.augment.policies import POLICIES
from detection.data.augment.within_boxes import cutout_of_a_box, within_boxes
from detection.data.sample import Sample

# (sample with a uint8 image, seed, argument float32 []) -> sample
_Operation = Callable[[Sample, tf.Tensor, tf.Tensor], Sample]


def autoaugment_image(sample: Sample, seed: tf.Tensor, policy_name: str = "v0") -> Sample:
    """Applies a random row of a policy; the resulting image is uint8.

    Boxes that leave the image have no area afterwards, and are dropped when the batch is made.

    Args:
        sample: the sample.
        seed: of all random numbers.
        policy_name: v0 (the one that the paper reports), v1, v2, v3 or test.
    """
    policy = POLICIES[policy_name]
    choice, *seeds = draw.split(seed, 1 + max(map(len, policy)))
    row = draw.integer(choice, 0, len(policy))
    sample = sample._replace(image=tf.cast(tf.clip_by_value(sample.image, 0, 255), tf.uint8))
    for number, step_seed in enumerate(seeds):
        sample = _step([each[number] if number < len(each) else None for each in policy], row, sample, step_seed)
    return sample


def _step(column: list[tuple[str, float, int] | None], row: tf.Tensor, sample: Sample, seed: tf.Tensor) -> Sample:
    """Applies operation `row` of a column; rows that are too short for the column have none.

    Operations that differ only in strength share a branch of the graph.
    """
    names = sorted({each[0] for each in column if each is not None})
    kinds = np.array([len(names) if each is None else names.index(each[0]) for each in column], np.int32)
    numbers = [(0.0, 0.0) if each is None else (each[1], _ARGUMENTS[each[0]](each[2])) for each in column]
    probability, argument = tf.unstack(tf.gather(tf.constant(numbers, tf.float32), row))
    branches = [lambda name=name: _run(name, sample, seed, probability, argument) for name in names]
    return tf.switch_case(tf.gather(tf.constant(kinds), row), [*branches, lambda: sample])


def _run(name: str, sample: Sample, seed: tf.Tensor, probability: tf.Tensor, argument: tf.Tensor) -> Sample:
    chance, own = draw.split(seed, 2)
    if name in _OF_BOXES:  # as in the reference, because an image has several boxes
        return within_boxes(sample, own, probability / 3.0, lambda s, each: _OF_BOXES[name](s, each, argument))
    return draw.maybe(chance, probability, lambda s: _OPERATIONS[name](s, own, argument), sample)


def _pixels(change: Callable[..., tf.Tensor], *, random: bool = False, plain: bool = False) -> _Operation:
    """Makes an operation from a function of pixels; `random` ones take a seed, `plain` ones no argument."""

    def operation(sample: Sample, seed: tf.Tensor, argument: tf.Tensor) -> Sample:
        more = () if plain else (seed, argument) if random else (argument,)
        return sample._replace(image=change(sample.image, *more))

    return operation


def _flip(image: tf.Tensor) -> tf.Tensor:
    return tf.reverse(image, [1])


def _either_way(move: Callable[[Sample, tf.Tensor], Sample]) -> _Operation:
    """Makes an operation whose direction is random."""

    def operation(sample: Sample, seed: tf.Tensor, argument: tf.Tensor) -> Sample:
        return move(sample, tf.where(draw.chance(seed, 0.5), argument, -argument))

    return operation


_OPERATIONS: dict[str, _Operation] = {
    "AutoContrast": _pixels(pixel_ops.autocontrast, plain=True),
    "Equalize": _pixels(pixel_ops.equalize, plain=True),
    "Posterize": _pixels(pixel_ops.posterize),
    "Solarize": _pixels(pixel_ops.solarize),
    "SolarizeAdd": _pixels(pixel_ops.solarize_add),
    "Color": _pixels(pixel_ops.color),
    "Contrast": _pixels(pixel_ops.contrast),
    "Brightness": _pixels(pixel_ops.brightness),
    "Sharpness": _pixels(pixel_ops.sharpness),
    "Cutout": _pixels(pixel_ops.cutout, random=True),
    "BBox_Cutout": cutout_of_a_box,
    "Rotate_BBox": _either_way(rotate),
    "TranslateX_BBox": _either_way(translate_x),
    "TranslateY_BBox": _either_way(translate_y),
    "ShearX_BBox": _either_way(shear_x),
    "ShearY_BBox": _either_way(shear_y),
}
_OF_BOXES: dict[str, _Operation] = {
    "TranslateY_Only_BBoxes": _either_way(translate_y),
    "ShearX_Only_BBoxes": _either_way(shear_x),
    "ShearY_Only_BBoxes": _either_way(shear_y),
    "Flip_Only_BBoxes": _pixels(_flip, plain=True),
    "Equalize_Only_BBoxes": _pixels(pixel_ops.equalize, plain=True),
    "Cutout_Only_BBoxes": _pixels(pixel_ops.cutout, random=True),
}


def _share(most: float) -> Callable[[int], float]:
    return lambda level: level / 10.0 * most


def _whole_share(most: float) -> Callable[[int], float]:
    return lambda level: float(int(level / 10.0 * most))


def _factor(level: int) -> float:
    return level / 10.0 * 1.8 + 0.1


# Operation -> level to argument.
_ARGUMENTS: dict[str, Callable[[int], float]] = {
    **dict.fromkeys(("AutoContrast", "Equalize", "Flip_Only_BBoxes", "Equalize_Only_BBoxes"), _share(0.0)),
    "Posterize": _whole_share(4),  # bits
    "Solarize": _whole_share(256),
    "SolarizeAdd": _whole_share(110),
    **dict.fromkeys(("Color", "Contrast", "Brightness", "Sharpness"), _factor),
    "Cutout": _whole_share(100),  # pixels
    "Cutout_Only_BBoxes": _whole_share(50),
    "BBox_Cutout": _share(0.75),  # of half the box
    "Rotate_BBox": _share(30.0),  # degrees
    **dict.fromkeys(("TranslateX_BBox", "TranslateY_BBox"), _share(250.0)),  # pixels
    "TranslateY_Only_BBoxes": _share(120.0),
    **dict.fromkeys(("ShearX_BBox", "ShearY_BBox", "ShearX_Only_BBoxes", "ShearY_Only_BBoxes"), _share(0.3)),
}
