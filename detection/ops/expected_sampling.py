"""Losses as they are to be expected of balanced sampling, without drawing: every example counts, with the weight with
which it would be drawn.

The schema of the TF Object Detection API has two ways (`Loss.expected_loss_weights`). Of J positives and N examples in
an image, about max(ratio J, least) negatives are to count:

    EXPECTED_SAMPLING               a negative weighs min(ratio J', N - J') / (N - J'),   J' the positives beside it
                                    (least / N where there is no positive)
    REWEIGHTING_UNMATCHED_ANCHORS   all negatives together weigh min(max(ratio J, least), N - J)

Positives weigh 1. Examples are anchors, or the single classes of all anchors where the loss has one for each class (a
sigmoid), which are positive where the target is 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf


@dataclass(frozen=True)
class NoExpectation:
    """Every example weighs 1."""

    def __call__(self, positive: tf.Tensor) -> tf.Tensor:
        """Float32 [B, N] -> 1."""
        return tf.ones_like(positive)


@dataclass(frozen=True)
class ExpectedSampling:
    """EXPECTED_SAMPLING."""

    ratio: float  # negatives for each positive
    least: float = 0.0  # negatives of an image without positives

    def __call__(self, positive: tf.Tensor) -> tf.Tensor:
        """Weights of the examples, from how positive they are, float32 [B, N], 0 to 1."""
        number = tf.cast(tf.shape(positive)[1], tf.float32)
        total = tf.reduce_sum(positive, axis=1, keepdims=True)
        others = total - positive
        negatives = number - others  # at least 1: the example itself is no other
        share = tf.minimum(self.ratio * others, negatives) / negatives
        share = tf.where(total > 0, share, self.least / number)
        return positive + (1.0 - positive) * share


@dataclass(frozen=True)
class ReweightedNegatives:
    """REWEIGHTING_UNMATCHED_ANCHORS."""

    ratio: float  # negatives for each positive
    least: float = 0.0  # negatives of an image

    def __call__(self, positive: tf.Tensor) -> tf.Tensor:
        """Weights of the examples, from how positive they are, float32 [B, N], 0 to 1."""
        total = tf.reduce_sum(positive, axis=1, keepdims=True)
        negatives = tf.reduce_sum(1.0 - positive, axis=1, keepdims=True)
        effective = tf.minimum(tf.maximum(self.ratio * total, self.least), negatives)
        return positive + (1.0 - positive) * tf.math.divide_no_nan(effective, negatives)
