"""Extractors of CenterNet against Keras models put together as the TF Object Detection API does it, from
keras.applications: which key every variable has in object-based checkpoints, and what comes out. Measured: 4e-7 of the
largest value at most."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import keras
import numpy as np
import pytest
import tensorflow as tf

from detection.feature_extractors.catalogue import CENTER_EXTRACTORS
from detection.feature_extractors.center_maps import CenterExtractorOptions

SIDE = 64
MOBILENET_MAPS = ("block_2_add", "block_5_add", "block_9_add", "out_relu")
RESNET_MAPS = ("conv2_block3_out", "conv3_block4_out", "conv4_block6_out", "conv5_block3_out")
Models = dict[str, keras.Model]


def _mobilenet() -> keras.Model:
    return keras.applications.MobileNetV2(input_shape=(SIDE, SIDE, 3), include_top=False, weights=None)


def _resnet() -> keras.Model:
    return keras.applications.ResNet50(input_shape=(SIDE, SIDE, 3), include_top=False, weights=None)


def _norm(x):
    return keras.layers.ReLU()(keras.layers.BatchNormalization()(x))


def _deconvolved(base: keras.Model, kernel: int) -> keras.Model:
    images = keras.Input((SIDE, SIDE, 3))
    x = base(images)
    for depth in (256, 128, 64):
        x = _norm(keras.layers.Conv2D(depth, kernel, padding="same")(x))
        x = _norm(keras.layers.Conv2DTranspose(depth, 3, 2, padding="same")(x))
    return keras.Model(images, x)


def _top_down(base: keras.Model, maps: tuple[str, ...], depths: tuple[int, ...], conv: Callable) -> keras.Model:
    images = keras.Input((SIDE, SIDE, 3))
    outputs = keras.Model(base.input, [base.get_layer(name).output for name in maps])(images)
    x = keras.layers.Conv2D(depths[0], 1)(outputs[-1])
    for features, depth, behind in zip(outputs[-2::-1], depths, (*depths[1:], depths[-1]), strict=True):
        x = keras.layers.UpSampling2D(2)(x) + keras.layers.Conv2D(depth, 1)(features)
        x = _norm(conv(behind, 3, padding="same")(x))
    return keras.Model(images, x)


def _with_base(make: Callable[[], keras.Model], whole: Callable[[keras.Model], keras.Model]) -> Models:
    base = make()
    return {"_base_model": base, "_feature_extractor_model": whole(base)}


_MOBILENET = functools.partial(_top_down, maps=MOBILENET_MAPS, depths=(64, 32, 24))
# The model is the last of each; variables have the key that is found first.
THEIRS: dict[str, Callable[[], Models]] = {
    "mobilenet_v2": lambda: {"_network": _deconvolved(_mobilenet(), 1)},
    "mobilenet_v2_fpn": lambda: _with_base(_mobilenet, functools.partial(_MOBILENET, conv=keras.layers.Conv2D)),
    "mobilenet_v2_fpn_sep_conv": lambda: _with_base(
        _mobilenet, functools.partial(_MOBILENET, conv=keras.layers.SeparableConv2D)
    ),
    "resnet_v1_50_fpn": lambda: _with_base(
        _resnet,
        functools.partial(_top_down, maps=RESNET_MAPS, depths=(256, 128, 64), conv=keras.layers.Conv2D),
    ),
}


def _keyed(model: keras.Model, path: str) -> Iterator[tuple[str, keras.Variable]]:
    """(key, variable) as tf.train.Checkpoint walks a functional model of Keras 2."""
    for number, layer in enumerate(layer for layer in model.layers if layer.weights):
        place = f"{path}/layer_with_weights-{number}"
        if isinstance(layer, keras.Model):
            yield from _keyed(layer, place)
        else:
            # Keras 2 has another name for the kernel of a depthwise convolution.
            prefix = "depthwise_" if isinstance(layer, keras.layers.DepthwiseConv2D) else ""
            for variable in layer.weights:
                name = variable.name if variable.name != "kernel" else f"{prefix}kernel"
                yield f"{place}/{name}", variable


def _their_keys(models: Models) -> dict[str, keras.Variable]:
    found: dict[int, tuple[str, keras.Variable]] = {}
    for path, model in models.items():
        for key, variable in _keyed(model, path):
            found.setdefault(id(variable), (key, variable))
    return dict(found.values())


@pytest.mark.parametrize(
    "type_", [pytest.param(name, marks=[pytest.mark.slow] * ("resnet" in name)) for name in THEIRS]
)
def test_keys_and_maps_are_those_of_the_original(type_: str) -> None:
    models = THEIRS[type_]()
    theirs = _their_keys(models)
    extractor = CENTER_EXTRACTORS[type_](CenterExtractorOptions())
    images = tf.random.stateless_uniform([2, SIDE, SIDE, 3], [1, 2], -1, 1)
    extractor(images)
    ours = extractor.object_keys()
    assert {key: tuple(each.shape) for key, each in ours.items()} == {
        key: tuple(each.shape) for key, each in theirs.items()
    }
    random = np.random.default_rng(0)
    for key, variable in theirs.items():
        value = variable.numpy() + random.uniform(0, 0.1, variable.shape) * (len(variable.shape) == 1)
        variable.assign(value)
        ours[key].assign(value)
    (found,), expected = extractor(images), models[list(models)[-1]](images, training=False)
    assert found.shape == expected.shape == (2, SIDE // 4, SIDE // 4, expected.shape[-1])
    largest = np.abs(expected).max()
    assert np.std(expected) > 0.01 * largest
    np.testing.assert_allclose(found / largest, expected / largest, atol=1e-4, rtol=0)
