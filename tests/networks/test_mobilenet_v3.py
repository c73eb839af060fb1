"""MobileNet v3 against Keras's own, an independent implementation; sizes that are published; names as tf-slim's
checkpoints have them."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from detection.networks import mobilenet_v3
from detection.networks.blocks import Blocks
from detection.networks.depths import divisible_depth_rule
from detection.networks.keras_layers import layers_of
from detection.networks.layers import every_layer

REFERENCES = {
    "mobilenet_v3_large": keras.applications.MobileNetV3Large,
    "mobilenet_v3_small": keras.applications.MobileNetV3Small,
}
# Ours -> Keras's layer: a tap inside a block, blocks with and without a sum, the end.
ENDPOINTS = {
    "mobilenet_v3_large": {
        "expanded_conv": "expanded_conv_add",
        "expanded_conv_3": "expanded_conv_3_project_bn",
        "expanded_conv_12/expand": "expanded_conv_12_expand_bn",
        "expanded_conv_14": "expanded_conv_14_add",
        "Conv_1": None,
    },
    "mobilenet_v3_small": {
        "expanded_conv": "expanded_conv_project_bn",
        "expanded_conv_8/expand": "expanded_conv_8_expand_bn",
        "expanded_conv_10": "expanded_conv_10_add",
        "Conv_1": None,
    },
}


def _network(name: str, multiplier: float, detector: bool = False) -> Blocks:
    version, rule = mobilenet_v3.VERSIONS[name], divisible_depth_rule(multiplier)
    return Blocks(
        version.scope, mobilenet_v3.blocks(version, mobilenet_v3.training_defaults(), rule, detector=detector)
    )


def _settle(network: Blocks) -> None:
    """Every number off its initial value, so that a swapped statistic shows; activations keep their size."""
    random = np.random.default_rng(0)
    ranges = {"gamma": (0.5, 1.5), "beta": (-0.5, 0.5), "moving_mean": (-0.3, 0.3), "moving_variance": (0.5, 1.5)}
    for variable in network.variables:
        kind = variable.path.rpartition("/")[2]
        if kind.endswith("weights"):
            fan_in = np.prod(variable.shape[:2]) * (1 if kind == "depthwise_weights" else variable.shape[2])
            gain = 0.3 if "/project/" in variable.path else 1.5  # residuals add up
            variable.assign(random.normal(size=variable.shape) * np.sqrt(gain / fan_in))
        else:
            variable.assign(random.uniform(*ranges.get(kind, (-1.0, 1.0)), variable.shape))


@pytest.mark.parametrize("name", REFERENCES)
def test_features_equal_keras(name: str) -> None:
    """Layers are copied in the order in which Keras counts them, so that the order is tested too. tf-slim's gate has
    0.16667 for a sixth, 2e-5 more, in every block with squeeze and excitation: parts in 1e4 at the end."""
    images = tf.constant(np.random.default_rng(1).uniform(-1, 1, (2, 64, 96, 3)), tf.float32)
    network = _network(name, 1.0)
    network(images[:1])
    _settle(network)
    reference = REFERENCES[name](
        input_shape=images.shape[1:], include_top=False, weights=None, include_preprocessing=False
    )
    theirs = [layer for layer in reference.layers if layer.weights]
    for ours, layer in zip(layers_of(network.blocks), theirs, strict=True):
        layer.set_weights([variable.numpy() for variable in ours.values()])
    assert reference.count_params() == sum(np.prod(variable.shape) for variable in network.variables)
    names = ENDPOINTS[name]
    outputs = [reference.get_layer(layer).output if layer else reference.output for layer in names.values()]
    got = network(images, endpoints=tuple(names))
    for endpoint, expected in zip(names, keras.Model(reference.input, outputs)(images, training=False), strict=True):
        if endpoint.endswith("/expand"):  # Keras has no name for what follows the norm
            expected = expected * tf.nn.relu6(expected + 3) / 6
        gap = np.abs(got[endpoint].numpy() - expected.numpy()).max() / np.abs(expected.numpy()).max()
        assert gap < 1e-3 and np.std(expected) > 0.01, (endpoint, gap)


@pytest.mark.parametrize(
    ("name", "millions"), [("mobilenet_edgetpu", 4.0), ("mobilenet_v3_large", 5.4), ("mobilenet_v3_small", 2.5)]
)
def test_parameter_counts_of_classifiers_equal_the_published_ones(name: str, millions: float) -> None:
    """Table 3 of the paper, and the README of tf-slim's MobileNet for EdgeTPU; given to one digit."""
    spec = mobilenet_v3.CLASSIFIERS[name]
    classifier = spec.make(spec.num_logits, 1.0)
    with tf.Graph().as_default():
        classifier(tf.zeros([1, 64, 64, 3]))
    count = sum(np.prod(variable.shape) for variable in classifier.trainable_variables) / 1e6
    assert millions - 0.05 <= count < millions + 0.1
    last = {variable.path: tuple(variable.shape) for variable in classifier.variables}
    assert last[f"{classifier.name}/Logits/Conv2d_1c_1x1/biases"] == (1001,)


