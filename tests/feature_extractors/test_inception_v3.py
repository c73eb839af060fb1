"""Inception v3 in SSD, with the names of the reference implementation, and in two stages, which are ours."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from detection.feature_extractors import inception_v3
from detection.feature_extractors.ssd_maps import SsdExtractorOptions
from detection.feature_extractors.two_stage import TwoStageExtractor, TwoStageExtractorOptions
from detection.networks import inception_v3 as network
from detection.networks.blocks import Blocks
from detection.networks.depths import depth_rule
from detection.networks.hyperparams import BatchNormSettings, Hyperparams, l2_penalty

FROM_CONFIG = Hyperparams(
    keras.initializers.TruncatedNormal(stddev=0.1),
    l2_penalty(0.01),
    tf.nn.relu6,
    BatchNormSettings(decay=0.9, epsilon=0.001, scale=True),
)


def _thin(**options: object) -> TwoStageExtractor:
    return inception_v3.two_stage(TwoStageExtractorOptions(depth_multiplier=0.125, min_depth=8, **options))


def _set(extractor: TwoStageExtractor, whole: Blocks) -> None:
    """Random values for both, the same by name."""
    random, values = np.random.default_rng(0), {}
    for variable in (*extractor.body.variables, *extractor.tail.variables):
        variable.assign(
            random.uniform(0.5, 1, variable.shape)
            if "BatchNorm" in variable.path
            else random.normal(size=variable.shape) * 0.1
        )
        values[variable.path.partition("/")[2]] = variable.numpy()
    for variable in whole.variables:
        variable.assign(values[variable.path])


def test_ssd_maps() -> None:
    extractor = inception_v3.ssd(SsdExtractorOptions(FROM_CONFIG, depth_multiplier=0.125, min_depth=8))
    maps = extractor(tf.zeros([1, 300, 300, 3]))
    assert [tuple(m.shape[1:]) for m in maps] == [
        (35, 35, 36),
        (17, 17, 96),
        (8, 8, 256),
        (4, 4, 64),
        (2, 2, 32),
        (1, 1, 16),
    ]


@pytest.mark.parametrize("override", [False, True])
def test_ssd_network_has_imagenet_hyperparameters_unless_overridden(override: bool) -> None:
    extractor = inception_v3.ssd(SsdExtractorOptions(FROM_CONFIG, override_base=override, depth_multiplier=0.125))
    extractor(tf.zeros([1, 107, 107, 3]))
    stem = extractor.network.blocks[0]
    assert stem.hyperparams.activation is (tf.nn.relu6 if override else tf.nn.relu)
    assert stem.batch_norm.settings.decay == (0.9 if override else 0.9997)
    assert (stem.batch_norm.gamma is not None) == override
    assert all(layer.batch_norm.gamma is not None for layer in extractor.extra.blocks)


def test_two_stage_sizes() -> None:
    extractor = _thin()
    features = extractor.body(tf.zeros([1, 97, 128, 3]))
    assert tuple(features.shape) == (1, 7, 8, 96) and extractor.stride == 16 and extractor.crop_size is None
    for crop, size in ((7, 3), (14, 6), (17, 8)):
        assert tuple(extractor.tail(tf.zeros([2, crop, crop, 96])).shape) == (2, size, size, 256)
    assert tuple(_thin(whole_map=True).tail(features).shape) == (1, 4, 4, 256)


def test_two_stages_on_a_whole_map_are_the_aligned_network() -> None:
    extractor = _thin(whole_map=True)
    images = tf.random.stateless_uniform([2, 97, 128, 3], [1, 2], -1, 1)
    extractor.tail(extractor.body(images))
    whole = Blocks(
        network.SCOPE,
        network.blocks(extractor.body.network.blocks[0].hyperparams, depth_rule(0.125, 8), padding="SAME"),
    )
    whole(images)
    _set(extractor, whole)
    expected = whole(images, endpoints=("Mixed_7c",))["Mixed_7c"].numpy()
    assert expected.std() > 0
    np.testing.assert_allclose(extractor.tail(extractor.body(images)).numpy(), expected, atol=1e-6 * expected.max())


def test_tail_on_crops_equals_the_classifier() -> None:
    """A 17x17 crop of the unpadded network's own map gives what that network gives."""
    extractor = _thin()
    extractor.tail(extractor.body(tf.zeros([1, 64, 64, 3])))
    whole = Blocks(network.SCOPE, network.blocks(extractor.body.network.blocks[0].hyperparams, depth_rule(0.125, 8)))
    images = tf.random.stateless_uniform([1, 299, 299, 3], [1, 2], -1, 1)
    whole(images)
    _set(extractor, whole)
    outputs = whole(images, endpoints=("Mixed_6e", "Mixed_7c"))
    assert tuple(outputs["Mixed_6e"].shape[1:3]) == (17, 17) and tf.math.reduce_std(outputs["Mixed_7c"]) > 0
    expected = outputs["Mixed_7c"].numpy()
    np.testing.assert_allclose(extractor.tail(outputs["Mixed_6e"]).numpy(), expected, atol=1e-6 * expected.max())


