"""Expected loss under balanced sampling: every example is used, weighted with the probability of being sampled.

The schema of the TF Object Detection API has two methods (`Loss.expected_loss_weights`). For an image with J positives
among N examples, about max(ratio J, least) negatives would be sampled:

    EXPECTED_SAMPLING               the weight of a negative is min(ratio J', N - J') / (N - J'), J' the number of
                                    other positives (least / N if there is no positive)
    REWEIGHTING_UNMATCHED_ANCHORS   the weights of all negatives sum to min(max(ratio J, least), N - J)

Positives have weight 1. Examples are anchors; if the loss has a term for each class (a sigmoid), they are the single
classes of all anchors, which are positive where the target is 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf


@dataclass(frozen=True)
class NoExpectation:
    """Every example has weight 1."""

    def __call__(self, positive: tf.Tensor) -> tf.Tensor:
        """Returns ones of the shape of `positive`, float32 [B, N]."""
        return tf.ones_like(positive)


@dataclass(frozen=True)
class ExpectedSampling:
    """EXPECTED_SAMPLING (see the module docstring)."""

    ratio: float  # negatives for each positive
    least: float = 0.0  # negatives in an image without positives

    def __call__(self, positive: tf.Tensor) -> tf.Tensor:
        """Returns the weights of the examples from `positive`, float32 [B, N], 1 for positives and 0 for negatives."""
        number = tf.cast(tf.shape(positive)[1], tf.float32)
        total = tf.reduce_sum(positive, axis=1, keepdims=True)
        others = total - positive
        negatives = number - others  # at least 1, since the example itself is not among the others
        share = tf.minimum(self.ratio * others, negatives) / negatives
        share = tf.where(total > 0, share, self.least / number)
        return positive + (1.0 - positive) * share


@dataclass(frozen=True)
class ReweightedNegatives:
    """REWEIGHTING_UNMATCHED_ANCHORS (see the module docstring)."""

    ratio: float  # negatives for each positive
    least: float = 0.0  # minimum number of negatives in an image

    def __call__(self, positive: tf.Tensor) -> tf.Tensor:
        """Returns the weights of the examples from `positive`, float32 [B, N], 1 for positives and 0 for negatives."""
        total = tf.reduce_sum(positive, axis=1, keepdims=True)
        negatives = tf.reduce_sum(1.0 - positive, axis=1, keepdims=True)
        effective = tf.minimum(tf.maximum(self.ratio * total, self.least), negatives)
        return positive + (1.0 - positive) * tf.math.divide_no_nan(effective, negatives)
