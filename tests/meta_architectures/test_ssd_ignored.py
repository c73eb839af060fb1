"""SSD on images whose boxes are all crowds or difficult: the loss stays finite, and those boxes neither teach nor
punish."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers import make_ssd_tiny as tiny

GOLDENS = Path(__file__).resolve().parents[1] / "goldens"


@pytest.fixture(scope="module")
def detector():
    return tiny.make_detector()


def ignored():
    """The boxes of the golden, all of them crowds, as the input pipeline gives them: there, with weight 0."""
    groundtruth = tiny.groundtruth()
    there = tf.sequence_mask(groundtruth.counts, groundtruth.weights.shape[1])
    return groundtruth._replace(weights=tf.zeros_like(groundtruth.weights), is_crowd=there)


def gradients(detector, groundtruth):
    """Losses, and their gradients with respect to box codes and class logits."""
    predictions = detector.predict(tiny.batch())
    with tf.GradientTape() as tape:
        tape.watch([predictions.box_codes, predictions.class_logits])
        losses = detector.loss(predictions, groundtruth)
        total = tf.add_n(list(losses.values()))
    codes, logits = tape.gradient(
        total, [predictions.box_codes, predictions.class_logits], unconnected_gradients="zero"
    )
    return losses, codes.numpy(), logits.numpy()


def test_anchors_on_ignored_boxes_get_no_gradient(detector) -> None:
    losses, codes, logits = gradients(detector, ignored())
    matched = detector.assigner(detector.predict(tiny.batch()).anchors, ignored(), 4).matches.numpy() >= 0
    assert all(np.isfinite(float(loss)) for loss in losses.values()) and float(losses["Loss/localization_loss"]) == 0
    assert matched.any() and np.isfinite(logits).all()
    assert not codes.any() and not logits[matched].any()
    _, codes, logits = gradients(detector, tiny.groundtruth())
    assert codes[matched].any() and logits[matched].any()  # which the same boxes do give when they count


def test_training_on_ignored_boxes_only_stays_finite(detector) -> None:
    with tf.GradientTape() as tape:
        losses = detector.loss(detector.predict(tiny.batch(), training=True), ignored())
        total = tf.add_n(list(losses.values()))
    found = tape.gradient(total, [v.value for v in detector.trainable_variables], unconnected_gradients="zero")
    tiny.fill(detector)  # batch norm's averages have moved
    assert np.isfinite(float(total)) and all(bool(tf.reduce_all(tf.math.is_finite(gradient))) for gradient in found)
