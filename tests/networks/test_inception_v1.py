"""Inception v1 against tf-slim's own."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tf_slim
from tf_slim.nets import inception

from detection.networks import inception_v1
from detection.networks.blocks import Blocks
from detection.networks.depths import depth_rule
from tests.helpers import slim_inception as slim

TOLERANCE = 1e-5  # float32 sums in another order


def test_classifier_equals_slim() -> None:
    """At the size of ImageNet: every endpoint, the logits, and every variable's name and shape."""
    spec = inception_v1.CLASSIFIERS["inception_v1"]
    classifier = spec.make(11)
    images = np.random.default_rng(1).uniform(-1, 1, (1, spec.image_size, spec.image_size, 3)).astype("f4")
    classifier(images)
    weights = slim.randomize(classifier)
    expected = slim.outputs(
        inception.inception_v1, images, weights, (tf_slim.conv2d,), num_classes=11, is_training=False
    )
    logits, auxiliary = classifier(images)
    ours = {**Blocks(inception_v1.SCOPE, classifier.network)(images), "Logits": logits}
    errors = slim.relative_errors(ours, expected)
    assert auxiliary is None and set(errors) == set(expected) - {"Predictions"} and len(errors) == 17
    assert max(errors.values()) < TOLERANCE, errors


def test_names_are_those_of_the_published_checkpoint() -> None:
    """inception_v1_2016_08_28: with an irregular name in Mixed_5b, and without gammas."""
    network = Blocks(inception_v1.SCOPE, inception_v1.blocks(inception_v1.training_defaults(), depth_rule(0.125, 8)))
    network(tf.zeros([1, 32, 32, 3]))
    names = {variable.path for variable in network.variables}
    assert len(names) == 57 * 4  # kernel, beta, mean and variance of each convolution
    assert {
        "InceptionV1/Conv2d_1a_7x7/weights",
        "InceptionV1/Conv2d_1a_7x7/BatchNorm/moving_variance",
        "InceptionV1/Mixed_5b/Branch_2/Conv2d_0a_3x3/weights",
        "InceptionV1/Mixed_5c/Branch_2/Conv2d_0b_3x3/BatchNorm/beta",
    } <= names


def test_strides_and_depths_at_an_odd_size() -> None:
    network = Blocks(inception_v1.SCOPE, inception_v1.blocks(inception_v1.training_defaults(), depth_rule(1.0, 8)))
    outputs = network(tf.zeros([1, 65, 96, 3]))
    shapes = {name: tuple(outputs[name].shape[1:]) for name in ("Conv2d_2c_3x3", "Mixed_3c", "Mixed_4f", "Mixed_5c")}
    assert shapes == {
        "Conv2d_2c_3x3": (17, 24, 192),
        "Mixed_3c": (9, 12, 480),
        "Mixed_4f": (5, 6, 832),
        "Mixed_5c": (3, 3, 1024),
    }
