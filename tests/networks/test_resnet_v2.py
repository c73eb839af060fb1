"""ResNet v2, and Keras's ResNet v1 with biases, against the networks of `keras.applications`; the small ones against
their definition in plain operations."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from detection.feature_extractors.center_maps import resnet_defaults
from detection.networks import resnet_v1, resnet_v2
from detection.networks.blocks import Blocks
from detection.networks.depths import depth_rule, full_depth
from detection.networks.keras_layers import numbered


def _images(side: int) -> tf.Tensor:
    return tf.random.stateless_uniform([1, side, side, 3], [1, 2], -1, 1)


def _scattered(variables: list[keras.Variable]) -> None:
    """Everything that starts at 0 or 1 gets values of its own, statistics included."""
    random = np.random.default_rng(0)
    for variable in variables:
        if len(variable.shape) == 1:
            variable.assign(variable + random.uniform(0.0, 0.2, variable.shape))


@pytest.mark.parametrize(
    ("theirs", "network", "last"),
    [
        ("ResNet50V2", resnet_v2.blocks(resnet_defaults(biased=False), full_depth, 50), "conv5_block3_out"),
        (
            "ResNet50",
            resnet_v1.keras_blocks(resnet_defaults(biased=True), full_depth, resnet_v1.UNITS[50], "EXPLICIT"),
            "conv5_block3_out",
        ),
    ],
)
def test_equals_keras(theirs: str, network: tuple[keras.layers.Layer, ...], last: str) -> None:
    """Whose layers, in the order of the object keys, give ours their weights. Odd sizes tell paddings apart."""
    model = getattr(keras.applications, theirs)(weights=None, include_top=False, input_shape=(75, 75, 3))
    _scattered(model.weights)
    ours = Blocks("network", network)
    ours(tf.zeros([1, 64, 64, 3]))
    layers = [layer for layer in model.layers if layer.weights]
    for key, variable in numbered(ours.blocks).items():
        number, attribute = key.removeprefix("layer_with_weights-").split("/")
        variable.assign(getattr(layers[int(number)], attribute))
    images = _images(75)
    outputs = ours(images, endpoints=("block1", "block4"))
    wanted = [model.get_layer("conv2_block3_out").output, model.get_layer(last).output]
    for found, expected in zip(outputs.values(), keras.Model(model.input, wanted)(images), strict=True):
        # Fifty layers in float32, which the two sum in another order.
        scale = float(tf.reduce_max(tf.abs(expected)))
        np.testing.assert_allclose(found, expected, atol=1e-4 * scale)


def test_small_networks_by_hand() -> None:
    """Two convolutions a unit; the last unit of a block strides, but not of the first block."""
    network = Blocks("network", resnet_v2.blocks(resnet_defaults(biased=False), depth_rule(0.0625, 4), 18))
    images = _images(64)
    network(images)
    _scattered(network.variables)
    values = {key.removeprefix("layer_with_weights-"): variable for key, variable in numbered(network.blocks).items()}

    def norm(x: tf.Tensor, n: int) -> tf.Tensor:
        parts = (values[f"{n}/{part}"] for part in ("moving_mean", "moving_variance", "beta", "gamma"))
        return tf.nn.batch_normalization(x, *parts, 1.001e-5)

    def conv(x: tf.Tensor, n: int, pad: int, stride: int) -> tf.Tensor:
        x = tf.pad(x, [[0, 0], [pad, pad], [pad, pad], [0, 0]])
        y = tf.nn.conv2d(x, values[f"{n}/kernel"].value, stride, "VALID")
        return y + values[f"{n}/bias"] if f"{n}/bias" in values else y

    x = conv(images, 0, 3, 2)
    x = tf.nn.max_pool2d(tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]]), 3, 2, "VALID")
    outputs, number = [], 1
    for stride in (1, 2, 2, 2):
        for unit in (1, 2):
            own = stride if unit == 2 else 1
            z = tf.nn.relu(norm(x, number))
            y = tf.nn.relu(norm(conv(z, number + 1, 1, 1), number + 2))
            y = tf.nn.relu(norm(conv(y, number + 3, 1, own), number + 4))
            shortcut = conv(z, number + 5, 0, 1) if unit == 1 else x[:, ::own, ::own]
            x, number = shortcut + y, number + (6 if unit == 1 else 5)
        outputs.append(x)
    found = network(images, endpoints=("block1", "block2", "block3", "block4"))
    assert [tuple(each.shape[1:3]) for each in found.values()] == [(16, 16), (8, 8), (4, 4), (2, 2)]
    for mine, expected in zip(found.values(), outputs, strict=True):
        np.testing.assert_allclose(mine, expected, rtol=1e-4, atol=1e-5)
