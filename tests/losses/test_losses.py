"""Every loss: values by hand, equality to the reference, finite gradients at extremes, weight 0, XLA."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import numpy as np
import pytest
import tensorflow as tf

import detection.losses

SETTINGS = {
    "BootstrappedSigmoid": [{"alpha": 0.5}, {"alpha": 0.5, "hard": True}],
    "WeightedSigmoidFocal": [{}, {"alpha": 0.25}],
}


def found() -> list:
    """One object, or several with different settings, of the only class in each file of the folder."""
    losses = []
    for module in pkgutil.iter_modules(detection.losses.__path__):
        loaded = importlib.import_module(f"detection.losses.{module.name}")
        (kind,) = [c for _, c in inspect.getmembers(loaded, inspect.isclass) if c.__module__ == loaded.__name__]
        losses += [kind(**settings) for settings in SETTINGS.get(kind.__name__, [{}])]
    return losses


LOSSES = found()
BY_NAME = {type(loss).__name__: loss for loss in LOSSES}
BOX_LOSSES = [loss for loss in LOSSES if hasattr(loss, "needs_boxes")]
CLASS_LOSSES = [loss for loss in LOSSES if not hasattr(loss, "needs_boxes")]


def arguments(loss, batch: int = 2):
    """predictions, targets [B, 3, C], weights [B, 3] that fit the loss."""
    rng = np.random.default_rng(3)
    if loss in BOX_LOSSES:
        predictions, targets = (rng.uniform(0, 20, (batch, 3, 4)) + np.array([0, 0, 30, 30]) for _ in range(2))
    else:
        predictions, targets = rng.normal(size=(batch, 3, 5)), np.eye(5)[rng.integers(5, size=(batch, 3))]
    weights = rng.uniform(0.5, 1.5, (batch, 3))
    return tuple(tf.constant(value, tf.float32) for value in (predictions, targets, weights))


def test_all_losses_are_tested():
    assert set(BY_NAME) == {
        "WeightedL2",
        "WeightedSmoothL1",
        "L1",
        "WeightedIou",
        "WeightedGiou",
        "WeightedSigmoid",
        "WeightedSigmoidFocal",
        "BootstrappedSigmoid",
        "WeightedSoftmax",
        "WeightedLogitsSoftmax",
        "PenaltyReducedFocal",
    }


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_contract(loss):
    """Shapes, a gradient for the predictions, 0 for weight 0, one graph for every batch size, XLA."""
    predictions, targets, weights = arguments(loss)
    with tf.GradientTape() as tape:
        tape.watch(predictions)
        values = loss(predictions, targets, weights)
    assert values.shape in ([(2, 3)] if loss in BOX_LOSSES else [(2, 3), (2, 3, 5)])
    gradient = tape.gradient(values, predictions).numpy()
    assert (values.numpy() >= 0).all() and np.isfinite(gradient).all() and (np.abs(gradient).sum((0, 1)) > 0).all()
    muted = loss(predictions, targets, weights * [[1.0, 0.0, 1.0]]).numpy()
    assert not muted[:, 1].any() and np.array_equal(muted[:, 0], values[:, 0])

    unknown = [tf.TensorSpec([None, *value.shape[1:]]) for value in (predictions, targets, weights)]
    traced = tf.function(loss.__call__, input_signature=unknown)
    np.testing.assert_allclose(traced(predictions, targets, weights), values, rtol=1e-5)
    assert traced.get_concrete_function().output_shapes[1:] == values.shape[1:]
    np.testing.assert_allclose(
        tf.function(loss.__call__, jit_compile=True)(predictions, targets, weights), values, rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("loss", CLASS_LOSSES, ids=str)
def test_extreme_logits_have_finite_losses_and_gradients(loss):
    for size in (0.0, 50.0, 1e4, 1e30):
        logits = tf.constant([[[size, -size, 0.0], [-size, size, 0.0], [size, size, -size]]])
        with tf.GradientTape() as tape:
            tape.watch(logits)
            values = loss(logits, tf.constant([[[1.0, 0, 0], [1, 0, 0], [0, 0, 1]]]), tf.ones([1, 3]))
        assert np.isfinite(values).all() and np.isfinite(tape.gradient(values, logits)).all(), size


@pytest.mark.parametrize("loss", BOX_LOSSES, ids=str)
def test_degenerate_boxes_have_finite_losses_and_gradients(loss):
    rows = tf.constant(
        [
            [0.0, 0, 0, 0],
            [5, 5, 5, 5],
            [5, 5, 5, 9],
            [10, 10, 0, 0],
            [0, 0, 1e-20, 1e-20],
            [0, 0, 1e9, 1e9],
            [-3, -3, 4, 4],
        ]
    )
    predictions, targets = tf.repeat(rows, 7, axis=0)[tf.newaxis], tf.tile(rows, [7, 1])[tf.newaxis]
    with tf.GradientTape() as tape:
        tape.watch(predictions)
        values = loss(predictions, targets, tf.ones([1, 49]))
    assert np.isfinite(values).all() and np.isfinite(tape.gradient(values, predictions)).all()


def one(loss, predictions, targets, weight=1.0):
    """The loss of a single anchor."""
    return loss(*(tf.constant([[row]], tf.float32) for row in (predictions, targets, weight)))[0, 0].numpy()


def test_box_losses_by_hand():
    codes = [0.5, -2.0, 0.0, 4.0]
    zeros = [0.0] * 4
    assert one(BY_NAME["WeightedSmoothL1"], codes, zeros, 2.0) == pytest.approx(2 * (0.125 + 1.5 + 0 + 3.5))
    assert one(type(BY_NAME["WeightedSmoothL1"])(delta=3.0), codes, zeros) == pytest.approx(0.125 + 2.0 + 0 + 3 * 2.5)
    assert one(BY_NAME["WeightedL2"], codes, zeros, 2.0) == pytest.approx(0.5 * 4 * (0.25 + 4 + 16))
    assert one(BY_NAME["L1"], codes, zeros, 2.0) == pytest.approx(13.0)
    box, half, apart = [0, 0, 10, 10], [0, 5, 10, 15], [0, 20, 10, 30]
    assert one(BY_NAME["WeightedIou"], box, half, 3.0) == pytest.approx(3 * (1 - 1 / 3))
    assert one(BY_NAME["WeightedIou"], box, apart) == 1.0
    assert one(BY_NAME["WeightedGiou"], box, half) == pytest.approx(1 - 1 / 3)
    assert one(BY_NAME["WeightedGiou"], box, apart, 2.0) == pytest.approx(2 * (1 + 100 / 300))
    assert one(BY_NAME["WeightedGiou"], box, box) == pytest.approx(0, abs=1e-6)


def test_class_losses_by_hand():
    logits, target = np.array([1.0, -2.0, 0.5]), np.array([0.0, 1.0, 0.0])
    p = 1 / (1 + np.exp(-logits))
    entropy = -target * np.log(p) - (1 - target) * np.log(1 - p)
    p_target = np.where(target, p, 1 - p)
    np.testing.assert_allclose(one(BY_NAME["WeightedSigmoid"], logits, target, 2.0), 2 * entropy, rtol=1e-5)
    focal = type(BY_NAME["WeightedSigmoidFocal"])
    np.testing.assert_allclose(one(focal(), logits, target), (1 - p_target) ** 2 * entropy, rtol=1e-5)
    np.testing.assert_allclose(
        one(focal(1.5, 0.25), logits, target), np.where(target, 0.25, 0.75) * (1 - p_target) ** 1.5 * entropy, rtol=1e-5
    )
    np.testing.assert_allclose(one(focal(0.0), logits, target), entropy, rtol=1e-5)
    for hard, opinion in ((False, p), (True, p > 0.5)):
        mixed = 0.75 * target + 0.25 * opinion
        expected = -mixed * np.log(p) - (1 - mixed) * np.log(1 - p)
        np.testing.assert_allclose(
            one(type(BY_NAME["BootstrappedSigmoid"])(0.75, hard), logits, target), expected, rtol=1e-5
        )
    softmax = np.exp(logits / 2) / np.exp(logits / 2).sum()
    assert one(type(BY_NAME["WeightedSoftmax"])(2.0), logits, target, 3.0) == pytest.approx(
        -3 * np.log(softmax[1]), rel=1e-5
    )
    labels = np.exp([0, 1, 2]) / np.exp([0, 1, 2]).sum()
    assert one(type(BY_NAME["WeightedLogitsSoftmax"])(2.0), logits, [0, 2, 4]) == pytest.approx(
        -(labels * np.log(softmax)).sum(), rel=1e-5
    )


def test_the_loss_of_heat_maps_by_hand():
    """Objects' cells by (1 - p)^α, the others by p^α and by how near an object is; p is cut off at 0.0001."""
    logits, target = np.array([1.0, -2.0, 0.5, 30.0]), np.array([1.0, 0.0, 0.6, 0.0])
    p = np.clip(1 / (1 + np.exp(-logits)), 1e-4, 1 - 1e-4)
    expected = [
        -((1 - p[0]) ** 2) * np.log(p[0]),
        -(p[1] ** 2) * np.log(1 - p[1]),
        -((1 - 0.6) ** 4) * p[2] ** 2 * np.log(1 - p[2]),
        -((1 - 1e-4) ** 2) * np.log(1e-4),
    ]
    loss = type(BY_NAME["PenaltyReducedFocal"])
    # In float32 1 - p has few digits left at the end of the range.
    np.testing.assert_allclose(one(loss(2.0, 4.0), logits, target, 3.0), 3 * np.array(expected), rtol=1e-3)
    other = -((1 - p[0]) ** 1.5) * np.log(p[0]), -((1 - 0.6) ** 3) * p[2] ** 1.5 * np.log(1 - p[2])
    np.testing.assert_allclose(one(loss(1.5, 3.0), logits, target)[[0, 2]], other, rtol=1e-4)


def test_equals_the_reference(shared):
    units = {
        key.split(".", 1)[1]: value
        for key, value in np.load(shared / "parity" / "units.npz").items()
        if key.startswith("losses_v0")
    }
    boxes = (units["in.box_predictions"], units["in.box_targets"], units["in.weights"])
    classes = (units["in.logits"], units["in.class_targets"], units["in.weights"])
    for loss, inputs, key in [
        (BY_NAME["WeightedSmoothL1"], boxes, "weighted_smooth_l1"),
        (BY_NAME["WeightedL2"], boxes, "weighted_l2"),
        (BY_NAME["WeightedSigmoid"], classes, "weighted_sigmoid"),
        (BY_NAME["WeightedSoftmax"], classes, "weighted_softmax"),
        (type(BY_NAME["WeightedSigmoidFocal"])(2.0, 0.25), classes, "focal"),
        (type(BY_NAME["BootstrappedSigmoid"])(0.5), classes, "bootstrapped"),
    ]:
        np.testing.assert_allclose(loss(*inputs), units[f"out.{key}"], rtol=1e-5, atol=1e-6, err_msg=key)
