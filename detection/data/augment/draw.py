"""Stateless random numbers, which depend only on a seed.

An operation gets one seed (int64 [2]) and splits it into one for each random decision. There is no state, so sample
number i of a run always gets the same augmentation, for any number of threads and after any interruption.
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
    """Random float32 numbers of `shape`, uniform in [low, high)."""
    return low + (high - low) * tf.random.stateless_uniform(shape, seed)


def integer(seed: tf.Tensor, low: int | tf.Tensor, high: int | tf.Tensor) -> tf.Tensor:
    """A random int32 scalar, uniform in [low, high); `low` if the range is empty."""
    low, high = tf.convert_to_tensor(low, tf.int32), tf.convert_to_tensor(high, tf.int32)
    return tf.random.stateless_uniform((), seed, low, tf.maximum(high, low + 1), tf.int32)


def chance(seed: tf.Tensor, probability: float | tf.Tensor) -> tf.Tensor:
    """A random bool scalar, true with the given probability."""
    return tf.random.stateless_uniform((), seed) < probability


def maybe(seed: tf.Tensor, probability: float | tf.Tensor, change: Callable[[_S], _S], sample: _S) -> _S:
    """Applies `change` to the sample with the given probability.

    For a probability of 0 or 1 (as a Python number) there is no branch in the graph.
    """
    if not tf.is_tensor(probability) and probability <= 0:
        return sample
    if not tf.is_tensor(probability) and probability >= 1:
        return change(sample)
    return tf.cond(chance(seed, probability), lambda: change(sample), lambda: sample)
