"""Inception-ResNet v2 as an extractor: names and shapes of the reference's checkpoints, sizes of maps, crops of any
size, whole maps."""

from __future__ import annotations

import csv
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from detection.feature_extractors import inception_resnet_v2
from detection.feature_extractors.ssd_maps import SsdExtractorOptions
from detection.feature_extractors.two_stage import TwoStageExtractor, TwoStageExtractorOptions
from detection.networks.hyperparams import BatchNormSettings, Hyperparams

HYPER = Hyperparams(
    keras.initializers.TruncatedNormal(stddev=0.03), activation=tf.nn.relu6, batch_norm=BatchNormSettings(scale=True)
)
THIN = {"depth_multiplier": 0.05, "min_depth": 4}


def _two_stage(**options: object) -> TwoStageExtractor:
    return inception_resnet_v2.two_stage(TwoStageExtractorOptions(**{**THIN, **options}))


def test_six_maps_of_a_300_pixel_image() -> None:
    """Aligned: a map has as many cells as strides fit into the image."""
    extractor = inception_resnet_v2.ssd(SsdExtractorOptions(HYPER, **THIN))
    maps = extractor(tf.zeros([1, 300, 300, 3]))
    assert [m.shape[1:3].as_list() for m in maps] == [[19, 19], [10, 10], [5, 5], [3, 3], [2, 2], [1, 1]]
    paths = {v.path for v in extractor.weights}
    assert "FeatureExtractor/InceptionResnetV2/Repeat_2/block8_9/Conv2d_1x1/biases" in paths
    assert "FeatureExtractor/InceptionResnetV2/Conv2d_7b_1x1_1_Conv2d_2_1x1_12/weights" in paths
    assert "FeatureExtractor/InceptionResnetV2/Conv2d_7b_1x1_2_Conv2d_5_3x3_s2_6/BatchNorm/gamma" in paths
    assert not [path for path in paths if "Branch" in path and path.endswith("gamma")]


def test_depths_of_the_maps() -> None:
    maps = inception_resnet_v2.ssd(SsdExtractorOptions(HYPER))(tf.zeros([1, 33, 33, 3]))
    assert [m.shape[3] for m in maps] == [1088, 1536, 512, 256, 256, 128]


@pytest.mark.parametrize(("stride", "sizes"), [(16, [5, 7]), (8, [9, 13])])
def test_body_and_tail(stride: int, sizes: list[int]) -> None:
    """Crops of 17 become 8x8 as on ImageNet, crops of 7 3x3; nothing depends on the stride there."""
    extractor = _two_stage(stride=stride)
    features = extractor.body(tf.zeros([1, 65, 97, 3]))
    assert features.shape[1:3].as_list() == sizes and extractor.stride == stride and extractor.crop_size is None
    for crop, size in ((17, 8), (7, 3), (3, 1)):
        assert extractor.tail(tf.zeros([2, crop, crop, features.shape[3]])).shape[:3].as_list() == [2, size, size]


@pytest.mark.parametrize("stride", [16, 8])
def test_the_tail_keeps_the_size_of_a_whole_map(stride: int) -> None:
    """And holds the same weights as the one for crops."""
    extractor = _two_stage(stride=stride, whole_map=True)
    features = extractor.body(tf.random.stateless_uniform([1, 80, 112, 3], [1, 2], -1, 1))
    assert extractor.tail(features).shape[1:3] == features.shape[1:3]
    crops = _two_stage(stride=stride)
    crops.tail(features)
    assert {(v.path, tuple(v.shape)) for v in crops.tail.weights} == {
        (v.path, tuple(v.shape)) for v in extractor.tail.weights
    }


def test_unsupported_stride_is_refused() -> None:
    with pytest.raises(ValueError, match="first_stage_features_stride 32.*Inception-ResNet v2.*8 or 16"):
        _two_stage(stride=32)


def test_batch_norm_is_frozen_unless_the_config_trains_it() -> None:
    images = tf.random.stateless_uniform([2, 64, 64, 3], [1, 2], -1, 1)
    for train, moves in ((False, False), (True, True)):
        extractor = _two_stage(train_batch_norm=train)
        features = extractor.body(images)
        crops = tf.random.stateless_uniform([3, 7, 7, features.shape[3]], [1, 3])
        extractor.tail(crops)
        for stage, inputs in ((extractor.body, images), (extractor.tail, crops)):
            before = [v.numpy() for v in stage.non_trainable_variables]
            stage(inputs, training=True)
            changed = [not np.array_equal(v, old) for v, old in zip(stage.non_trainable_variables, before, strict=True)]
            assert changed == [moves] * len(changed) and changed


def test_regularisation_only_if_the_config_has_it() -> None:
    extractor = _two_stage()
    extractor.body(tf.zeros([1, 64, 64, 3]))
    assert not [v.path for v in extractor.body.weights if v.regularizer is not None]


def test_names_and_shapes_equal_the_reference(shared) -> None:
    with open(shared / "reference/odapi_vars/faster_rcnn_inception_resnet_v2_atrous_coco.tsv") as lines:
        rows = {name: json.loads(shape) for name, shape, _ in csv.reader(lines, delimiter="\t")}
    expected = {
        name: shape
        for name, shape in rows.items()
        if name.startswith(("FirstStageFeatureExtractor/", "SecondStageFeatureExtractor/"))
    }
    extractor = _two_stage(stride=8, depth_multiplier=1.0, min_depth=16)
    assert extractor.body(tf.zeros([1, 33, 33, 3])).shape[3] == 1088
    assert extractor.tail(tf.zeros([1, 7, 7, 1088])).shape.as_list() == [1, 3, 3, 1536]
    assert len(expected) == 896
    assert {v.path: list(v.shape) for stage in (extractor.body, extractor.tail) for v in stage.weights} == expected
