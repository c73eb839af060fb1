"""The weighted sum where classes have weights of their own, or examples those of expected sampling, against numpy."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from detection.losses.weighted_iou import WeightedIou
from detection.losses.weighted_sigmoid import WeightedSigmoid
from detection.losses.weighted_smooth_l1 import WeightedSmoothL1
from detection.losses.weighted_softmax import WeightedSoftmax
from detection.meta_architectures.multibox_loss import LossSum, LossTerms, RandomAnchors, multibox_loss
from detection.ops.example_weights import ExplicitClasses
from detection.ops.expected_sampling import ReweightedNegatives
from detection.ops.samplers import BalancedSampler
from detection.types import Targets

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(0, 2, (2, 6, 4)).astype(np.float32)
MATCHES = np.array([[0, -1, -1, 1, -1, -1], [-1, -1, 0, -1, -1, -1]], np.int32)
MATCHED = (MATCHES >= 0).astype(np.float32)
CLASSES = np.eye(4, dtype=np.float32)[np.where(MATCHES >= 0, 2, 0)]
TARGETS = Targets(
    *map(tf.constant, (np.zeros((2, 6, 4), np.float32), MATCHED, CLASSES, np.ones((2, 6), np.float32), MATCHES))
)


def classification(loss, **terms) -> float:
    made = LossTerms(WeightedSmoothL1(1.0), loss, **terms)
    return float(multibox_loss(made, tf.zeros([2, 6, 4]), tf.constant(LOGITS), TARGETS, lambda codes: codes)[1])


def sigmoid_losses() -> np.ndarray:
    x = LOGITS.astype(np.float64)
    return np.maximum(x, 0) - x * CLASSES + np.log1p(np.exp(-np.abs(x)))


def softmax_losses() -> np.ndarray:
    x = LOGITS.astype(np.float64)
    return np.log(np.exp(x).sum(axis=-1)) - (x * CLASSES).sum(axis=-1)


def test_sum_of_losses_of_codes_and_of_boxes():
    """One matched anchor of weight 2: two codes differ by 0.5, and the boxes overlap by a third."""
    codes, target = [[[0.0, 0.0, 1.0, 1.0]]], [[[0.0, 0.5, 1.0, 1.5]]]
    targets = Targets(*map(tf.constant, (target, [[2.0]], [[[0.0, 1.0]]], [[1.0]], np.zeros((1, 1), np.int32))))
    terms = LossTerms(LossSum(((1.0, WeightedSmoothL1(1.0)), (3.0, WeightedIou()))), WeightedSoftmax(), 10.0)
    # Moving the decoded boxes leaves their overlap.
    loss, _ = multibox_loss(terms, tf.constant(codes), tf.zeros([1, 1, 2]), targets, lambda codes: codes * 2 + 7)
    smooth, iou = 2 * 0.5 * 0.5**2, 1 - 0.5 / 1.5
    assert float(loss) == pytest.approx(10 * (2 * smooth + 3 * 2 * iou), rel=1e-5)


def test_weights_of_classes():
    """Matched: certain of the background's absence and of class 1; everything else is concluded."""
    weights = np.full((2, 6, 4), 0.3)
    weights[MATCHED > 0] = [1, 0.3, 1, 0.3]
    explicit = {"example_weights": ExplicitClasses(0.3)}
    assert classification(WeightedSigmoid(), **explicit) == pytest.approx((weights * sigmoid_losses()).sum(), rel=1e-5)
    mean = weights.mean(axis=-1)
    assert classification(WeightedSoftmax(), **explicit) == pytest.approx((mean * softmax_losses()).sum(), rel=1e-5)


def test_weights_of_classes_and_random_anchors():
    """With positives only, matched anchors are all that is left."""
    terms = {"example_weights": ExplicitClasses(0.3), "random_sampler": RandomAnchors(BalancedSampler(1.0))}
    weights = MATCHED[..., None] * np.array([1, 0.3, 1, 0.3])
    assert classification(WeightedSigmoid(), **terms) == pytest.approx((weights * sigmoid_losses()).sum(), rel=1e-5)


def test_expected_sampling_of_anchors():
    """Softmax: anchors are the examples. 1.5 negatives a positive: 3 of 4, and 1.5 of 5."""
    share = np.where(MATCHED > 0, 1, np.array([[3 / 4], [1.5 / 5]]))
    found = classification(WeightedSoftmax(), expected=ReweightedNegatives(1.5))
    assert found == pytest.approx((share * softmax_losses()).sum(), rel=1e-5)


def test_expected_sampling_of_classes():
    """Sigmoid: each class of each anchor is an example, 24 an image, of which 6 are ones."""
    share = np.where(CLASSES > 0, 1, 1.5 * 6 / 18)
    found = classification(WeightedSigmoid(), expected=ReweightedNegatives(1.5))
    assert found == pytest.approx((share * sigmoid_losses()).sum(), rel=1e-5)
