"""SSD's pyramid: names, sizes, depths, padding."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from detection.feature_extractors import mobilenet_v1
from detection.feature_extractors.ssd_maps import SsdExtractorOptions
from detection.networks.hyperparams import BatchNormSettings, Hyperparams

HYPER = Hyperparams(
    keras.initializers.TruncatedNormal(stddev=0.1), activation=tf.nn.relu6, batch_norm=BatchNormSettings(scale=True)
)


def _maps(size: tuple[int, int] = (300, 300), **options: object):
    extractor = mobilenet_v1.ssd(SsdExtractorOptions(HYPER, **options))
    return extractor, extractor(tf.zeros([1, *size, 3]))


def test_six_maps_of_a_300_pixel_image() -> None:
    extractor, maps = _maps(depth_multiplier=0.5)
    assert [tuple(m.shape[1:]) for m in maps] == [
        (19, 19, 256),
        (10, 10, 512),
        (5, 5, 256),
        (3, 3, 128),
        (2, 2, 128),
        (1, 1, 64),
    ]
    paths = {v.path for v in extractor.variables}
    assert "FeatureExtractor/MobilenetV1/Conv2d_13_pointwise_1_Conv2d_2_1x1_128/weights" in paths
    assert "FeatureExtractor/MobilenetV1/Conv2d_13_pointwise_2_Conv2d_5_3x3_s2_64/BatchNorm/moving_mean" in paths


@pytest.mark.parametrize(
    ("count", "shapes"), [(1, [(19, 19)]), (2, [(19, 19), (10, 10)]), (3, [(19, 19), (10, 10), (5, 5)])]
)
def test_fewer_maps(count: int, shapes: list[tuple[int, int]]) -> None:
    _, maps = _maps(num_maps=count, depth_multiplier=0.25)
    assert [tuple(m.shape[1:3]) for m in maps] == shapes


def test_min_depth_bounds_every_layer() -> None:
    extractor, _ = _maps(depth_multiplier=0.01, min_depth=12)
    assert {v.shape[-1] for v in extractor.variables if v.path.endswith("/weights")} == {12}


def test_depthwise_extra_layers() -> None:
    extractor, maps = _maps(depth_multiplier=0.25, depthwise=True)
    shapes = {v.path.split("Conv2d_13_pointwise_")[-1]: tuple(v.shape) for v in extractor.variables}
    assert shapes["2_Conv2d_2_3x3_s2_128_depthwise/depthwise_weights"] == (3, 3, 64, 1)
    assert shapes["2_Conv2d_2_3x3_s2_128/weights"] == (1, 1, 64, 128)
    assert tuple(maps[2].shape[1:]) == (5, 5, 128)


def test_explicit_padding_is_symmetric() -> None:
    """On an even side SAME pads nothing before the first pixel; explicit padding pads one, so the stem's first row sees
    one pixel row less."""
    same, _ = _maps((64, 64), depth_multiplier=0.25)
    explicit, maps = _maps((64, 64), depth_multiplier=0.25, explicit_padding=True)
    for ours, theirs in zip(explicit.variables, same.variables, strict=True):
        ours.assign(theirs)
    image = np.zeros((1, 64, 64, 3), "f4")
    image[0, 0] = 1  # only the first row is lit
    stem = [e.network(tf.constant(image), endpoints=("Conv2d_0",))["Conv2d_0"].numpy() for e in (same, explicit)]
    kernel = same.network.blocks[0].kernel.numpy()
    norm = 1 / np.sqrt(1.001)
    np.testing.assert_allclose(stem[0][0, 0, 5], np.clip(kernel[0].sum((0, 1)) * norm, 0, 6), atol=1e-5)
    np.testing.assert_allclose(stem[1][0, 0, 5], np.clip(kernel[1].sum((0, 1)) * norm, 0, 6), atol=1e-5)
    assert [tuple(m.shape[1:3]) for m in maps][:2] == [(4, 4), (2, 2)]


def test_pad_to_multiple_is_zeros_at_the_bottom_and_right() -> None:
    padded, maps = _maps((50, 70), depth_multiplier=0.25, pad_to_multiple=32)
    plain = mobilenet_v1.ssd(SsdExtractorOptions(HYPER, depth_multiplier=0.25))
    image = tf.random.stateless_uniform([1, 50, 70, 3], [1, 2], -1, 1)
    expected = plain(tf.pad(image, [[0, 0], [0, 14], [0, 26], [0, 0]]))
    for ours, theirs in zip(padded.variables, plain.variables, strict=True):
        ours.assign(theirs)
    for ours, theirs in zip(padded(image), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_base_hyperparams() -> None:
    """Without override the network keeps its own; frozen batch norm moves no statistics anywhere."""
    own, _ = _maps((64, 64), depth_multiplier=0.25)
    assert (
        own.network.blocks[0].hyperparams.regularizer is not None
        and own.extra.blocks[0].hyperparams.regularizer is None
    )
    overridden, _ = _maps((64, 64), depth_multiplier=0.25, override_base=True)
    assert overridden.network.blocks[0].hyperparams.regularizer is None
    extractor = mobilenet_v1.ssd(SsdExtractorOptions(HYPER.frozen(), depth_multiplier=0.25, freeze_batch_norm=True))
    extractor(tf.ones([1, 64, 64, 3]))
    before = [v.numpy() for v in extractor.non_trainable_variables]
    extractor(tf.ones([1, 64, 64, 3]), training=True)
    for old, new in zip(before, extractor.non_trainable_variables, strict=True):
        np.testing.assert_array_equal(old, new)
