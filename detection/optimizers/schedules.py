"""Learning rates as functions of the step, in TensorFlow ops, so that they run inside the compiled step.

A schedule is a callable: int64 scalar step (number of updates made so far, from 0) -> float32 scalar learning rate. It
has no state, so the rate after a resume is that of an uninterrupted run.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

Schedule = Callable[[tf.Tensor], tf.Tensor]


@dataclass(frozen=True)
class Constant:
    """rate(step) = learning_rate."""

    learning_rate: float

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """The learning rate at `step`."""
        del step
        return tf.constant(self.learning_rate, tf.float32)


@dataclass(frozen=True)
class ExponentialDecay:
    """A burn-in at a fixed rate, then max(initial * factor ** ((step - burnin_steps) / decay_steps), minimum).

    With `staircase` the exponent is rounded down. With a `burnin_learning_rate` of 0 the burn-in uses the initial rate.
    """

    initial: float
    decay_steps: int
    decay_factor: float
    staircase: bool = True
    burnin_learning_rate: float = 0.0
    burnin_steps: int = 0
    minimum: float = 0.0

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        # The quotient is taken in float64: in float32 a step beyond 2**24 would fall on the wrong stair.
        """The learning rate at `step`."""
        periods = tf.cast(step - self.burnin_steps, tf.float64) / float(self.decay_steps)
        periods = tf.cast(tf.floor(periods) if self.staircase else periods, tf.float32)
        decayed = self.initial * tf.pow(tf.constant(self.decay_factor, tf.float32), periods)
        burnin = self.burnin_learning_rate if self.burnin_learning_rate > 0 else self.initial
        return tf.maximum(tf.where(step < self.burnin_steps, tf.constant(burnin, tf.float32), decayed), self.minimum)


@dataclass(frozen=True)
class ManualStep:
    """Piecewise constant: rates[i] from boundaries[i - 1] on; there is one more rate than boundaries.

    With `warmup` the rate changes linearly from rates[0] at step 0 to rates[1] at boundaries[0].

    Raises:
        ValueError: boundaries do not increase from above 0, or the number of rates is wrong.
    """

    boundaries: tuple[int, ...]
    rates: tuple[float, ...]
    warmup: bool = False

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in zip((0, *self.boundaries), self.boundaries, strict=False))
        if not rising or len(self.rates) != len(self.boundaries) + 1:
            raise ValueError(f"boundaries {self.boundaries} must rise from above 0, with one rate more ({self.rates})")

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """The learning rate at `step`."""
        if not self.boundaries:
            return tf.constant(self.rates[0], tf.float32)
        passed = tf.reduce_sum(tf.cast(tf.constant(self.boundaries, tf.int64) <= step, tf.int32))
        rate = tf.gather(tf.constant(self.rates, tf.float32), passed)
        if not self.warmup:
            return rate
        fraction = tf.cast(tf.cast(step, tf.float64) / self.boundaries[0], tf.float32)
        climb = self.rates[0] + (self.rates[1] - self.rates[0]) * fraction
        return tf.where(passed == 0, climb, rate)


@dataclass(frozen=True)
class CosineDecay:
    """Linear warm-up to base, a hold at base, then half a cosine down to 0 at total_steps.

    If total_steps is warmup_steps + hold_steps there is no decay: the rate is base up to total_steps and 0 afterwards.

    Raises:
        ValueError: warm-up and hold are longer than total_steps.
    """

    base: float
    total_steps: int
    warmup_learning_rate: float = 0.0
    warmup_steps: int = 0
    hold_steps: int = 0

    def __post_init__(self) -> None:
        if self.warmup_steps + self.hold_steps > self.total_steps:
            raise ValueError(
                f"warmup_steps + hold_steps ({self.warmup_steps + self.hold_steps}) must not exceed total_steps"
                f" ({self.total_steps})"
            )

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """The learning rate at `step`."""
        start = self.warmup_steps + self.hold_steps
        now = tf.cast(step, tf.float64)
        progress = tf.clip_by_value((now - start) / max(self.total_steps - start, 1), 0.0, 1.0)
        rate = 0.5 * self.base * (1.0 + tf.cos(math.pi * progress))
        if self.warmup_steps > 0:
            climb = self.warmup_learning_rate + (self.base - self.warmup_learning_rate) * now / self.warmup_steps
            rate = tf.where(step < self.warmup_steps, climb, rate)
        return tf.cast(tf.where(step > self.total_steps, tf.zeros_like(rate), rate), tf.float32)
