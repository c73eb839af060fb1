"""Calibration of scores, so that a score is the precision of detections with that score.

Guo et al. 2017; Küppers et al. 2020.

    scores = g(convert(logits / T))

with a temperature T, or a curve g, fitted beforehand on held-out data: one for all columns, or one per column. A curve
is given by points (x, y); it is linear between them and constant before the first and after the last.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf


@dataclass(frozen=True)
class Curve:
    """A piecewise linear curve through points with ascending x."""

    x: tuple[float, ...]
    y: tuple[float, ...]

    def __call__(self, scores: tf.Tensor) -> tf.Tensor:
        """Applies the curve to scores float32 of any shape."""
        x = tf.constant([-np.inf, *self.x, np.inf], tf.float32)
        y = tf.constant([self.y[0], *self.y, self.y[-1]], tf.float32)
        flat = tf.reshape(scores, [-1])
        # The interval of a score: the last point that does not exceed it, and the next.
        before = tf.clip_by_value(tf.searchsorted(x, flat, side="right") - 1, 0, len(self.x))
        low, high = tf.gather(x, before), tf.gather(x, before + 1)
        inside = tf.math.is_finite(low) & tf.math.is_finite(high)
        share = tf.where(inside, (flat - low) / tf.where(inside, high - low, 1.0), 0.0)
        first, second = tf.gather(y, before), tf.gather(y, before + 1)
        return tf.reshape((1 - share) * first + share * second, tf.shape(scores))


@dataclass(frozen=True)
class CurveOfEach:
    """Curves by column; columns without a curve are unchanged."""

    curves: tuple[tuple[int, Curve], ...]

    def __call__(self, scores: tf.Tensor) -> tf.Tensor:
        """Applies the curves to scores float32 [B, R, C]."""
        curves = dict(self.curves)
        columns = tf.unstack(scores, axis=-1)
        return tf.stack([curves[i](column) if i in curves else column for i, column in enumerate(columns)], axis=-1)


@dataclass(frozen=True)
class CalibratedScores:
    """A score converter that calibrates scores."""

    converter: Callable[[tf.Tensor], tf.Tensor]
    temperature: float = 1.0
    curve: Curve | CurveOfEach | None = None

    def __call__(self, logits: tf.Tensor) -> tf.Tensor:
        """Converts logits float32 [B, R, K + 1] to scores of the same shape."""
        scores = self.converter(logits / self.temperature if self.temperature != 1.0 else logits)
        return scores if self.curve is None else self.curve(scores)
