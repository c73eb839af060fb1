"""EfficientNet against Keras's own, an independent implementation; what is dropped in training, by hand."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from detection.feature_extractors.efficientnet import LEVELS
from detection.networks import efficientnet
from detection.networks.keras_layers import layers_of, numbered
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


def _randomise(ours: list[dict[str, keras.Variable]], theirs: list[keras.layers.Layer], gain: float = 6.0) -> None:
    """Every number off its initial value, the same in both. `gain`: square of that of every batch norm; signals must
    stay alive, and finite."""
    random = np.random.default_rng(0)
    for mine, layer in zip(ours, theirs, strict=True):
        values = []
        for name, variable in mine.items():
            values.append(np.asarray(variable.numpy() + random.uniform(-0.02, 0.02, variable.shape), "f4"))
            if name == "moving_variance":
                values[-1] = random.uniform(0.5, 1.5, variable.shape).astype("f4") / gain
            variable.assign(values[-1])
        layer.set_weights(values)


def _assert_equal(found: tf.Tensor, expected: tf.Tensor, atol: float) -> None:
    """Relative to the largest value; and that the values differ among each other."""
    largest = np.abs(expected).max()
    assert np.std(expected / largest) > 0.01
    np.testing.assert_allclose(found / largest, expected / largest, atol=atol, rtol=0)


# What Keras calls the end of the blocks that pyramids read, the same in all versions.
KERAS_MAPS = {2: "block2b_add", 3: "block3b_add", 4: "block5c_add", 5: "block7a_project_bn"}


@pytest.mark.parametrize("version", [0, 1, *(pytest.param(version, marks=pytest.mark.slow) for version in range(2, 8))])
def test_layers_and_maps_below_a_pyramid_are_those_of_keras(version: int) -> None:
    """In Keras's order, by which object-based checkpoints number them: those of the whole classifier, and those of the
    model that ends with the coarsest map."""
    classifier, ours = _ours(version)
    model, theirs = _theirs(version)
    assert _shapes(ours) == [[tuple(weight.shape) for weight in layer.weights] for layer in theirs]
    _randomise(ours, theirs, gain=1.0 if version > 5 else 6.0)
    part = keras.Model(model.input, [model.get_layer(name).output for name in KERAS_MAPS.values()])
    names = [block.name for block in classifier.network]
    read = numbered(classifier.network[: names.index(LEVELS[5]) + 1])
    _, *layers = (layer for layer in part.layers if layer.weights)
    assert {key.partition("/")[0] for key in read} == {f"layer_with_weights-{number}" for number in range(len(layers))}
    assert layers == theirs[: len(layers)]
    pixels = tf.random.stateless_uniform([1, 64, 64, 3], [1, 2], 0, 255)
    x, maps = pixels / 255.0, {}
    for block in classifier.network:
        x = maps[block.name] = block(x)
    for level, expected in zip(KERAS_MAPS, part(pixels, training=False), strict=True):
        assert maps[LEVELS[level]].shape[1] == 64 >> level
        _assert_equal(maps[LEVELS[level]], expected, 1e-4)


def test_logits_equal_keras() -> None:
    """Measured: 1e-6 of the largest value."""
    classifier, ours = _ours(0)
    model, theirs = _theirs(0)
    _randomise(ours, theirs)
    pixels = tf.random.stateless_uniform([2, 64, 64, 3], [1, 2], 0, 255)
    logits, _ = classifier(pixels / 255.0)
    _assert_equal(logits, model(pixels, training=False), 1e-5)


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
