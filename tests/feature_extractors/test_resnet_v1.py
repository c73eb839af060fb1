"""ResNet v1 as SSD and the two-stage detectors use it: maps, names, the block that is only carried, and the reference's
own features."""

from __future__ import annotations

import csv
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from detection import config
from detection.builders import image_resizer
from detection.feature_extractors import resnet_v1
from detection.feature_extractors.ssd_maps import SsdExtractorOptions, SsdFeatureExtractor
from detection.feature_extractors.two_stage import TwoStageExtractor, TwoStageExtractorOptions
from detection.networks import resnet_v1 as network
from detection.networks.blocks import Blocks
from detection.networks.hyperparams import BatchNormSettings, Hyperparams
from tests.helpers.modules import load

HYPER = Hyperparams(keras.initializers.TruncatedNormal(stddev=0.1), batch_norm=BatchNormSettings(scale=True))


def _two_stage(
    size: tuple[int, int] = (64, 80), layers: int = 50, multiplier: float = 0.125, **options: object
) -> tuple[TwoStageExtractor, tf.Tensor]:
    """An extractor whose variables exist, and its map of a random image."""
    extractor = resnet_v1.two_stage(
        TwoStageExtractorOptions(depth_multiplier=multiplier, min_depth=8, **options), layers
    )
    features = extractor.body(_images(size))
    extractor.tail(features)
    return extractor, features


def _images(size: tuple[int, int], count: int = 1) -> tf.Tensor:
    return tf.random.stateless_uniform([count, *size, 3], [1, 2], -100, 150)


def _shapes(*parts: keras.layers.Layer) -> dict[str, list[int]]:
    return {variable.path: list(variable.shape) for part in parts for variable in part.variables}


def _ssd(
    size: tuple[int, int], layers: int = 50, **options: object
) -> tuple[SsdFeatureExtractor, tuple[tf.Tensor, ...]]:
    extractor = resnet_v1.ssd(SsdExtractorOptions(HYPER, **options), layers)
    return extractor, extractor(_images(size))


def test_six_maps_of_a_300_pixel_image() -> None:
    extractor, maps = _ssd((300, 300), depth_multiplier=0.25)
    assert [tuple(m.shape[1:]) for m in maps] == [
        (19, 19, 256),
        (10, 10, 512),
        (5, 5, 128),
        (3, 3, 64),
        (2, 2, 64),
        (1, 1, 32),
    ]
    paths = set(_shapes(extractor))
    assert "FeatureExtractor/resnet_v1_50/block4_1_Conv2d_2_1x1_64/weights" in paths
    assert "FeatureExtractor/resnet_v1_50/block4_2_Conv2d_5_3x3_s2_32/BatchNorm/moving_mean" in paths


def test_full_depths() -> None:
    _, maps = _ssd((64, 64))
    assert [m.shape[-1] for m in maps] == [1024, 2048, 512, 256, 256, 128]


