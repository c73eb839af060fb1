"""Inception v3 against tf-slim's own, and against the names and shapes of tf-slim's checkpoint."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_slim
from tf_slim.nets import inception
from tf_slim.nets import inception_v3 as slim_v3

from detection.export.fold import folded
from detection.networks import inception_v3
from detection.networks.blocks import Blocks
from detection.networks.depths import depth_rule
from detection.networks.keras_layers import layers_of
from tests.helpers import slim_inception as slim

# Float32 sums in another order; 2.4e-6 of an endpoint's largest value was measured at worst.
TOLERANCE = 1e-5


def _network(multiplier: float, padding: str = "VALID") -> Blocks:
    return Blocks(
        inception_v3.SCOPE, inception_v3.blocks(inception_v3.training_defaults(), depth_rule(multiplier, 8), padding)
    )


def _images(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(1).uniform(-1, 1, (2, height, width, 3)).astype("f4")


def _errors_of_thin_network(padding: str) -> dict[str, float]:
    network, images = _network(0.25, padding), _images(131, 160)
    network(images)
    weights = slim.randomize(network)
    expected = slim.outputs(
        inception.inception_v3_base, images, weights, (tf_slim.conv2d,), depth_multiplier=0.25, min_depth=8
    )
    errors = slim.relative_errors(network(images), expected)
    assert set(errors) == set(expected) and len(errors) == 18
    return errors


def test_endpoints_equal_slim() -> None:
    errors = _errors_of_thin_network("VALID")
    assert max(errors.values()) < TOLERANCE, errors


def test_aligned_endpoints_equal_slim_padded_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """tf-slim's own code, made to pad everything."""

    def padded(function: Callable) -> Callable:
        def wrapper(*arguments: object, padding: str = "SAME", **others: object) -> tf.Tensor:
            return function(*arguments, padding="SAME", **others)

        wrapper._key_op = function._key_op  # by this arguments of the scope find their function
        return wrapper

    names = ("conv2d", "max_pool2d", "avg_pool2d")
    layers = SimpleNamespace(**{name: padded(getattr(tf_slim, name)) for name in names})
    monkeypatch.setattr(slim_v3, "layers", layers)
    monkeypatch.setattr(slim_v3, "layers_lib", layers)
    errors = _errors_of_thin_network("SAME")
    assert max(errors.values()) < TOLERANCE, errors


@pytest.mark.slow
def test_classifier_equals_slim() -> None:
    """As on ImageNet, at its size: every endpoint, the logits and those of the auxiliary classifier."""
    spec = inception_v3.CLASSIFIERS["inception_v3"]
    classifier, images = spec.make(11), _images(spec.image_size, spec.image_size)
    classifier(images)
    weights = slim.randomize(classifier)
    expected = slim.outputs(
        inception.inception_v3, images, weights, (tf_slim.conv2d,), num_classes=11, is_training=False
    )
    logits, auxiliary = classifier(images)
    ours = {**Blocks(inception_v3.SCOPE, classifier.network)(images), "Logits": logits, "AuxLogits": auxiliary}
    errors = slim.relative_errors(ours, expected)
    assert set(errors) == set(expected) - {"Predictions", "PreLogits"}
    assert max(errors.values()) < TOLERANCE, errors


def test_sizes_and_depths() -> None:
    """Unpadded, the sizes of the paper's Table 1 at 299 pixels; padded, ceil(size / stride)."""
    names = ("Conv2d_2b_3x3", "Conv2d_4a_3x3", "Mixed_5d", "Mixed_6e", "Mixed_7c")
    outputs = _network(0.125)(tf.zeros([1, 299, 299, 3]))
    assert [outputs[name].shape[1] for name in names] == [147, 71, 35, 17, 8]
    outputs = _network(0.125, "SAME")(tf.zeros([1, 299, 160, 3]))
    assert [tuple(outputs[name].shape[1:3]) for name in names] == [(150, 80), (75, 40), (38, 20), (19, 10), (10, 5)]
    outputs = _network(1.0)(tf.zeros([1, 75, 75, 3]))
    assert [outputs[name].shape[3] for name in names] == [64, 192, 288, 768, 2048]


def test_folded_equals_unfolded() -> None:
    network, images = _network(0.125), _images(107, 107)
    network(images)
    slim.randomize(network)
    plain = network(images)["Mixed_7c"].numpy()
    with folded(network) as count:
        assert count == 94
        gap = np.abs(network(images)["Mixed_7c"].numpy() - plain).max()
    assert gap < TOLERANCE * plain.max()


def test_gradients_reach_every_weight() -> None:
    """Those of the auxiliary classifier too."""
    auxiliary = inception_v3._auxiliary(inception_v3.training_defaults(), depth_rule(0.125, 8), 5)
    network, images = _network(0.125, "SAME"), _images(160, 160)
    with tf.GradientTape() as tape:
        outputs = network(images, training=True)
        side = auxiliary(tf.tile(outputs["Mixed_6e"], [1, 2, 2, 1])[:, :17, :17], training=True)
        loss = tf.add_n(
            [tf.reduce_sum(x * tf.random.stateless_normal(x.shape, [1, 2])) for x in (outputs["Mixed_7c"], side)]
        )
    variables = network.trainable_variables + auxiliary.trainable_variables
    gradients = tape.gradient(loss, [v.value for v in variables])
    assert len(network.trainable_variables) == 2 * 94 and len(auxiliary.trainable_variables) == 6
    assert [
        v.path for v, gradient in zip(variables, gradients, strict=True) if gradient is None or not np.any(gradient)
    ] == []


def test_names_and_shapes_equal_slim(shared) -> None:
    with open(shared / "reference/odapi_vars/SLIM_inception_v3.tsv") as lines:
        expected = {name: json.loads(shape) for name, shape, _ in csv.reader(lines, delimiter="\t")}
    spec = inception_v3.CLASSIFIERS["inception_v3"]
    classifier = spec.make(spec.num_logits)
    classifier(tf.zeros([1, 299, 299, 3]))
    assert {v.path: list(v.shape) for v in classifier.weights} == {
        k: v for k, v in expected.items() if k != "global_step"
    }


def test_layers_are_those_of_keras_in_their_order() -> None:
    """By which object-based checkpoints number them; shown by what comes out, with the variables of each layer copied
    in turn."""
    network, images = _network(1.0), _images(75, 80)
    model = keras.applications.InceptionV3(include_top=False, weights=None, input_shape=images.shape[1:])
    network(images)
    slim.randomize(network)
    ours, theirs = list(layers_of(network.blocks)), [layer for layer in model.layers if layer.weights]
    for mine, layer in zip(ours, theirs, strict=True):
        layer.set_weights([variable.numpy() for variable in mine.values()])
    found, expected = network(images)["Mixed_7c"], model(images, training=False)
    largest = np.abs(expected).max()
    assert np.std(expected) > 0.01 * largest
    np.testing.assert_allclose(found / largest, expected / largest, atol=TOLERANCE, rtol=0)
