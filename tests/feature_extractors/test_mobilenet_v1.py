"""MobileNet v1 as a two-stage extractor: where it is cut, its strides, its tail on crops and on whole maps. (SSD:
test_ssd_maps.py)"""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from detection.feature_extractors import mobilenet_v1
from detection.feature_extractors.two_stage import TwoStageExtractor, TwoStageExtractorOptions


def _two_stage(**options: object) -> TwoStageExtractor:
    return mobilenet_v1.two_stage(TwoStageExtractorOptions(**{"depth_multiplier": 0.25, "min_depth": 8, **options}))


@pytest.mark.parametrize(("stride", "sizes"), [(16, [4, 7]), (8, [8, 13])])
def test_body_and_tail(stride: int, sizes: list[int]) -> None:
    extractor = _two_stage(stride=stride, depth_multiplier=1.0)
    assert extractor.body(tf.zeros([1, 64, 97, 3])).shape[1:].as_list() == [*sizes, 512]
    assert extractor.tail(tf.zeros([2, 7, 7, 512])).shape.as_list() == [2, 4, 4, 1024]


def test_body_and_tail_together_are_the_network() -> None:
    extractor = _two_stage()
    extractor.tail(extractor.body(tf.zeros([1, 64, 64, 3])))
    body, tail = (
        [v.path for v in stage.weights if v.path.endswith("eights")] for stage in (extractor.body, extractor.tail)
    )
    assert body[0] == "FirstStageFeatureExtractor/MobilenetV1/Conv2d_0/weights"
    assert body[-1] == "FirstStageFeatureExtractor/MobilenetV1/Conv2d_11_pointwise/weights"
    assert tail == [
        f"SecondStageFeatureExtractor/MobilenetV1/Conv2d_{name}"
        for name in (
            "12_depthwise/depthwise_weights",
            "12_pointwise/weights",
            "13_depthwise/depthwise_weights",
            "13_pointwise/weights",
        )
    ]


def test_strided_body_is_a_subsample_of_the_dense_body() -> None:
    """At an odd side of the map of stride 8, a strided 3x3 layer is centred on every second pixel from the first on."""
    images = tf.random.stateless_uniform([1, 72, 88, 3], [1, 2], -1, 1)
    strided, dense = _two_stage(stride=16), _two_stage(stride=8)
    strided.body(images), dense.body(images)
    generator = np.random.default_rng(0)
    for ours, theirs in zip(dense.body.weights, strided.body.weights, strict=True):
        if theirs.path.endswith("eights"):
            fan_in = np.prod(theirs.shape[: 2 if "depthwise" in theirs.path else 3])
            theirs.assign(generator.normal(size=theirs.shape) * np.sqrt(2 / fan_in))
        ours.assign(theirs)
    few, many = strided.body(images).numpy(), dense.body(images).numpy()
    assert few.shape[1:3] == (5, 6) and many.shape[1:3] == (9, 11) and few.std() > 0.01
    np.testing.assert_allclose(many[:, ::2, ::2], few, atol=1e-5 * few.max())  # float32 sums in another order


@pytest.mark.parametrize("stride", [16, 8])
def test_the_tail_keeps_the_size_of_a_whole_map(stride: int) -> None:
    extractor = _two_stage(stride=stride, whole_map=True)
    features = extractor.body(tf.random.stateless_uniform([1, 80, 112, 3], [1, 2], -1, 1))
    assert extractor.tail(features).shape[1:3] == features.shape[1:3]


def test_unsupported_stride_is_refused() -> None:
    with pytest.raises(ValueError, match="first_stage_features_stride 32.*MobileNet v1.*8 or 16"):
        _two_stage(stride=32)


def test_batch_norm_and_penalties() -> None:
    """Frozen unless the config trains it, and no penalties unless the config has hyperparameters of its own."""
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
        assert not [v.path for v in extractor.body.weights if v.regularizer is not None]
