"""CaffeNet and VGG_CNN_M_1024 as extractors: SSD by the survey's rule, the cut of Fast R-CNN."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from detection.builders.feature_extractor import SSD_EXTRACTORS, TWO_STAGE_EXTRACTORS
from detection.feature_extractors import caffenet, vgg_cnn_m
from detection.feature_extractors.ssd_maps import SsdExtractorOptions
from detection.feature_extractors.two_stage import TwoStageExtractorOptions
from detection.networks.hyperparams import BatchNormSettings, Hyperparams
from detection.networks.layers import BatchNorm

HYPER = Hyperparams(
    keras.initializers.TruncatedNormal(stddev=0.1), activation=tf.nn.relu6, batch_norm=BatchNormSettings(scale=True)
)
THIN = SsdExtractorOptions(HYPER, depth_multiplier=1 / 8, min_depth=8)
NETS = {
    "caffenet": (caffenet, 256, 4096),
    "vgg_cnn_m_1024": (vgg_cnn_m, 512, 1024),
}  # scope -> (file, depth of conv5, depth of fc7)
nets = pytest.mark.parametrize("scope", NETS)


@nets
def test_six_maps_of_a_300_pixel_image(scope: str) -> None:
    net, conv5, _ = NETS[scope]
    extractor = net.ssd(SsdExtractorOptions(HYPER, depth_multiplier=1 / 4))
    maps = extractor(tf.zeros([1, 300, 300, 3]))
    sizes = [(38, 38, 64), (19, 19, conv5 // 4), (10, 10, 128), (5, 5, 64), (3, 3, 64), (2, 2, 64)]
    assert [tuple(m.shape[1:]) for m in maps] == sizes
    paths = {v.path for v in extractor.variables}
    assert {f"FeatureExtractor/{scope}/conv2/biases", "FeatureExtractor/conv2_l2_norm/scale"} <= paths
    assert f"FeatureExtractor/{scope}/conv5_2_Conv2d_2_3x3_s2_128/BatchNorm/moving_mean" in paths
    assert f"FeatureExtractor/{scope}/conv5_2_Conv2d_5_3x3_s2_64/weights" in paths


@nets
def test_the_first_map_has_length_20_at_every_cell(scope: str) -> None:
    net, *_ = NETS[scope]
    images = tf.random.stateless_uniform([2, 50, 70, 3], [1, 2], -128, 128)
    first, second = net.ssd(dataclasses.replace(THIN, num_maps=2))(images)
    assert [tuple(m.shape[1:3]) for m in (first, second)] == [(7, 9), (4, 5)]
    np.testing.assert_allclose(tf.norm(first, axis=3), np.full((2, 7, 9), 20), rtol=1e-5)


@nets
def test_the_network_has_batch_norm_only_if_the_config_overrides_it(scope: str) -> None:
    """Also in grouped convolutions, where it can be folded like everywhere."""
    net, *_ = NETS[scope]
    for frozen in (False, True):
        extractor = net.ssd(
            dataclasses.replace(THIN, hyperparams=HYPER.frozen() if frozen else HYPER, freeze_batch_norm=frozen)
        )
        extractor(tf.zeros([1, 64, 64, 3]), training=True)
        assert not [layer for layer in extractor.network._flatten_layers() if isinstance(layer, BatchNorm)]
    overridden = net.ssd(dataclasses.replace(THIN, override_base=True))
    images = tf.random.stateless_uniform([2, 64, 64, 3], [1, 2], -128, 128)
    overridden(images)
    generator = np.random.default_rng(0)
    for variable in overridden.variables:
        if "BatchNorm" in variable.path:
            variable.assign(variable + generator.uniform(0.1, 0.5, variable.shape))
    convolutions = [layer for layer in overridden.network.blocks if getattr(layer, "batch_norm", None)]
    assert [layer.name for layer in convolutions] == [f"conv{number}" for number in range(1, 6)]
    plain = overridden(images)
    for layer in convolutions:
        layer.fold = True
    for folded, expected in zip(overridden(images), plain, strict=True):
        np.testing.assert_allclose(folded, expected, atol=1e-5 * float(tf.reduce_max(expected)))


@nets
@pytest.mark.parametrize("whole_map", [False, True])
def test_two_stages(scope: str, whole_map: bool) -> None:
    net, conv5, fc7 = NETS[scope]
    extractor = net.two_stage(TwoStageExtractorOptions(depth_multiplier=1 / 8, whole_map=whole_map))
    images = tf.random.stateless_uniform([1, 100, 130, 3], [1, 2], -128, 128)
    features = extractor.body(images)
    assert features.shape == (1, 7, 9, conv5 // 8) and extractor.stride == 16
    assert extractor.crop_size == (None if whole_map else 6)
    regions = features if whole_map else tf.tile(features[:, :6, :6], [5, 1, 1, 1])
    assert extractor.tail(regions).shape == ((1, 7, 9, fc7 // 8) if whole_map else (5, 1, 1, fc7 // 8))
    shapes = {v.path: tuple(v.shape) for part in (extractor.body, extractor.tail) for v in part.trainable_variables}
    assert len(shapes) == 14 and f"FirstStageFeatureExtractor/{scope}/conv5/weights" in shapes
    assert shapes[f"SecondStageFeatureExtractor/{scope}/fc6/weights"] == (6, 6, conv5 // 8, 512)
    assert not np.array_equal(extractor.tail(regions, training=True), extractor.tail(regions))
    np.testing.assert_array_equal(extractor.tail(regions), extractor.tail(regions))
    np.testing.assert_array_equal(extractor.body(images, training=True), features)


@nets
def test_gradients_reach_every_weight_under_xla_too(scope: str) -> None:
    """Through grouped convolutions, the normalisation and pools with a border."""
    net, *_ = NETS[scope]
    extractor = net.two_stage(TwoStageExtractorOptions(depth_multiplier=1 / 8))
    images = tf.random.stateless_uniform([2, 96, 96, 3], [1, 2], -128, 128)
    extractor.tail(extractor.body(images))

    def gradients() -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.square(extractor.tail(extractor.body(images))))
        return tape.gradient(
            loss, [v.value for part in (extractor.body, extractor.tail) for v in part.trainable_variables]
        )

    plain, compiled = tf.function(gradients)(), tf.function(gradients, jit_compile=True)()
    assert len(plain) == 14
    for one, other in zip(plain, compiled, strict=True):
        size = float(tf.reduce_max(tf.abs(one)))
        assert size > 0
        np.testing.assert_allclose(other, one, atol=1e-4 * size)  # sums of float32 in another order, forward and back


@nets
def test_unsupported_strides_are_refused(scope: str) -> None:
    net, *_ = NETS[scope]
    with pytest.raises(ValueError, match="first_stage_features_stride 8 .* 16"):
        net.two_stage(TwoStageExtractorOptions(stride=8))


def test_types() -> None:
    assert SSD_EXTRACTORS["ssd_caffenet"] is caffenet.ssd and SSD_EXTRACTORS["ssd_vgg_cnn_m_1024"] is vgg_cnn_m.ssd
    assert TWO_STAGE_EXTRACTORS["faster_rcnn_caffenet"] is caffenet.two_stage
    assert TWO_STAGE_EXTRACTORS["faster_rcnn_vgg_cnn_m_1024"] is vgg_cnn_m.two_stage