def test_shifting_the_image_shifts_the_aligned_map() -> None:
    """An image moved by one stride moves the map by one cell, away from the borders."""
    extractor = _thin()
    extractor.body(tf.zeros([1, 64, 64, 3]))
    image = np.zeros((1, 640, 64, 3), "f4")
    image[:, 296:344] = np.random.default_rng(0).uniform(-1, 1, (48, 64, 3))
    maps = [extractor.body(tf.constant(np.roll(image, shift, axis=1))).numpy() for shift in (0, 16)]
    assert maps[0][:, 20].std() > 0
    np.testing.assert_allclose(maps[1][:, 10:30], maps[0][:, 9:29], atol=1e-5 * maps[0].max())


def test_two_stage_batch_norm_is_frozen_unless_the_config_trains_it() -> None:
    for train in (False, True):
        extractor = _thin(train_batch_norm=train)
        images = tf.random.stateless_uniform([2, 96, 96, 3], [1, 2], -1, 1)
        extractor.tail(extractor.body(images))
        parts = (extractor.body, extractor.tail)
        before = {v.path: v.numpy() for part in parts for v in part.non_trainable_variables}
        extractor.tail(extractor.body(images, training=True), training=True)
        moved = {
            v.path
            for part in parts
            for v in part.non_trainable_variables
            if not np.array_equal(v.numpy(), before[v.path])
        }
        assert moved == (set(before) if train else set()) and len(before) == 2 * 94
        assert (
            not extractor.body.losses and not extractor.tail.losses
        )  # fine-tuned without penalties, as by the reference


def test_two_stage_gradients_reach_every_weight() -> None:
    extractor = _thin()
    images = tf.random.stateless_uniform([2, 112, 112, 3], [1, 2], -1, 1)
    with tf.GradientTape() as tape:
        features = extractor.tail(extractor.body(images, training=True), training=True)
        loss = tf.reduce_sum(features * tf.random.stateless_normal(features.shape, [1, 2]))
    variables = [*extractor.body.trainable_variables, *extractor.tail.trainable_variables]
    gradients = tape.gradient(loss, [v.value for v in variables])
    assert [
        v.path for v, gradient in zip(variables, gradients, strict=True) if gradient is None or not np.any(gradient)
    ] == []


def test_unsupported_strides_are_refused() -> None:
    with pytest.raises(ValueError, match="first_stage_features_stride 8 .*Inception v3.*16"):
        _thin(stride=8)


def test_ssd_names_and_shapes_equal_the_reference(shared: Path) -> None:
    extractor = inception_v3.ssd(SsdExtractorOptions(FROM_CONFIG, override_base=True))
    extractor(tf.zeros([1, 107, 107, 3]))
    with open(shared / "reference/odapi_vars/ssd_inception_v3_pets.tsv") as lines:
        rows = list(csv.reader(lines, delimiter="\t"))
    expected = {name: json.loads(shape) for name, shape, _ in rows if name.startswith("FeatureExtractor/")}
    assert {v.path: list(v.shape) for v in extractor.variables} == expected
