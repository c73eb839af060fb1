"""MobileNet v2 as an extractor: names and shapes of the reference's checkpoint, depths of thinned networks, SSDLite,
body and tail."""

from __future__ import annotations

import csv
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from detection.feature_extractors import mobilenet_v2
from detection.feature_extractors.ssd_maps import SsdExtractorOptions, SsdFeatureExtractor
from detection.feature_extractors.two_stage import TwoStageExtractor, TwoStageExtractorOptions
from detection.networks.hyperparams import BatchNormSettings, Hyperparams

HYPER = Hyperparams(
    keras.initializers.TruncatedNormal(stddev=0.03), activation=tf.nn.relu6, batch_norm=BatchNormSettings(scale=True)
)


def _ssd(size: int = 300, **options: object) -> tuple[SsdFeatureExtractor, list[list[int]]]:
    extractor = mobilenet_v2.ssd(SsdExtractorOptions(HYPER, **options))
    return extractor, [m.shape[1:].as_list() for m in extractor(tf.zeros([1, size, size, 3]))]


def _two_stage(**options: object) -> TwoStageExtractor:
    return mobilenet_v2.two_stage(TwoStageExtractorOptions(**{"depth_multiplier": 0.35, "min_depth": 8, **options}))


def test_six_maps_of_a_300_pixel_image() -> None:
    _, shapes = _ssd()
    assert shapes == [[19, 19, 576], [10, 10, 1280], [5, 5, 512], [3, 3, 256], [2, 2, 256], [1, 1, 128]]


def test_depths_with_a_depth_multiplier() -> None:
    """The network's depths are rounded to eights, `Conv_1` included; the extra layers' are cut off as everywhere."""
    extractor, shapes = _ssd(64, depth_multiplier=0.35)
    assert [shape[2] for shape in shapes] == [192, 448, 179, 89, 89, 44]
    assert "FeatureExtractor/MobilenetV2/layer_19_1_Conv2d_2_1x1_89/weights" in {v.path for v in extractor.weights}


@pytest.mark.parametrize(("count", "sizes"), [(1, [19]), (2, [19, 10]), (3, [19, 10, 5])])
def test_fewer_maps(count: int, sizes: list[int]) -> None:
    _, shapes = _ssd(num_maps=count, depth_multiplier=0.1)
    assert [shape[0] for shape in shapes] == sizes


def test_ssdlite_extra_layers() -> None:
    extractor, shapes = _ssd(depth_multiplier=0.35, depthwise=True)
    found = {v.path.rpartition("MobilenetV2/")[2]: tuple(v.shape) for v in extractor.weights}
    assert found["layer_19_2_Conv2d_2_3x3_s2_179_depthwise/depthwise_weights"] == (3, 3, 89, 1)
    assert found["layer_19_2_Conv2d_2_3x3_s2_179_depthwise/BatchNorm/gamma"] == (89,)
    assert found["layer_19_2_Conv2d_2_3x3_s2_179/weights"] == (1, 1, 89, 179)
    assert shapes[2] == [5, 5, 179]


def test_explicit_padding_reaches_every_strided_layer() -> None:
    """It pads both sides of an even map, where SAME pads one: every map differs, sizes stay."""
    images = tf.random.stateless_uniform([1, 64, 64, 3], [1, 2], -1, 1)
    same, explicit = (
        mobilenet_v2.ssd(SsdExtractorOptions(HYPER, depth_multiplier=0.35, explicit_padding=value))
        for value in (False, True)
    )
    same(images), explicit(images)
    for ours, theirs in zip(explicit.weights, same.weights, strict=True):
        ours.assign(theirs)
    pairs = list(zip(same(images), explicit(images), strict=True))
    assert all(one.shape == other.shape for one, other in pairs)
    assert all(np.abs(one - other).max() > 1e-3 * np.abs(one).max() for one, other in pairs[:3])
    strided = [layer for layer in explicit._flatten_layers() if getattr(layer, "stride", 1) == 2]
    assert len(strided) == 9 and {layer.padding for layer in strided} == {"EXPLICIT"}


def test_hyperparams_of_network_and_extra_layers() -> None:
    """The network keeps its own unless told otherwise, but moves its averages as slowly as the reference does for
    detection."""
    own, _ = _ssd(64, depth_multiplier=0.1)
    stem, extra = own.network.blocks[0].hyperparams, own.extra.blocks[0].hyperparams
    assert stem.batch_norm.decay == 0.9997 and stem.regularizer is not None and extra is HYPER
    overridden, _ = _ssd(64, depth_multiplier=0.1, override_base=True)
    assert overridden.network.blocks[0].hyperparams is HYPER


@pytest.mark.parametrize(("stride", "sizes"), [(16, [4, 7]), (8, [8, 13])])
def test_body_and_tail(stride: int, sizes: list[int]) -> None:
    extractor = _two_stage(stride=stride, depth_multiplier=1.0)
    features = extractor.body(tf.zeros([1, 64, 97, 3]))
    assert features.shape[1:].as_list() == [*sizes, 96]
    assert extractor.tail(tf.zeros([2, 7, 7, 96])).shape.as_list() == [2, 4, 4, 1280]


@pytest.mark.parametrize("stride", [16, 8])
def test_the_tail_keeps_the_size_of_a_whole_map(stride: int) -> None:
    extractor = _two_stage(stride=stride, whole_map=True)
    features = extractor.body(tf.random.stateless_uniform([1, 80, 112, 3], [1, 2], -1, 1))
    assert extractor.tail(features).shape[1:3] == features.shape[1:3]
    crops = _two_stage(stride=stride)
    crops.tail(features)
    assert {(v.path, tuple(v.shape)) for v in crops.tail.weights} == {
        (v.path, tuple(v.shape)) for v in extractor.tail.weights
    }


def test_unsupported_stride_is_refused() -> None:
    with pytest.raises(ValueError, match="first_stage_features_stride 32.*MobileNet v2.*8 or 16"):
        _two_stage(stride=32)


def test_batch_norm_is_frozen_unless_the_config_trains_it() -> None:
    images = tf.random.stateless_uniform([2, 64, 64, 3], [1, 2], -1, 1)
    for train, moves in ((False, False), (True, True)):
        extractor = _two_stage(train_batch_norm=train)
        extractor.body(images)
        before = [v.numpy() for v in extractor.body.non_trainable_variables]
        extractor.body(images, training=True)
        changed = [
            not np.array_equal(v, old) for v, old in zip(extractor.body.non_trainable_variables, before, strict=True)
        ]
        assert changed == [moves] * len(changed) and changed


def test_names_and_shapes_equal_the_reference(shared) -> None:
    with open(shared / "reference/odapi_vars/ssd_mobilenet_v2_coco.tsv") as lines:
        rows = {name: json.loads(shape) for name, shape, _ in csv.reader(lines, delimiter="\t")}
    expected = {name: shape for name, shape in rows.items() if name.startswith("FeatureExtractor/")}
    extractor, _ = _ssd(64)
    assert len(expected) == 300
    assert {v.path: list(v.shape) for v in extractor.weights} == expected
