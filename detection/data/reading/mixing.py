"""Mixes several data sets in fixed proportions: chooses the data set of each sample.

The choice for sample i depends only on (seed, i) and is drawn in blocks, so that a resumed run can quickly compute how
many samples of each data set were used.
"""

from __future__ import annotations

import tensorflow as tf

BLOCK = 4096
_SALT = 0x5EED  # makes these draws independent of those of shuffling and augmentation


def _choices(weights: tuple[float, ...], seed: int, block: tf.Tensor | int) -> tf.Tensor:
    """The data sets of samples block * BLOCK and following, int64 [BLOCK]."""
    total = sum(weights)
    edges = [sum(weights[: number + 1]) / total for number in range(len(weights) - 1)]
    draws = tf.random.stateless_uniform(
        [BLOCK], tf.stack([tf.constant(seed + _SALT, tf.int64), tf.cast(block, tf.int64)])
    )
    return tf.cast(tf.searchsorted(tf.constant(edges, tf.float32), draws, side="right"), tf.int64)


def choices(weights: tuple[float, ...], seed: int, position: int) -> tf.data.Dataset:
    """An infinite dataset of int64 scalars: the data sets of samples `position` and following.

    Args:
        weights: relative frequency of each data set.
        seed: of the draws.
        position: number of the first sample.
    """

    def block(number: tf.Tensor) -> tf.data.Dataset:
        return tf.data.Dataset.from_tensor_slices(_choices(weights, seed, number))

    return tf.data.Dataset.range(position // BLOCK, tf.int64.max).flat_map(block).skip(position % BLOCK)


def samples_taken(weights: tuple[float, ...], seed: int, position: int) -> list[int]:
    """How many of the first `position` samples come from each data set; arguments as in `choices`."""
    counts = tf.zeros([len(weights)], tf.int64)
    for block in range(-(-position // BLOCK)):
        block_choices = _choices(weights, seed, block)[: position - block * BLOCK]
        counts += tf.math.bincount(tf.cast(block_choices, tf.int32), minlength=len(weights), dtype=tf.int64)
    return [int(count) for count in counts]
