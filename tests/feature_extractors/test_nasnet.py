"""NASNet and PNASNet as two-stage extractors, thin: the contract that test_contract.py has for all others."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from detection.checkpoints import restore
from detection.checkpoints.checkpoint_files import Entry
from detection.checkpoints.restore import FineTune
from detection.feature_extractors.catalogue import TWO_STAGE_EXTRACTORS
from detection.feature_extractors.two_stage import TwoStageExtractor, TwoStageExtractorOptions

WIDTHS = {"faster_rcnn_nas": (6, 12), "faster_rcnn_pnas": (5, 8)}  # maps that a cell joins; its number behind the cut


def _made(type_: str) -> tuple[TwoStageExtractor, tf.Tensor, tf.Tensor]:
    """An extractor, its map of two images of 64 x 80, and its features of three crops."""
    options = TwoStageExtractorOptions(depth_multiplier=0.03, min_depth=4, train_batch_norm=True)
    extractor = TWO_STAGE_EXTRACTORS[type_](options)
    features = extractor.body(tf.random.stateless_uniform([2, 64, 80, 3], [1, 2], -1, 1))
    return extractor, features, extractor.tail(tf.random.stateless_normal([3, 7, 7, features.shape[-1]], [1, 3]))


@pytest.mark.slow  # thousands of operations, one by one
@pytest.mark.parametrize("type_", list(WIDTHS))
def test_names_sizes_gradients_and_starting_from_a_classifier(type_: str) -> None:
    extractor, features, tail = _made(type_)
    joined, number = WIDTHS[type_]
    filters = features.shape[-1] // joined // 2
    assert features.shape == (2, 4, 5, 2 * joined * filters) and tail.shape[:3] == (3, 4, 4)
    # Each cell's channels are rounded by themselves: twice as many behind the cut, to one a joined map and half.
    assert tail.shape[-1] % joined == 0 and abs(tail.shape[-1] // joined - 2 * filters) <= 2
    assert tail.numpy().min() == 0 and np.isfinite(tail).all()
    paths = [variable.path for part in (extractor.body, extractor.tail) for variable in part.variables]
    assert len(paths) == len(set(paths))
    scopes = {path.rpartition("/")[0] for path in paths}
    # The first cell that joins maps of two sizes: PNASNet halves within a cell, NASNet in one of its own before it.
    joining = number + (type_ == "faster_rcnn_pnas")
    assert {"FirstStageFeatureExtractor/conv0_bn", f"SecondStageFeatureExtractor/cell_{joining}/path1_conv"} <= scopes
    assert f"FirstStageFeatureExtractor/cell_{number - 1}/1x1" in scopes
    shapes = {
        variable.path: tuple(v.shape)
        for part in (extractor.body, extractor.tail)
        for v in part.variables
        for variable in (v,)
    }
    found = {
        f"{path.partition('/')[2]}/ExponentialMovingAverage": Entry(shape, tf.float32) for path, shape in shapes.items()
    }
    found["final_layer/FC/weights/ExponentialMovingAverage"] = Entry((4032, 1001), tf.float32)
    matched = restore.match(shapes, found, FineTune("x", "classification"))
    assert set(matched.report.restored) == set(shapes) and len(matched.report.unexpected) == 1
    images = tf.random.stateless_uniform([2, 64, 80, 3], [1, 2], -1, 1)
    with tf.GradientTape() as tape:
        maps = extractor.body(images, training=True)
        out = extractor.tail(maps, training=True)
        pulls = [tf.reduce_sum(y * tf.random.stateless_normal(y.shape, [n, 7])) for n, y in enumerate((maps, out))]
        loss = tf.add_n(pulls)
    trained = [*extractor.body.trainable_variables, *extractor.tail.trainable_variables]
    gradients = tape.gradient(loss, [variable.value for variable in trained])
    still = [v.path for v, g in zip(trained, gradients, strict=True) if g is None or not np.abs(g).max() > 0]
    assert not still
    assert extractor.body(tf.zeros([1, 1, 20, 3])).shape[1:3] == (1, 2)  # an image that is less than the first kernel


@pytest.mark.parametrize("type_", list(WIDTHS))
def test_stride_16_alone(type_: str) -> None:
    with pytest.raises(ValueError, match="first_stage_features_stride 8 is not one that NASNet can have; use 16"):
        TWO_STAGE_EXTRACTORS[type_](TwoStageExtractorOptions(stride=8))
