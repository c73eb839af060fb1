"""The order in which Keras counts layers with variables, against the networks of `keras.applications`."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from detection.feature_extractors.ssd_maps import L2Norm
from detection.networks import inception_resnet_v2, mobilenet_v1, mobilenet_v2, resnet_v1
from detection.networks.blocks import Blocks, Chain
from detection.networks.depths import divisible_depth_rule, full_depth
from detection.networks.hyperparams import Hyperparams
from detection.networks.keras_layers import keras_layers, numbered
from detection.networks.layers import Conv


def _theirs(model: keras.Model) -> list[tuple]:
    """Shapes of the variables of every layer that has some; biases in front of a batch norm left out."""
    layers = [layer for layer in model.layers if layer.weights]
    return [tuple(sorted(tuple(w.shape) for w in layer.weights if w.name != "bias")) for layer in layers]


def _ours(blocks: tuple[keras.layers.Layer, ...]) -> list[tuple]:
    network = Blocks("network", blocks)
    with tf.Graph().as_default():
        network(tf.zeros([1, 64, 64, 3]))
    shapes: dict[int, list[tuple]] = {}
    for key, variable in numbered(network.blocks).items():
        number = int(key.partition("/")[0].rpartition("-")[2])
        shapes.setdefault(number, []).append(tuple(variable.shape))
    assert list(shapes) == list(range(len(shapes)))
    return [tuple(sorted(each)) for each in shapes.values()]


@pytest.mark.parametrize("layers", [50, 101])
def test_resnet(layers: int) -> None:
    theirs = getattr(keras.applications, f"ResNet{layers}")(weights=None, include_top=False)
    ours = resnet_v1.keras_blocks(resnet_v1.training_defaults(keras_form=True), full_depth, resnet_v1.UNITS[layers])
    assert _ours(ours) == _theirs(theirs)


def test_mobilenets() -> None:
    theirs = keras.applications.MobileNet(input_shape=(64, 64, 3), weights=None, include_top=False)
    # Keras 3 has depthwise kernels as [h, w, in, 1], as we have.
    assert _ours(mobilenet_v1.blocks(mobilenet_v1.training_defaults(), full_depth)) == _theirs(theirs)
    theirs = keras.applications.MobileNetV2(input_shape=(64, 64, 3), weights=None, include_top=False)
    blocks = mobilenet_v2.blocks(mobilenet_v2.training_defaults(), divisible_depth_rule(1.0))
    assert _ours(blocks) == _theirs(theirs)


@pytest.mark.slow
def test_inception_resnet_v2_and_what_it_computes() -> None:
    """Filled from Keras's network in this order, ours gives the same map; branches side by side are counted by their
    distance from the end."""
    theirs = keras.applications.InceptionResNetV2(weights=None, include_top=False)
    random = np.random.default_rng(0)
    layers = [layer for layer in theirs.layers if layer.weights]
    for layer in layers:
        if layer.name.endswith("_bn") or "batch_normalization" in layer.name:
            layer.set_weights([random.uniform(0.5, 1.5, each.shape) for each in layer.get_weights()])
    network = Blocks("network", inception_resnet_v2.blocks(inception_resnet_v2.training_defaults(), full_depth))
    image = tf.random.stateless_uniform([1, 96, 96, 3], [1, 2], -1, 1)
    network(image)
    ours = numbered(network.blocks)
    for number, layer in enumerate(layers):
        for variable in layer.weights:
            ours.pop(f"layer_with_weights-{number}/{variable.name}").assign(variable)
    assert ours == {}
    found, expected = network(image)["Conv2d_7b_1x1"].numpy(), theirs(image, training=False).numpy()
    # 500 layers deep, sums in another order: parts in 1e4 of the largest value.
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_what_keras_would_make_of_a_layer_must_be_known() -> None:
    conv = Conv("conv", 1, 1, Hyperparams(keras.initializers.Zeros()))
    chain = Chain("chain", (conv,))
    chain(tf.zeros([1, 2, 2, 1]))
    assert [sorted(layer) for layer in keras_layers(chain)] == [["bias", "kernel"]]
    for unknown in (L2Norm("norm"), keras.layers.Dense(1)):
        unknown(tf.zeros([1, 2, 2, 1]))
        with pytest.raises(TypeError, match="not known"):
            list(keras_layers(unknown))
