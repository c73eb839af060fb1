"""SSD on the networks for phones: the maps that are read, the names of the extra layers, and hyperparameters."""

from __future__ import annotations

import dataclasses
import math

import keras
import pytest
import tensorflow as tf

from detection.feature_extractors import catalogue
from detection.feature_extractors.ssd_maps import SsdExtractorOptions, SsdFeatureExtractor
from detection.networks.activations import hard_swish
from detection.networks.hyperparams import BatchNormSettings, GroupNormSettings, Hyperparams
from detection.networks.layers import Convolution, every_layer

HYPER = Hyperparams(
    keras.initializers.TruncatedNormal(stddev=0.03),
    activation=tf.nn.relu6,
    batch_norm=BatchNormSettings(decay=0.9, scale=True),
)
# Type -> scope, channels of the two maps of the network (strides 16 and 32), name of the extra layers, and parameters
# of the SSDLite of 90 classes, in millions, as published: those of MobileNet v3 (Table 6 of its paper) without batch
# norm, of MobileDet (the configs of the reference) with it.
TYPES = {
    "ssd_mobilenet_v3_large": ("MobilenetV3", 672, 480, "layer_17", 3.22),
    "ssd_mobilenet_v3_small": ("MobilenetV3", 288, 288, "layer_13", 1.77),
    "ssd_mobilenet_edgetpu": ("MobilenetEdgeTPU", 384, 192, "layer_23", None),
    "ssd_mobiledet_cpu": ("MobileDetCPU", 72, 144, "C5", 4.21),
    "ssd_mobiledet_dsp": ("MobileDetDSP", 144, 240, "C5", 7.16),
    "ssd_mobiledet_edgetpu": ("MobileDetEdgeTPU", 96, 384, "C5", 4.20),
    "ssd_mobiledet_gpu": ("MobileDetGPU", 128, 384, "C5", 13.11),
}


def _made(type_: str, **options: object) -> SsdFeatureExtractor:
    return catalogue.SSD_EXTRACTORS[type_](SsdExtractorOptions(HYPER, **options))


@pytest.mark.parametrize("type_", TYPES)
def test_maps_and_names(type_: str) -> None:
    """Those of the reference's own tests of its extractors, and of its checkpoints. Traced, not computed."""
    scope, middle, last, name, millions = TYPES[type_]
    extractor = _made(type_, depthwise=True)
    with tf.Graph().as_default():
        maps = extractor(tf.zeros([1, 320, 160, 3]))
    shapes = [[20, 10, middle], [10, 5, last], [5, 3, 512], [3, 2, 256], [2, 1, 256], [1, 1, 128]]
    assert [each.shape[1:].as_list() for each in maps] == shapes
    found = {variable.path: tuple(variable.shape) for variable in extractor.variables}
    root = f"FeatureExtractor/{scope}/{name}"
    assert found[f"{root}_1_Conv2d_2_1x1_256/weights"] == (1, 1, last, 256)
    assert found[f"{root}_2_Conv2d_2_3x3_s2_512_depthwise/depthwise_weights"] == (3, 3, 256, 1)
    assert found[f"{root}_2_Conv2d_5_3x3_s2_128/weights"] == (1, 1, 64, 128)
    assert "Conv_1" in {path.split("/")[2] for path in found} or scope != "MobilenetV3"
    assert not any(path.startswith(f"FeatureExtractor/{scope}/Conv_2") for path in found)
    if millions is not None:
        norm = 0 if scope == "MobilenetV3" else 4  # numbers a channel
        counted = sum(math.prod(shape) for path, shape in found.items() if norm or "BatchNorm" not in path)
        heads = [_head(shape[2], norm, 3 if number == 0 else 6) for number, shape in enumerate(shapes)]
        assert round((counted + sum(heads)) / 1e6, 2) == millions


def _head(channels: int, norm: int, anchors: int, classes: int = 90) -> int:
    """Parameters of the predictors of one map: a depthwise 3x3 convolution with batch norm and a 1x1 one with bias, for
    codes and for logits."""
    outputs = anchors * (4 + classes + 1)
    return 2 * channels * (9 + norm) + (channels + 1) * outputs


def _convolutions(extractor: SsdFeatureExtractor) -> list[Convolution]:
    return [layer for layer in every_layer(extractor.network) if isinstance(layer, Convolution)]


def test_config_does_not_change_activations() -> None:
    """As in tf-slim, MobileNet v3 always has gamma and beta, ReLU and hard swish."""
    flat = dataclasses.replace(HYPER, batch_norm=BatchNormSettings(decay=0.9, center=False))
    extractor = catalogue.SSD_EXTRACTORS["ssd_mobilenet_v3_small"](SsdExtractorOptions(flat, override_base=True))
    assert {layer.hyperparams.activation for layer in _convolutions(extractor)} >= {tf.nn.relu, hard_swish, None}
    assert tf.nn.relu6 not in {layer.hyperparams.activation for layer in _convolutions(extractor)}
    norms = {layer.hyperparams.batch_norm for layer in _convolutions(extractor)} - {None}
    assert norms == {BatchNormSettings(decay=0.9, center=True, scale=True)}
    own = _made("ssd_mobilenet_v3_small", freeze_batch_norm=True)
    norms = {layer.hyperparams.batch_norm for layer in _convolutions(own)} - {None}
    assert norms == {BatchNormSettings(decay=0.9997, scale=True, train=False)}
    bare = dataclasses.replace(HYPER, batch_norm=None, group_norm=GroupNormSettings())
    bare = SsdExtractorOptions(bare, override_base=True)
    norms = {
        layer.hyperparams.batch_norm
        for layer in _convolutions(catalogue.SSD_EXTRACTORS["ssd_mobilenet_v3_small"](bare))
    }
    assert norms == {None, BatchNormSettings(decay=0.9997, scale=True)}


@pytest.mark.parametrize("override", [False, True])
def test_config_does_not_change_mobiledet_hyperparameters(override: bool) -> None:
    extractor = _made("ssd_mobiledet_dsp", override_base=override, freeze_batch_norm=True)
    norms = {layer.hyperparams.batch_norm for layer in _convolutions(extractor)}
    assert norms == {BatchNormSettings(decay=0.99, epsilon=0.01, scale=True, train=False)}
    assert extractor.extra.blocks[0].hyperparams is HYPER


def test_embedded_mobilenet_v1() -> None:
    """Images of 256 pixels end in a map of 2x2, which a kernel of 2x2 makes one cell of."""
    extractor = _made("embedded_ssd_mobilenet_v1", depth_multiplier=0.125)
    maps = extractor(tf.zeros([1, 256, 256, 3]))
    assert [each.shape[1:].as_list() for each in maps] == [
        [16, 16, 64],
        [8, 8, 128],
        [4, 4, 64],
        [2, 2, 32],
        [1, 1, 32],
    ]
    found = {variable.path: tuple(variable.shape) for variable in extractor.variables}
    assert found["FeatureExtractor/MobilenetV1/Conv2d_13_pointwise_2_Conv2d_4_2x2_s2_32/weights"] == (2, 2, 16, 32)
    assert extractor.num_maps == 5
    own = {layer.regularize_depthwise for layer in (each.hyperparams for each in _convolutions(extractor))}
    assert own == {False}
