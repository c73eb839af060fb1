"""Losses and hard example mining against the values in the TF Object Detection API's own unit tests of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from detection.losses.bootstrapped_sigmoid import BootstrappedSigmoid
from detection.losses.weighted_iou import WeightedIou
from detection.losses.weighted_l2 import WeightedL2
from detection.losses.weighted_logits_softmax import WeightedLogitsSoftmax
from detection.losses.weighted_sigmoid import WeightedSigmoid
from detection.losses.weighted_sigmoid_focal import WeightedSigmoidFocal
from detection.losses.weighted_smooth_l1 import WeightedSmoothL1
from detection.losses.weighted_softmax import WeightedSoftmax
from detection.ops.mining import HardExampleMiner

LN2 = math.log(2)
CODES = [[[2.5, 0, 0.4, 0], [0, 0, 0, 0], [0, 2.5, 0, 0.4]], [[3.5, 0, 0, 0], [0, 0.4, 0, 0.9], [0, 0, 1.5, 0]]]
PREDICTED, TRUE = (
    [[[1.5, 0, 2.4, 1], [0, 0, 1, 1], [0, 0, 0.5, 0.25]]],
    [[[1.5, 0, 2.4, 1], [0, 0, 1, 1], [50, 50, 500.5, 100.25]]],
)
LOCALIZATION = {
    "l2": (WeightedL2(), np.ones((3, 10, 4)), np.zeros((3, 10, 4)), [[1.0] * 5 + [0.0] * 5] * 3, 30.0),
    "smooth_l1": (WeightedSmoothL1(), CODES, np.zeros((2, 3, 4)), [[2, 1, 1], [0, 3, 0]], 7.695),
    "iou": (WeightedIou(), PREDICTED, TRUE, [[1.0, 0.5, 2.0]], 2.0),
}


def f32(*values):
    return [tf.constant(value, tf.float32) for value in values]


@pytest.mark.parametrize("name", LOCALIZATION)
def test_localization(name):
    loss, predictions, targets, weights, expected = LOCALIZATION[name]
    assert tf.reduce_sum(loss(*f32(predictions, targets, weights))).numpy() == pytest.approx(expected, rel=1e-5)


def test_l2_by_anchor():
    np.testing.assert_allclose(
        WeightedL2()(tf.ones([3, 16, 4]), tf.zeros([3, 16, 4]), tf.ones([3, 16])), np.full((3, 16), 2.0)
    )


SURE = 100
LOGITS = [[[-SURE, SURE, -SURE], [SURE, -SURE, -SURE], [SURE, 0, -SURE], [-SURE, -SURE, SURE]]]
LOGITS += [[[-SURE, 0, SURE], [-SURE, SURE, -SURE], [SURE, SURE, SURE], [0, 0, -1]]]
LABELS = [[[0, 1, 0], [1, 0, 0], [1, 0, 0], [0, 0, 1]], [[0, 0, 1], [0, 1, 0], [1, 1, 1], [1, 0, 0]]]
WEIGHTS = [[1, 1, 1, 1], [1, 1, 1, 0]]
UNSURE = [[[-SURE, SURE, 0], [SURE, -SURE, -SURE], [SURE, -SURE, -SURE], [-SURE, -SURE, SURE]]]
UNSURE += [[[-SURE, -SURE, SURE], [-SURE, SURE, -SURE], [SURE, SURE, SURE], [0, 0, -1]]]
SOFT_LOGITS = [[[-SURE, SURE, -SURE], [SURE, -SURE, -SURE], [0, 0, -SURE], [-SURE, -SURE, SURE]]]
SOFT_LOGITS += [[[-SURE, 0, 0], [-SURE, SURE, -SURE], [-SURE, SURE, -SURE], [SURE, -SURE, -SURE]]]
SOFT_LABELS = [[[0, 1, 0], [1, 0, 0], [1, 0, 0], [0, 0, 1]], [[0, 0, 1], [0, 1, 0], [0, 1, 0], [1, 0, 0]]]
SOFT_WEIGHTS = [[1, 1, 0.5, 1], [1, 1, 1, 0]]
BY_ANCHOR = [[0, 0, LN2, 0], [LN2, 0, 0, 0]]
CLASSIFICATION = {
    "sigmoid": (WeightedSigmoid(), LOGITS, LABELS, WEIGHTS, BY_ANCHOR),
    "sigmoid as focal loss": (WeightedSigmoidFocal(0.0, None), LOGITS, LABELS, WEIGHTS, BY_ANCHOR),
    "half of it": (WeightedSigmoidFocal(0.0, 0.5), LOGITS, LABELS, WEIGHTS, np.array(BY_ANCHOR) / 2),
    "bootstrapped, soft": (BootstrappedSigmoid(0.5), UNSURE, LABELS, WEIGHTS, [[LN2, 0, 0, 0], [0, 0, 0, 0]]),
    "bootstrapped, hard": (
        BootstrappedSigmoid(0.5, hard=True),
        UNSURE,
        LABELS,
        WEIGHTS,
        [[LN2, 0, 0, 0], [0, 0, 0, 0]],
    ),
    "bootstrapped, by anchor": (BootstrappedSigmoid(0.5, hard=True), LOGITS, LABELS, WEIGHTS, BY_ANCHOR),
    "softmax": (WeightedSoftmax(), SOFT_LOGITS, SOFT_LABELS, SOFT_WEIGHTS, [[0, 0, 0.5 * LN2, 0], [LN2, 0, 0, 0]]),
    "softmax of a huge scale": (
        WeightedSoftmax(logit_scale=1e17),
        SOFT_LOGITS,
        SOFT_LABELS,
        np.ones((2, 4)),
        np.full((2, 4), math.log(3)),
    ),
    "against logits": (
        WeightedLogitsSoftmax(),
        SOFT_LOGITS,
        np.array(SOFT_LABELS) * 200 - 100,
        SOFT_WEIGHTS,
        [[0, 0, 0.5 * LN2, 0], [LN2, 0, 0, 0]],
    ),
}


@pytest.mark.parametrize("name", CLASSIFICATION)
def test_classification(name):
    loss, predictions, targets, weights, expected = CLASSIFICATION[name]
    values = loss(*f32(predictions, targets, weights)).numpy()
    np.testing.assert_allclose(values.sum(axis=-1) if values.ndim == 3 else values, expected, rtol=1e-5, atol=1e-6)


def test_softmax_against_logits_with_a_scale():
    """Predictions equal to targets: the loss is the entropy of softmax(target / 100), of the unsure ones [1, 1, 1/e],
    of the others [e, 1/e, 1/e]."""

    def entropy(*logits):
        p = np.exp(logits) / np.exp(logits).sum()
        return -(p * np.log(p)).sum()

    sure, unsure = entropy(1, -1, -1), entropy(0, 0, -1)
    loss = WeightedLogitsSoftmax(logit_scale=100.0)(*f32(SOFT_LOGITS, SOFT_LOGITS, SOFT_WEIGHTS))
    np.testing.assert_allclose(loss, [[sure, sure, unsure / 2, sure], [unsure, sure, sure, 0]], rtol=1e-5)


def logits_of(*probabilities):
    return [[[math.log(p / (1 - p))] for p in probabilities]]


EASY, HARD = logits_of(0.97, 0.91, 0.73, 0.27, 0.09, 0.03), logits_of(0.55, 0.52, 0.50, 0.48, 0.45)
EASY_LABELS, HARD_LABELS = [[[1], [1], [1], [0], [0], [0]]], [[[1], [1], [1], [0], [0]]]


@pytest.mark.parametrize(
    ("logits", "labels", "orders"), [(EASY, EASY_LABELS, [1000, 100, 10, 10, 100, 1000]), (HARD, HARD_LABELS, [1] * 5)]
)
def test_focal_loss_is_smaller_by_orders_of_magnitude_where_it_is_easy(logits, labels, orders):
    weights = np.ones((1, len(orders)))
    focal, sigmoid = (
        loss(*f32(logits, labels, weights)).numpy().ravel()
        for loss in (WeightedSigmoidFocal(2.0, None), WeightedSigmoid())
    )
    np.testing.assert_allclose(10 ** np.floor(np.log10(sigmoid / focal)), orders)


@pytest.mark.parametrize(
    ("alpha", "silent", "heard"), [(1.0, slice(3, 5), slice(0, 3)), (0.0, slice(0, 3), slice(3, 5))]
)
def test_focal_alpha_silences_one_side(alpha, silent, heard):
    focal = WeightedSigmoidFocal(2.0, alpha)(*f32(HARD, HARD_LABELS, np.ones((1, 5)))).numpy().ravel()
    assert not focal[silent].any() and (focal[heard] > 0).all()


@pytest.mark.parametrize(("alpha", "expected"), [(1.0, 8 * LN2), (0.75, (0.75 * 8 + 0.25 * 16) * LN2)])
def test_focal_sums(alpha, expected):
    labels = np.array(LABELS)
    labels[1, 2] = [1, 0, 0]
    loss = WeightedSigmoidFocal(0.0, alpha)(*f32(np.zeros((2, 4, 3)), labels, np.ones((2, 4))))
    assert tf.reduce_sum(loss).numpy() == pytest.approx(expected, rel=1e-5)


LOC, CLS = [[100, 90, 80, 0], [0, 1, 2, 3]], [[0, 10, 50, 110], [9, 6, 3, 0]]
SAME = [[0.1, 0.1, 0.9, 0.9]] * 4
APART = [SAME[0], [0.9, 0.9, 0.99, 0.99], *SAME[2:]]
MINED = {
    "localization": (HardExampleMiner(1, 0.0, "localization"), SAME, 103, 0),
    "both": (HardExampleMiner(1, 0.0, "both"), SAME, 80, 59),
    "suppression": (HardExampleMiner(2, 0.5, "classification"), APART, 91, 135),
}


@pytest.mark.parametrize("name", MINED)
def test_mining(name):
    miner, boxes, *expected = MINED[name]
    found = miner(*f32(LOC, CLS, [boxes] * 2), tf.fill([2, 4], -1))
    np.testing.assert_allclose(found, expected)


TWELVE_LOC = [100, 90, 80, 0, 1, 2, 3, 10, 20, 100, 20, 3]
TWELVE_CLS = [0, 0, 100, 0, 90, 70, 0, 60, 0, 17, 13, 0]
TWELVE_BOXES = [[0, 0, height, 0.1] for height in (0.2, 0.2, 0.2, 0.2, 0.5, 0.6, 0.2, 0.8, 0.2, 1.0, 1.1, 0.2)]
MATCHES = [2, -1, 0, -1, -1, 1, -1, -1, -1, -1, -1, 3]
# Positives that survive suppression: anchors 2 and 5. Negatives by loss: 4, 7, 9, 10; the rest is suppressed.
RATIOS = {1: (80 + 1 + 2 + 10, 100 + 90 + 70 + 60), 10: (80 + 1 + 2 + 10 + 100 + 20, 100 + 90 + 70 + 60 + 17 + 13)}
LEAST = {
    0: (0, 0),
    1: (80, 100),
    2: (80 + 1, 100 + 90),
    4: (80 + 1 + 2 + 10, 100 + 90 + 70 + 60),
    5: (80 + 1 + 2 + 10 + 100, 100 + 90 + 70 + 60 + 17),
    6: (80 + 1 + 2 + 10 + 100 + 20, 100 + 90 + 70 + 60 + 17 + 13),
}


@pytest.mark.parametrize("ratio", RATIOS)
def test_negatives_for_each_positive(ratio):
    """Ratios of 0.5 and 1.5, which the reference tests too, cannot be written in a config: the field is a whole number.
    A ratio of 0 means none there and no rule in a config, where 0 is the default: the reference's builder makes "no
    rule" of it, and so does ours."""
    found = HardExampleMiner(0, 0.9999, "classification", ratio)(
        *f32([TWELVE_LOC], [TWELVE_CLS], [TWELVE_BOXES]), tf.constant([MATCHES])
    )
    np.testing.assert_allclose(found, RATIOS[ratio])


@pytest.mark.parametrize("least", LEAST)
def test_least_negatives_of_an_image_without_positives(least):
    miner = HardExampleMiner(0, 0.9999, "classification", 3, least)
    np.testing.assert_allclose(
        miner(*f32([TWELVE_LOC], [TWELVE_CLS], [TWELVE_BOXES]), tf.fill([1, 12], -1)), LEAST[least]
    )
