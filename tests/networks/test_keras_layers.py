"""The order in which Keras counts layers with variables, against the networks of `keras.applications`."""

from __future__ import annotations

import keras
import pytest
import tensorflow as tf

from detection.feature_extractors.center_maps import TopDown, resnet_defaults
from detection.feature_extractors.ssd_maps import L2Norm
from detection.networks import mobilenet_v1, mobilenet_v2, resnet_v1, resnet_v2
from detection.networks.blocks import Blocks, Chain
from detection.networks.depths import divisible_depth_rule, full_depth
from detection.networks.hyperparams import Hyperparams
from detection.networks.keras_layers import keras_layers, numbered
from detection.networks.layers import Conv


def _theirs(model: keras.Model, biases: bool = False) -> list[tuple]:
    """Shapes of the variables of every layer that has some; without `biases` those of convolutions left out."""
    layers = [layer for layer in model.layers if layer.weights]
    return [tuple(sorted(tuple(w.shape) for w in layer.weights if biases or w.name != "bias")) for layer in layers]


def _ours(blocks: tuple[keras.layers.Layer, ...], biases: bool = False) -> list[tuple]:
    network = Blocks("network", blocks)
    with tf.Graph().as_default():
        network(tf.zeros([1, 64, 64, 3]))
    shapes: dict[int, list[tuple]] = {}
    for key, variable in numbered(network.blocks).items():
        number = int(key.partition("/")[0].rpartition("-")[2])
        assert biases or not key.endswith("/bias")
        shapes.setdefault(number, []).append(tuple(variable.shape))
    assert list(shapes) == list(range(len(shapes)))
    return [tuple(sorted(each)) for each in shapes.values()]


@pytest.mark.parametrize("layers", [50, 101])
def test_resnet(layers: int) -> None:
    theirs = getattr(keras.applications, f"ResNet{layers}")(weights=None, include_top=False)
    ours = resnet_v1.keras_blocks(resnet_v1.training_defaults(keras_form=True), full_depth, resnet_v1.UNITS[layers])
    assert _ours(ours) == _theirs(theirs)


def test_resnet_v2() -> None:
    theirs = keras.applications.ResNet50V2(weights=None, include_top=False)
    hyperparams = resnet_defaults(biased=False)
    blocks = (*resnet_v2.blocks(hyperparams, full_depth, 50), resnet_v2.last_norm(hyperparams))
    assert _ours(blocks, biases=True) == _theirs(theirs, biases=True)


def test_resnet_with_biases() -> None:
    theirs = keras.applications.ResNet50(weights=None, include_top=False)
    ours = resnet_v1.keras_blocks(resnet_defaults(biased=True), full_depth, resnet_v1.UNITS[50])
    assert _ours(ours, biases=True) == _theirs(theirs, biases=True)


def test_top_down_layers_are_numbered_after_the_network() -> None:
    """As many as a functional model of Keras has, in its order; the network is its first layer with weights."""
    inputs = [keras.Input((8 >> n, 8 >> n, 4)) for n in range(4)]
    base = keras.Model(inputs, [keras.layers.Conv2D(4, 1)(x) for x in inputs])
    *finer, x = base(inputs)
    x = keras.layers.Conv2D(9, 1)(x)
    for depth, smoothed, features in ((9, 7, finer[2]), (7, 6, finer[1]), (6, 5, finer[0])):
        x = keras.layers.UpSampling2D(2)(x) + keras.layers.Conv2D(depth, 1)(features)
        x = keras.layers.ReLU()(keras.layers.BatchNormalization()(keras.layers.Conv2D(smoothed, 3, padding="same")(x)))
    theirs = [layer for layer in keras.Model(inputs, x).layers if layer.weights]
    assert theirs[0] is base
    decoder = TopDown((9, 9, 7, 6), (7, 6, 5))
    decoder(tuple(tf.zeros([1, 8 >> n, 8 >> n, 4]) for n in range(4)))
    found = {key: tuple(variable.shape) for key, variable in numbered(decoder.parts, first=1).items()}
    assert found == {
        f"layer_with_weights-{number}/{variable.name}": tuple(variable.shape)
        for number, layer in enumerate(theirs[1:], start=1)
        for variable in layer.weights
    }


def test_mobilenets() -> None:
    theirs = keras.applications.MobileNet(input_shape=(64, 64, 3), weights=None, include_top=False)
    # Keras 3 has depthwise kernels as [h, w, in, 1], as we have.
    assert _ours(mobilenet_v1.blocks(mobilenet_v1.training_defaults(), full_depth)) == _theirs(theirs)
    theirs = keras.applications.MobileNetV2(input_shape=(64, 64, 3), weights=None, include_top=False)
    blocks = mobilenet_v2.blocks(mobilenet_v2.training_defaults(), divisible_depth_rule(1.0))
    assert _ours(blocks) == _theirs(theirs)


def test_a_layer_without_known_keras_form_is_refused() -> None:
    conv = Conv("conv", 1, 1, Hyperparams(keras.initializers.Zeros()))
    chain = Chain("chain", (conv,))
    chain(tf.zeros([1, 2, 2, 1]))
    assert [sorted(layer) for layer in keras_layers(chain)] == [["bias", "kernel"]]
    for unknown in (L2Norm("norm"), keras.layers.Dense(1)):
        unknown(tf.zeros([1, 2, 2, 1]))
        with pytest.raises(TypeError, match="not known"):
            list(keras_layers(unknown))
