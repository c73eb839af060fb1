"""VGG16 as an extractor: the maps of SSD as Liu et al. have them, the cut of the two-stage detectors as Ren et al. have
it."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from detection.builders.feature_extractor import SSD_EXTRACTORS, TWO_STAGE_EXTRACTORS
from detection.feature_extractors import vgg16
from detection.feature_extractors.ssd_maps import SsdExtractorOptions
from detection.feature_extractors.two_stage import TwoStageExtractorOptions
from detection.networks import vgg
from detection.networks.hyperparams import BatchNormSettings, Hyperparams
from detection.networks.layers import BatchNorm

HYPER = Hyperparams(
    keras.initializers.TruncatedNormal(stddev=0.1), activation=tf.nn.relu6, batch_norm=BatchNormSettings(scale=True)
)
THIN = SsdExtractorOptions(HYPER, depth_multiplier=1 / 8, min_depth=8)


def norms(layer: keras.layers.Layer) -> list[str]:
    return [norm.path for norm in layer._flatten_layers() if isinstance(norm, BatchNorm)]


def test_six_maps_of_a_300_pixel_image() -> None:
    """38, 19, 10, 5, 3: as in the paper; 2, where its last layer, without padding, has 1."""
    extractor = vgg16.ssd(SsdExtractorOptions(HYPER, depth_multiplier=1 / 4))
    maps = extractor(tf.zeros([1, 300, 300, 3]))
    assert [tuple(m.shape[1:]) for m in maps] == [
        (38, 38, 128),
        (19, 19, 256),
        (10, 10, 128),
        (5, 5, 64),
        (3, 3, 64),
        (2, 2, 64),
    ]


def test_names_and_shapes() -> None:
    extractor = vgg16.ssd(SsdExtractorOptions(HYPER, num_maps=3))
    extractor(tf.zeros([1, 33, 33, 3]))
    shapes = {v.path: tuple(v.shape) for v in extractor.trainable_variables}
    assert shapes["FeatureExtractor/vgg_16/conv1/conv1_1/weights"] == (3, 3, 3, 64)
    assert shapes["FeatureExtractor/vgg_16/conv5/conv5_3/biases"] == (512,)
    assert shapes["FeatureExtractor/vgg_16/fc6/weights"] == (3, 3, 512, 1024)
    assert shapes["FeatureExtractor/vgg_16/fc7/weights"] == (1, 1, 1024, 1024)
    assert shapes["FeatureExtractor/vgg_16/fc7_1_Conv2d_2_1x1_256/weights"] == (1, 1, 1024, 256)
    assert shapes["FeatureExtractor/vgg_16/fc7_2_Conv2d_2_3x3_s2_512/weights"] == (3, 3, 256, 512)
    assert shapes["FeatureExtractor/vgg_16/fc7_2_Conv2d_2_3x3_s2_512/BatchNorm/gamma"] == (512,)
    assert shapes["FeatureExtractor/conv4_l2_norm/scale"] == (512,)
    assert len(shapes) == 2 * 13 + 4 + 1 + 6


def test_the_first_map_is_conv4_3_of_length_20_at_every_cell() -> None:
    extractor = vgg16.ssd(dataclasses.replace(THIN, num_maps=2))
    images = tf.random.stateless_uniform([2, 50, 70, 3], [1, 2], -128, 128)
    first, second = extractor(images)
    assert [tuple(m.shape[1:3]) for m in (first, second)] == [(7, 9), (4, 5)]
    np.testing.assert_allclose(tf.norm(first, axis=3), np.full((2, 7, 9), 20), rtol=1e-5)
    stage = extractor.network(images, endpoints=("conv4", "conv4/conv4_3"))
    np.testing.assert_array_equal(stage["conv4"], stage["conv4/conv4_3"])
    np.testing.assert_allclose(
        first, 20 * stage["conv4"] / tf.norm(stage["conv4"], axis=3, keepdims=True), rtol=1e-5, atol=1e-6
    )
    np.testing.assert_array_equal(second, extractor.network(images, endpoints=("fc7",))["fc7"])


def test_the_network_has_batch_norm_only_if_the_config_overrides_it() -> None:
    """Its own layers have biases; frozen batch norm leaves what has none alone."""
    for frozen in (False, True):
        extractor = vgg16.ssd(
            dataclasses.replace(THIN, hyperparams=HYPER.frozen() if frozen else HYPER, freeze_batch_norm=frozen)
        )
        extractor(tf.zeros([1, 64, 64, 3]), training=True)
        assert norms(extractor.network) == [] and len(norms(extractor.extra)) == 8
    overridden = vgg16.ssd(dataclasses.replace(THIN, override_base=True))
    overridden(tf.zeros([1, 64, 64, 3]))
    assert len(norms(overridden.network)) == 15
    assert "FeatureExtractor/vgg_16/conv1/conv1_1/BatchNorm/beta" in {v.path for v in overridden.variables}
    assert not [v.path for v in overridden.variables if v.path.endswith("biases")]


def test_ssd_trains_without_dropout() -> None:
    extractor = vgg16.ssd(dataclasses.replace(THIN, num_maps=2))
    images = tf.random.stateless_uniform([1, 40, 40, 3], [1, 2], -128, 128)
    for plain, trained in zip(extractor(images), extractor(images, training=True), strict=True):
        np.testing.assert_array_equal(plain, trained)


def test_channel_means_are_subtracted() -> None:
    for extractor in (vgg16.ssd(THIN), vgg16.two_stage(TwoStageExtractorOptions(depth_multiplier=1 / 8))):
        np.testing.assert_allclose(
            extractor.scale(tf.constant([[[[123.68, 116.78, 103.94]]]])), np.zeros((1, 1, 1, 3)), atol=1e-5
        )


@pytest.mark.parametrize("whole_map", [False, True])
def test_two_stages(whole_map: bool) -> None:
    extractor = vgg16.two_stage(TwoStageExtractorOptions(depth_multiplier=1 / 8, whole_map=whole_map))
    features = extractor.body(tf.random.stateless_uniform([1, 100, 130, 3], [1, 2], -128, 128))
    assert features.shape == (1, 7, 9, 64) and extractor.stride == 16
    assert extractor.crop_size == (None if whole_map else 7)
    regions = features if whole_map else tf.tile(features[:, :, :7], [5, 1, 1, 1])
    assert extractor.tail(regions).shape == ((1, 7, 9, 512) if whole_map else (5, 1, 1, 512))
    shapes = {v.path: tuple(v.shape) for part in (extractor.body, extractor.tail) for v in part.trainable_variables}
    assert len(shapes) == 30 and shapes["FirstStageFeatureExtractor/vgg_16/conv5/conv5_3/weights"] == (3, 3, 64, 64)
    assert shapes["SecondStageFeatureExtractor/vgg_16/fc6/weights"] == (7, 7, 64, 512)
    assert shapes["SecondStageFeatureExtractor/vgg_16/fc7/weights"] == (1, 1, 512, 512)
    assert not np.array_equal(extractor.tail(regions, training=True), extractor.tail(regions))
    np.testing.assert_array_equal(extractor.tail(regions), extractor.tail(regions))
    np.testing.assert_array_equal(
        extractor.body(tf.ones([1, 40, 40, 3]), training=True), extractor.body(tf.ones([1, 40, 40, 3]))
    )


def test_two_stages_are_the_classifier_cut_in_two() -> None:
    """Weights restored by name; the crop is the whole pooled map: the tail gives what the classifier's fc7 gives."""
    classifier = vgg.classifier(10, 1 / 8)
    images = tf.random.stateless_uniform([1, 224, 224, 3], [1, 2], -128, 128)
    classifier(images)
    weights = {v.path: v for v in classifier.trainable_variables}
    extractor = vgg16.two_stage(TwoStageExtractorOptions(depth_multiplier=1 / 8, min_depth=8))
    extractor.tail(tf.nn.max_pool2d(extractor.body(images), 2, 2, "VALID"))
    for part in (extractor.body, extractor.tail):
        for variable in part.trainable_variables:
            variable.assign(weights[variable.path.partition("/")[2]])
    expected = images
    for block in (*classifier.network, *classifier.head[:3]):
        expected = block(expected)
    outputs = extractor.tail(tf.nn.max_pool2d(extractor.body(images), 2, 2, "VALID"))
    assert float(tf.reduce_max(expected)) > 0
    np.testing.assert_allclose(outputs, expected, atol=1e-6 * float(tf.reduce_max(expected)))


def test_types() -> None:
    assert SSD_EXTRACTORS["ssd_vgg16"] is vgg16.ssd and TWO_STAGE_EXTRACTORS["faster_rcnn_vgg16"] is vgg16.two_stage


def test_unsupported_strides_are_refused() -> None:
    with pytest.raises(ValueError, match="first_stage_features_stride 8 .* VGG16 .* 16"):
        vgg16.two_stage(TwoStageExtractorOptions(stride=8))
