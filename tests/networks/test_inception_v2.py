"""Inception v2 against tf-slim's own, and against the names and shapes of tf-slim's checkpoint."""

from __future__ import annotations

import csv
import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf
import tf_slim
from tf_slim.nets import inception

from detection.export.fold import folded
from detection.networks import inception_v2
from detection.networks.blocks import Blocks
from detection.networks.depths import depth_rule
from detection.networks.hyperparams import Hyperparams
from tests.helpers import slim_inception as slim

# Float32 sums in another order; 2.2e-6 of an endpoint's largest value was measured at worst.
TOLERANCE = 1e-5


def _with_gamma() -> Hyperparams:
    defaults = inception_v2.training_defaults()
    return dataclasses.replace(defaults, batch_norm=dataclasses.replace(defaults.batch_norm, scale=True))


def _network(multiplier: float, hyperparams: Hyperparams | None = None, plain_stem: bool = False) -> Blocks:
    blocks = inception_v2.blocks(hyperparams or inception_v2.training_defaults(), depth_rule(multiplier, 8), plain_stem)
    return Blocks(inception_v2.SCOPE, blocks)


def _images(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(1).uniform(-1, 1, (2, height, width, 3)).astype("f4")


def test_endpoints_equal_slim_with_a_normalized_stem() -> None:
    """As detectors have it, thinned, at an odd size."""
    network, images = _network(0.25, _with_gamma()), _images(131, 160)
    network(images)
    weights = slim.randomize(network)
    normalized = (tf_slim.conv2d, tf_slim.separable_conv2d)
    expected = slim.outputs(
        inception.inception_v2_base, images, weights, normalized, depth_multiplier=0.25, min_depth=8
    )
    errors = slim.relative_errors(network(images), expected)
    assert set(errors) == set(expected) and len(errors) == 15
    assert max(errors.values()) < TOLERANCE, errors


def test_classifier_equals_slim() -> None:
    """As on ImageNet, at its size: every endpoint and the logits."""
    spec = inception_v2.CLASSIFIERS["inception_v2"]
    classifier, images = spec.make(11), _images(spec.image_size, spec.image_size)
    classifier(images)
    weights = slim.randomize(classifier)
    expected = slim.outputs(
        inception.inception_v2, images, weights, (tf_slim.conv2d,), num_classes=11, is_training=False
    )
    logits, auxiliary = classifier(images)
    ours = {**Blocks(inception_v2.SCOPE, classifier.network)(images), "Logits": logits}
    errors = slim.relative_errors(ours, expected)
    assert auxiliary is None and set(errors) == set(expected) - {"Predictions"}
    assert max(errors.values()) < TOLERANCE, errors


def test_strides_and_depths() -> None:
    outputs = _network(1.0)(tf.zeros([1, 65, 96, 3]))
    shapes = {name: tuple(outputs[name].shape[1:]) for name in ("Conv2d_2c_3x3", "Mixed_3c", "Mixed_4e", "Mixed_5c")}
    assert shapes == {
        "Conv2d_2c_3x3": (17, 24, 192),
        "Mixed_3c": (9, 12, 320),
        "Mixed_4e": (5, 6, 576),
        "Mixed_5c": (3, 3, 1024),
    }


@pytest.mark.parametrize(("multiplier", "channels", "depthwise"), [(1.0, 64, 8), (0.25, 16, 5), (0.001, 1, 1)])
def test_stem_of_any_width(multiplier: float, channels: int, depthwise: int) -> None:
    stem = inception_v2.blocks(inception_v2.training_defaults(), depth_rule(multiplier, 1))[0]
    assert stem(tf.zeros([1, 32, 32, 3])).shape == (1, 16, 16, channels)
    assert tuple(stem.depthwise_kernel.shape) == (7, 7, 3, depthwise)


def test_penalties() -> None:
    """Half the squared weights of every kernel, except for the plain stem, to which tf-slim's scope does not apply."""
    for plain in (False, True):
        network = _network(0.25, plain_stem=plain)
        network(tf.zeros([1, 32, 32, 3]))
        kernels = [
            v
            for v in network.trainable_variables
            if v.path.endswith("weights") and not (plain and "Conv2d_1a_7x7" in v.path)
        ]
        expected = 0.00004 * sum(float(tf.reduce_sum(tf.square(kernel))) / 2 for kernel in kernels)
        np.testing.assert_allclose(float(tf.add_n(network.losses)), expected, rtol=1e-5)


def test_initial_standard_deviations_equal_slim() -> None:
    """A normal truncated at two standard deviations has 0.88 of its own; by He et al. (2015) the variance is 2 /
    fan-in, truncation made up for."""
    network = _network(1.0)
    network(tf.zeros([1, 32, 32, 3]))
    weights = {v.path.removeprefix("InceptionV2/"): v.numpy() for v in network.trainable_variables}
    spreads = {
        "Conv2d_1a_7x7/depthwise_weights": 0.88,
        "Conv2d_1a_7x7/pointwise_weights": 0.88,
        "Conv2d_2b_1x1/weights": 0.088,
        "Mixed_4b/Branch_1/Conv2d_0a_1x1/weights": 0.0792,
        "Mixed_4a/Branch_0/Conv2d_0a_1x1/weights": 0.0792,
        "Mixed_5c/Branch_3/Conv2d_0b_1x1/weights": 0.088,
        "Conv2d_2c_3x3/weights": (2 / (9 * 64)) ** 0.5,
        "Mixed_4b/Branch_0/Conv2d_0a_1x1/weights": (2 / 576) ** 0.5,
    }
    for name, spread in spreads.items():  # the smallest of them has 1,176 numbers: a standard error of 2 %
        np.testing.assert_allclose(weights[name].std(), spread, rtol=0.1, err_msg=name)


@pytest.mark.parametrize("plain_stem", [False, True])
def test_folded_equals_unfolded(plain_stem: bool) -> None:
    network, images = _network(0.25, _with_gamma(), plain_stem), _images(64, 64)
    network(images)
    slim.randomize(network)
    plain = network(images)["Mixed_5c"].numpy()
    with folded(network) as count:
        assert count == 69 - plain_stem
        gap = np.abs(network(images)["Mixed_5c"].numpy() - plain).max()
    assert gap < TOLERANCE * plain.max()


def test_gradients_reach_every_weight() -> None:
    network, images = _network(0.25, _with_gamma()), _images(96, 96)
    network(images)
    with tf.GradientTape() as tape:
        features = network(images, endpoints=("Mixed_5c",), training=True)["Mixed_5c"]
        loss = tf.reduce_sum(features * tf.random.stateless_normal(features.shape, [1, 2]))
    variables = network.trainable_variables
    gradients = tape.gradient(loss, [v.value for v in variables])
    assert len(variables) == 70 + 2 * 69  # kernels, and gamma and beta of every convolution
    assert [
        v.path for v, gradient in zip(variables, gradients, strict=True) if gradient is None or not np.any(gradient)
    ] == []


def test_names_and_shapes_equal_slim(shared) -> None:
    with open(shared / "reference/odapi_vars/SLIM_inception_v2.tsv") as lines:
        expected = {name: json.loads(shape) for name, shape, _ in csv.reader(lines, delimiter="\t")}
    spec = inception_v2.CLASSIFIERS["inception_v2"]
    classifier = spec.make(spec.num_logits)
    classifier(tf.zeros([1, 64, 64, 3]))
    assert {v.path: list(v.shape) for v in classifier.weights} == {
        k: v for k, v in expected.items() if k != "global_step"
    }