# A block of each kind in tf-slim's names: layer -> shape of its kernel, and whether it has biases instead of a norm.
BLOCKS = {
    "mobilenet_v3_small": {
        "Conv": ((3, 3, 3, 16), False),
        "expanded_conv/depthwise": ((3, 3, 16, 1), False),
        "expanded_conv/squeeze_excite/Conv": ((1, 1, 16, 8), True),
        "expanded_conv/squeeze_excite/Conv_1": ((1, 1, 8, 16), True),
        "expanded_conv/project": ((1, 1, 16, 16), False),
        "expanded_conv_2/expand": ((1, 1, 24, 88), False),
        "expanded_conv_2/depthwise": ((3, 3, 88, 1), False),
        "expanded_conv_2/project": ((1, 1, 88, 24), False),
        "expanded_conv_8/project": ((1, 1, 288, 48), False),
        "expanded_conv_10/squeeze_excite/Conv": ((1, 1, 288, 72), True),
        "Conv_1": ((1, 1, 48, 288), False),
    },
    "mobilenet_v3_large": {
        "expanded_conv_7/expand": ((1, 1, 80, 200), False),
        "expanded_conv_11/depthwise": ((3, 3, 672, 1), False),
        "expanded_conv_12/project": ((1, 1, 672, 80), False),
        "expanded_conv_14/squeeze_excite/Conv": ((1, 1, 480, 120), True),
        "Conv_1": ((1, 1, 80, 480), False),
    },
    "mobilenet_edgetpu": {
        "expanded_conv/project": ((1, 1, 32, 16), False),
        "expanded_conv_1/expand": ((3, 3, 16, 128), False),
        "expanded_conv_1/project": ((1, 1, 128, 32), False),
        "expanded_conv_13/depthwise": ((3, 3, 768, 1), False),
        "expanded_conv_17/depthwise": ((5, 5, 768, 1), False),
        "expanded_conv_21/project": ((1, 1, 1280, 192), False),
    },
}


@pytest.mark.parametrize("name", BLOCKS)
def test_names_and_shapes_of_detectors(name: str) -> None:
    """The last stride has half its channels there, and EdgeTPU's all of them."""
    network = _network(name, 1.0, detector=True)
    with tf.Graph().as_default():
        network(tf.zeros([1, 64, 64, 3]))
    found = {variable.path: tuple(variable.shape) for variable in network.variables}
    for layer, (shape, biased) in BLOCKS[name].items():
        path = f"{network.name}/{layer}"
        assert found[f"{path}/{'depthwise_' * (layer.endswith('depthwise'))}weights"] == shape
        beside = {each.removeprefix(f"{path}/") for each in found if each.startswith(f"{path}/")}
        norm = {f"BatchNorm/{part}" for part in ("gamma", "beta", "moving_mean", "moving_variance")}
        assert beside - {"weights", "depthwise_weights"} == ({"biases"} if biased else norm), layer
    if name == "mobilenet_edgetpu":
        assert {path.split("/")[2] for path in found if "expanded_conv/" in path} == {"project"}
        assert not isinstance(network.blocks[14], type(network.blocks[15]))  # same shape, and no sum


def test_depth_multiplier_and_folding() -> None:
    """Channels are multiples of eight, wide maps depend on the actual input channels, and folding changes nothing."""
    network = _network("mobilenet_v3_small", 0.35)
    images = tf.constant(np.random.default_rng(1).uniform(-1, 1, (1, 64, 64, 3)), tf.float32)
    network(images)
    _settle(network)
    found = {variable.path: tuple(variable.shape) for variable in network.variables}
    assert found["MobilenetV3/expanded_conv_3/expand/weights"] == (1, 1, 8, 32)
    assert found["MobilenetV3/expanded_conv_3/project/weights"] == (1, 1, 32, 16)
    assert found["MobilenetV3/Conv_1/weights"] == (1, 1, 32, 200)
    plain = network(images)["Conv_1"].numpy()
    for layer in every_layer(network):
        layer.fold = True
    np.testing.assert_allclose(network(images)["Conv_1"], plain, atol=1e-5 * plain.max())
    assert plain.max() > 0.1
