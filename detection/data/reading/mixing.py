"""Several data sets in fixed proportions: which one gives sample number i.

The choice depends on (seed, i) alone and is drawn in blocks, so that a resumed run can add up quickly what each data
set has already given.
"""

from __future__ import annotations

import tensorflow as tf

BLOCK = 4096
_SALT = 0x5EED  # keeps these draws apart from those of shuffling and augmentation


def _choices(weights: tuple[float, ...], seed: int, block: tf.Tensor | int) -> tf.Tensor:
    """int64 [BLOCK]: the data sets for samples block * BLOCK and following."""
    total = sum(weights)
    edges = [sum(weights[: number + 1]) / total for number in range(len(weights) - 1)]
    draws = tf.random.stateless_uniform(
        [BLOCK], tf.stack([tf.constant(seed + _SALT, tf.int64), tf.cast(block, tf.int64)])
    )
    return tf.cast(tf.searchsorted(tf.constant(edges, tf.float32), draws, side="right"), tf.int64)


def choices(weights: tuple[float, ...], seed: int, position: int) -> tf.data.Dataset:
    """Endless int64 scalars: the data sets for samples `position` and following."""

    def block(number: tf.Tensor) -> tf.data.Dataset:
        return tf.data.Dataset.from_tensor_slices(_choices(weights, seed, number))

    return tf.data.Dataset.range(position // BLOCK, tf.int64.max).flat_map(block).skip(position % BLOCK)


def taken(weights: tuple[float, ...], seed: int, position: int) -> list[int]:
    """How many of the first `position` samples came from each data set."""
    counts = tf.zeros([len(weights)], tf.int64)
    for block in range(-(-position // BLOCK)):
        part = _choices(weights, seed, block)[: position - block * BLOCK]
        counts += tf.math.bincount(tf.cast(part, tf.int32), minlength=len(weights), dtype=tf.int64)
    return [int(count) for count in counts]
