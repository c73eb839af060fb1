"""Inception v2 in SSD and in two stages: names and numbers of the reference implementation."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from detection.data.resize import KeepAspectRatioResizer
from detection.feature_extractors import inception_v2
from detection.feature_extractors.ssd_maps import SsdExtractorOptions
from detection.feature_extractors.two_stage import TwoStageExtractor, TwoStageExtractorOptions
from detection.networks import inception_v2 as network
from detection.networks.blocks import Blocks
from detection.networks.depths import depth_rule
from detection.networks.hyperparams import BatchNormSettings, Hyperparams, l2_penalty
from tests.helpers.modules import load

FROM_CONFIG = Hyperparams(
    keras.initializers.TruncatedNormal(stddev=0.1),
    l2_penalty(0.01),
    tf.nn.relu6,
    BatchNormSettings(decay=0.9, epsilon=0.001, scale=True),
)
MODEL = "faster_rcnn_inception_v2_coco"


def _rows(path: Path, *prefixes: str) -> dict[str, list[int]]:
    with open(path) as lines:
        return {
            name: json.loads(shape) for name, shape, _ in csv.reader(lines, delimiter="\t") if name.startswith(prefixes)
        }


def _thin(**options: object) -> TwoStageExtractor:
    return inception_v2.two_stage(TwoStageExtractorOptions(depth_multiplier=0.125, min_depth=8, **options))


def test_ssd_maps() -> None:
    extractor = inception_v2.ssd(SsdExtractorOptions(FROM_CONFIG, depth_multiplier=0.25))
    maps = extractor(tf.zeros([1, 300, 300, 3]))
    assert [tuple(m.shape[1:]) for m in maps] == [
        (19, 19, 144),
        (10, 10, 256),
        (5, 5, 128),
        (3, 3, 64),
        (2, 2, 64),
        (1, 1, 32),
    ]


@pytest.mark.parametrize("override", [False, True])
def test_ssd_network_has_imagenet_hyperparameters_unless_overridden(override: bool) -> None:
    extractor = inception_v2.ssd(SsdExtractorOptions(FROM_CONFIG, override_base=override, depth_multiplier=0.125))
    extractor(tf.zeros([1, 64, 64, 3]))
    stem = extractor.network.blocks[0]
    assert stem.hyperparams.activation is (tf.nn.relu6 if override else tf.nn.relu)
    assert stem.batch_norm.settings.decay == (0.9 if override else 0.9997)
    assert (stem.batch_norm.gamma is not None) == override
    assert all(layer.batch_norm.gamma is not None for layer in extractor.extra.blocks)


def test_two_stage_sizes() -> None:
    extractor = _thin()
    features = extractor.body(tf.zeros([1, 97, 128, 3]))
    assert tuple(features.shape) == (1, 7, 8, 72) and extractor.stride == 16 and extractor.crop_size is None
    for crop, size in ((7, 4), (14, 7)):
        assert tuple(extractor.tail(tf.zeros([2, crop, crop, 72])).shape) == (2, size, size, 128)


def test_two_stages_are_the_network() -> None:
    """The tail on the whole map (R-FCN) after the body, against the uncut network with the same weights."""
    extractor = _thin(whole_map=True)
    images = tf.random.stateless_uniform([2, 97, 128, 3], [1, 2], -1, 1)
    extractor.tail(extractor.body(images))
    hyper = extractor.body.network.blocks[0].hyperparams
    whole = Blocks(network.SCOPE, network.blocks(hyper, depth_rule(0.125, 8)))
    whole(images)
    random = np.random.default_rng(0)
    values = {}
    for variable in (*extractor.body.variables, *extractor.tail.variables):
        variable.assign(
            random.uniform(0.5, 1, variable.shape)
            if "BatchNorm" in variable.path
            else random.normal(size=variable.shape) * 0.1
        )
        values[variable.path.partition("/")[2]] = variable.numpy()
    for variable in whole.variables:
        variable.assign(values[variable.path])
    expected = whole(images, endpoints=("Mixed_5c",))["Mixed_5c"].numpy()
    assert expected.std() > 0
    np.testing.assert_allclose(extractor.tail(extractor.body(images)).numpy(), expected, atol=1e-6 * expected.max())


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
        assert moved == (set(before) if train else set()) and len(before) == 2 * 69
        assert (
            not extractor.body.losses and not extractor.tail.losses
        )  # fine-tuned without penalties, as by the reference


def test_two_stage_gradients_reach_every_weight() -> None:
    extractor = _thin()
    images = tf.random.stateless_uniform([2, 96, 96, 3], [1, 2], -1, 1)
    with tf.GradientTape() as tape:
        features = extractor.tail(extractor.body(images, training=True), training=True)
        loss = tf.reduce_sum(features * tf.random.stateless_normal(features.shape, [1, 2]))
    variables = [*extractor.body.trainable_variables, *extractor.tail.trainable_variables]
    gradients = tape.gradient(loss, [v.value for v in variables])
    assert [
        v.path for v, gradient in zip(variables, gradients, strict=True) if gradient is None or not np.any(gradient)
    ] == []


def test_unsupported_strides_are_refused() -> None:
    with pytest.raises(ValueError, match="first_stage_features_stride 8 .*Inception v2.*16"):
        _thin(stride=8)


def test_ssd_names_and_shapes_equal_the_reference(shared: Path) -> None:
    extractor = inception_v2.ssd(SsdExtractorOptions(FROM_CONFIG, override_base=True))
    extractor(tf.zeros([1, 64, 64, 3]))
    expected = _rows(shared / "reference/odapi_vars/ssd_inception_v2_coco.tsv", "FeatureExtractor/")
    assert {v.path: list(v.shape) for v in extractor.variables} == expected


def _full_width() -> TwoStageExtractor:
    extractor = inception_v2.two_stage(TwoStageExtractorOptions())
    extractor.tail(extractor.body(tf.zeros([1, 64, 64, 3])))
    return extractor


def test_two_stage_names_and_shapes_equal_the_reference(shared: Path) -> None:
    extractor = _full_width()
    expected = _rows(
        shared / f"reference/odapi_vars/{MODEL}.tsv", "FirstStageFeatureExtractor/", "SecondStageFeatureExtractor/"
    )
    assert {v.path: list(v.shape) for v in (*extractor.body.variables, *extractor.tail.variables)} == expected


@pytest.mark.slow
@pytest.mark.parametrize("case", ["a", "b"])
def test_features_equal_the_reference(shared: Path, case: str) -> None:
    """The map that proposals are made on, and the features of every twentieth stored proposal, with tolerances of the
    data's own."""
    folder = shared / "parity"
    entry = json.loads((folder / "manifest.json").read_text())["models"][MODEL]["cases"][case]
    rules, compare = load(folder / "deterministic.py"), load(folder / "compare.py")
    stored = np.load(folder / entry["file"])
    extractor = _full_width()
    for variable in (*extractor.body.variables, *extractor.tail.variables):
        variable.assign(rules.weight(variable.path, variable.shape))
    images = np.stack([rules.image(seed, entry["height"], entry["width"]) for seed in entry["seeds"]])
    batch = KeepAspectRatioResizer(min_dimension=600, max_dimension=1024).batch(tf.constant(images))
    features = extractor.body(extractor.scale(batch.images))
    boxes = stored["proposal_boxes_normalized"][0, ::20]
    crops = tf.image.crop_and_resize(features, boxes, np.zeros(len(boxes), "i4"), [14, 14])
    regions = extractor.tail(tf.nn.max_pool2d(crops, 2, 2, "SAME"))
    outputs = {
        "rpn_features_to_crop_sample": features[:, ::5, ::5, ::32],
        "box_classifier_features_sample": regions[..., ::64],
    }
    rows = compare.compare(stored, entry, outputs)
    assert [name for name, *_ in rows][:2] == list(outputs)
    assert [row for row in rows if not row[3]] == []
