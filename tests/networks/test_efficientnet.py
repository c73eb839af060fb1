"""EfficientNet against Keras's own, an independent implementation; what is dropped in training, by hand."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from detection.networks import efficientnet
from detection.networks.keras_layers import layers_of
from detection.networks.squeeze_excite import SqueezeExcite


def _shapes(layers: list[dict[str, keras.Variable]]) -> list[list[tuple[int, ...]]]:
    return [[tuple(variable.shape) for variable in layer.values()] for layer in layers]


def _ours(version: int) -> tuple[keras.layers.Layer, list[dict[str, keras.Variable]]]:
    """The classifier, and its layers as Keras counts them."""
    spec = efficientnet.CLASSIFIERS[efficientnet.scope(version)]
    classifier = spec.make(7)
    classifier(tf.zeros([1, 64, 64, 3]))
    return classifier, list(layers_of((*classifier.network, *classifier.head)))


def _theirs(version: int) -> tuple[keras.Model, list[keras.layers.Layer]]:
    """The classifier, and its layers with variables but for the first, which scales images."""
    make = getattr(keras.applications, f"EfficientNetB{version}")
    model = make(weights=None, input_shape=(64, 64, 3), classes=7, classifier_activation=None)
    _, *layers = (layer for layer in model.layers if layer.weights)
    return model, layers


@pytest.mark.parametrize("version", [0, 1, *(pytest.param(version, marks=pytest.mark.slow) for version in range(2, 8))])
def test_layers_are_those_of_keras_in_their_order(version: int) -> None:
    with tf.Graph().as_default():
        _, ours = _ours(version)
    _, theirs = _theirs(version)
    assert _shapes(ours) == [[tuple(weight.shape) for weight in layer.weights] for layer in theirs]


@pytest.mark.parametrize("version", [0, pytest.param(3, marks=pytest.mark.slow)])
def test_logits_equal_keras(version: int) -> None:
    """With every number off its initial value. Measured: 1e-6 of the largest value."""
    classifier, ours = _ours(version)
    model, theirs = _theirs(version)
    random = np.random.default_rng(0)
    for mine, layer in zip(ours, theirs, strict=True):
        values = []
        for name, variable in mine.items():
            values.append(np.asarray(variable.numpy() + random.uniform(-0.02, 0.02, variable.shape), "f4"))
            if name == "moving_variance":
                values[-1] = random.uniform(0.5, 1.5, variable.shape).astype("f4") / 6  # signals stay alive
            variable.assign(values[-1])
        layer.set_weights(values)
    pixels = tf.constant(random.uniform(0, 255, (2, 64, 64, 3)), tf.float32)
    logits, _ = classifier(pixels / 255.0)
    expected = model(pixels, training=False).numpy()
    largest = np.abs(expected).max()
    assert (expected / largest).std() > 0.01
    np.testing.assert_allclose(logits / largest, expected / largest, atol=1e-5, rtol=0)


def test_squeeze_and_excitation_by_hand() -> None:
    layer = SqueezeExcite(1, efficientnet.training_defaults())
    x = tf.constant([[[[1.0, 2.0]], [[3.0, 6.0]]]])  # means 2 and 4
    layer(x)
    layer.reduce.kernel.assign([[[[0.5], [0.25]]]])
    layer.reduce.bias.assign([-1.0])  # 0.5 * 2 + 0.25 * 4 - 1 = 1
    layer.expand.kernel.assign([[[[1.0, -1.0]]]])
    layer.expand.bias.assign([0.0, 1.0])
    swish = 1 / (1 + np.exp(-1.0))
    weights = 1 / (1 + np.exp([-swish, swish - 1]))
    np.testing.assert_allclose(layer(x), x * weights, rtol=1e-6)


def _residual(rate: float) -> efficientnet.InvertedResidual:
    stack = efficientnet.Stack(filters=8, kernel=3, repeats=2, expansion=1, stride=1)
    hyperparams, generator = efficientnet.training_defaults().frozen(), keras.random.SeedGenerator(1)
    return efficientnet.InvertedResidual("block", 8, 8, stack, 1, hyperparams, rate, generator)


def test_stochastic_depth_drops_residuals_in_training() -> None:
    block = _residual(0.25)
    x = tf.random.stateless_uniform([64, 4, 4, 8], [1, 2])
    residual = block(x) - x
    trained = block(x, training=True) - x
    kept = np.abs(trained).max(axis=(1, 2, 3)) > 1e-6
    assert 8 <= (~kept).sum() <= 24  # 16 expected
    np.testing.assert_allclose(trained.numpy()[kept], residual.numpy()[kept] / 0.75, atol=1e-5)
    assert np.any(block(x, training=True) - x != trained)  # others the next time


def test_drop_rates_increase_as_in_the_model_garden() -> None:
    """A sixteenth of 0.2 a block in every version, though larger ones have more than 16."""
    for version, blocks in ((0, 16), (7, 55)):
        network = efficientnet.blocks(version, efficientnet.training_defaults(), efficientnet.depth_rule(version))
        rates = [block.drop_rate for block in network[1:]]
        np.testing.assert_allclose(rates, np.arange(blocks) * 0.2 / 16)
        assert len({id(block.generator) for block in network[1:]}) == 1


def test_depthwise_kernels_are_not_regularised() -> None:
    block = _residual(0.0)
    block(tf.zeros([1, 4, 4, 8]))
    kernels = [block.parts[1].reduce, block.parts[1].expand, block.parts[2]]
    for layer in kernels[:2]:
        layer.bias.assign(tf.ones_like(layer.bias))
    # Half the weight of tf-slim's form: 5e-6 times the sum of squares.
    expected = 5e-6 * (sum(float(tf.reduce_sum(layer.kernel**2)) for layer in kernels) + 2 + 8)
    assert float(tf.add_n(block.losses)) == pytest.approx(expected, rel=1e-5)