@pytest.mark.parametrize("size", [(64, 96), (77, 65)])
def test_ssd_does_not_change_the_network(size: tuple[int, int]) -> None:
    """The lower map is what the two-stage detectors see at stride 16, the upper one is the network's own end."""
    extractor, maps = _ssd(size, depth_multiplier=0.25)
    blocks = (
        network.blocks(network.training_defaults(), lambda depth: depth // 4, network.UNITS[50], stride)
        for stride in (16, None)
    )
    dense, plain = (Blocks("resnet_v1_50", layers) for layers in blocks)
    for part, block, expected in ((dense, "block3", maps[0]), (plain, "block4", maps[1])):
        part(_images(size))
        weights = {
            variable.path.removeprefix("FeatureExtractor/"): variable.numpy() for variable in extractor.variables
        }
        for variable in part.variables:
            variable.assign(weights[variable.path])
        ours = part(_images(size), endpoints=(block,))[block].numpy()
        # The same sums, where strided by another kernel.
        np.testing.assert_allclose(ours, expected, atol=1e-5 * np.abs(ours).max())


def test_ssd_gradients_reach_every_weight() -> None:
    extractor, _ = _ssd((192, 192), depth_multiplier=0.125, min_depth=8)
    with tf.GradientTape() as tape:
        maps = extractor(_images((192, 192), count=3), training=True)
        loss = tf.add_n(
            [tf.reduce_sum(tf.sin(m) * tf.random.stateless_normal(m.shape, [n, 7])) for n, m in enumerate(maps)]
        )
    variables = extractor.trainable_variables
    gradients = tape.gradient(loss, [variable.value for variable in variables])
    assert [
        v.path for v, gradient in zip(variables, gradients, strict=True) if gradient is None or not np.any(gradient)
    ] == []


@pytest.mark.parametrize(("stride", "shape"), [(16, (4, 5)), (8, (8, 10))])
def test_body_and_tail(stride: int, shape: tuple[int, int]) -> None:
    extractor, features = _two_stage(stride=stride, multiplier=0.25)
    assert tuple(features.shape[1:]) == (*shape, 256) and extractor.stride == stride
    assert extractor.tail(tf.zeros([6, 7, 7, 256])).shape == (6, 7, 7, 512)
    assert extractor.tail(features).shape == (1, *shape, 512)  # as R-FCN runs it
    pixels = tf.constant([[[[123.68, 116.779, 103.939]]]])
    np.testing.assert_allclose(extractor.scale(pixels), np.zeros((1, 1, 1, 3)), atol=1e-5)


def test_the_tail_does_not_dilate() -> None:
    """Also where the body's block3 does: one lit cell is seen three cells away, one for each unit."""
    extractor, features = _two_stage(stride=8)
    for variable in extractor.tail.trainable_variables:
        if variable.path.endswith("/weights"):
            variable.assign(tf.abs(variable))
    dark = np.zeros((1, 13, 13, features.shape[-1]), "f4")
    lit = dark.copy()
    lit[0, 6, 6] = 1
    seen = np.argwhere(np.any(extractor.tail(lit).numpy() != extractor.tail(dark).numpy(), axis=(0, 3)))
    assert (seen.min(), seen.max()) == (3, 9)


@pytest.mark.parametrize("stride", [8, 16])
def test_the_unused_block_is_created_but_never_runs(stride: int) -> None:
    extractor, _ = _two_stage(stride=stride)
    names = {
        path.removeprefix("FirstStageFeatureExtractor/resnet_v1_50/"): shape
        for path, shape in _shapes(extractor.body).items()
    }
    tail = {
        path.removeprefix("SecondStageFeatureExtractor/resnet_v1_50/"): shape
        for path, shape in _shapes(extractor.tail).items()
    }
    assert {path: shape for path, shape in names.items() if path.startswith("block4/")} == tail
    assert (
        len([path for path in tail if "/moving_" not in path]) == 30
    )  # with weights or gamma or beta of ten convolutions
    assert [variable.path for variable in extractor.body.trainable_variables if "/block4/" in variable.path] == []
    before = extractor.body(_images((64, 64)))
    for variable in extractor.body.carried.variables:
        variable.assign(tf.fill(variable.shape, np.nan))
    np.testing.assert_array_equal(extractor.body(_images((64, 64))), before)
    traced = tf.function(lambda x: extractor.body(x)).get_concrete_function(tf.TensorSpec([1, 64, 64, 3]))
    assert len([op for op in traced.graph.get_operations() if op.type == "Conv2D"]) == 1 + 3 * (3 + 4 + 6) + 3


@pytest.mark.parametrize("stride", [8, 16])
def test_gradients_reach_every_trained_weight_of_body_and_tail(stride: int) -> None:
    extractor, _ = _two_stage(stride=stride)
    with tf.GradientTape() as tape:
        features = extractor.tail(extractor.body(_images((64, 64), count=2), training=True), training=True)
        loss = tf.reduce_sum(tf.sin(features) * tf.random.stateless_normal(features.shape, [1, 7]))
    variables = [*extractor.body.trainable_variables, *extractor.tail.trainable_variables]
    gradients = tape.gradient(loss, [variable.value for variable in variables])
    assert len(variables) == 3 * (1 + 3 * 16 + 4)
    assert [
        v.path for v, gradient in zip(variables, gradients, strict=True) if gradient is None or not np.any(gradient)
    ] == []


@pytest.mark.parametrize("train", [False, True])
def test_batch_norm_is_frozen_unless_the_config_trains_it(train: bool) -> None:
    extractor, features = _two_stage(train_batch_norm=train)
    moving = [
        v for part in (extractor.body, extractor.tail) for v in part.non_trainable_variables if "/moving_" in v.path
    ]
    running = [v for v in moving if "First" not in v.path or "/block4/" not in v.path]
    before = {v.path: v.numpy() for v in moving}
    extractor.tail(extractor.body(_images((64, 64)), training=True), training=True)
    moved = {v.path for v in moving if not np.array_equal(v, before[v.path])}
    assert moved == ({v.path for v in running} if train else set())


def test_no_regularisation_unless_the_config_has_it() -> None:
    plain, _ = _two_stage()
    assert plain.body.losses == [] and plain.tail.losses == []
    chosen, _ = _two_stage(hyperparams=network.training_defaults())
    assert len(chosen.body.losses) == 1 + 3 * 13 + 3 and len(chosen.tail.losses) == 10


@pytest.mark.parametrize("stride", [4, 32])
def test_unsupported_strides_are_refused(stride: int) -> None:
    with pytest.raises(ValueError, match=f"first_stage_features_stride {stride} .* ResNet v1 101 .* 8 or 16"):
        _two_stage(stride=stride, layers=101)


@pytest.fixture(scope="module")
def resnet_101() -> TwoStageExtractor:
    """Of full depth: what the reference's own checkpoints hold."""
    return _two_stage(layers=101, multiplier=1.0)[0]


@pytest.mark.parametrize("model", ["faster_rcnn_resnet101_coco", "rfcn_resnet101_coco"])
def test_names_and_shapes_equal_the_reference(shared, resnet_101: TwoStageExtractor, model: str) -> None:
    with open(shared / f"reference/odapi_vars/{model}.tsv") as lines:
        expected = {
            name: json.loads(shape)
            for name, shape, _ in csv.reader(lines, delimiter="\t")
            if "StageFeatureExtractor/" in name
        }
    assert _shapes(resnet_101.body, resnet_101.tail) == expected


@pytest.mark.slow
def test_features_equal_the_reference(shared, resnet_101: TwoStageExtractor) -> None:
    """Body and tail on the whole map against the stored features of R-FCN; tolerances are the data's own."""
    folder = shared / "parity"
    entry = json.loads((folder / "manifest.json").read_text())["models"]["rfcn_resnet101_coco"]
    rules = load(folder / "deterministic.py")
    for variable in (*resnet_101.body.variables, *resnet_101.tail.variables):
        variable.assign(rules.weight(variable.path, tuple(variable.shape)))
    resizer = image_resizer.build(config.load(shared / entry["config"]).model.faster_rcnn.image_resizer)
    for case in entry["cases"].values():
        images = np.stack([rules.image(seed, case["height"], case["width"]) for seed in case["seeds"]])
        features = resnet_101.body(resnet_101.scale(resizer.batch(tf.constant(images)).images))
        ours = {
            "rpn_features_to_crop_sample": features[:, ::5, ::5, ::32],
            "box_classifier_features_sample": resnet_101.tail(features)[:, ::5, ::5, ::64],
        }
        reference = np.load(folder / case["file"])
        for key, values in ours.items():
            np.testing.assert_allclose(
                values, reference[key], rtol=1e-4, atol=case["keys"][key]["fair_atol"], err_msg=key
            )
