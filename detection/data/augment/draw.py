"""Random numbers that depend on a seed and nothing else.

An operation gets one seed (int64 [2]) and splits it into as many as it has decisions. No state is kept, so sample
number i of a run always gets the same changes, however many threads work and wherever the run was interrupted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import tensorflow as tf

_S = TypeVar("_S")


def split(seed: tf.Tensor, count: int) -> list[tf.Tensor]:
    """`count` independent seeds from one."""
    return tf.unstack(tf.random.split(seed, count), num=count)


def uniform(
    seed: tf.Tensor, low: float | tf.Tensor = 0.0, high: float | tf.Tensor = 1.0, shape: tuple[int, ...] = ()
) -> tf.Tensor:
    """float32 `shape`, uniform in [low, high)."""
    return low + (high - low) * tf.random.stateless_uniform(shape, seed)


def integer(seed: tf.Tensor, low: int | tf.Tensor, high: int | tf.Tensor) -> tf.Tensor:
    """int32 scalar, uniform in [low, high); `low` where the range is empty."""
    low, high = tf.convert_to_tensor(low, tf.int32), tf.convert_to_tensor(high, tf.int32)
    return tf.random.stateless_uniform((), seed, low, tf.maximum(high, low + 1), tf.int32)


def chance(seed: tf.Tensor, probability: float | tf.Tensor) -> tf.Tensor:
    """bool scalar, true with the given probability."""
    return tf.random.stateless_uniform((), seed) < probability


def maybe(seed: tf.Tensor, probability: float | tf.Tensor, change: Callable[[_S], _S], sample: _S) -> _S:
    """`change(sample)` with the given probability, otherwise the sample.

    Decided while the graph is built if the probability is the number 0 or 1.
    """
    if not tf.is_tensor(probability) and probability <= 0:
        return sample
    if not tf.is_tensor(probability) and probability >= 1:
        return change(sample)
    return tf.cond(chance(seed, probability), lambda: change(sample), lambda: sample)
