"""MnasFPN: names of the reference's checkpoints, the published size, and a block by hand."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from detection.feature_extractors import catalogue
from detection.feature_extractors.pyramids.extractor import PyramidExtractor
from detection.feature_extractors.pyramids.mnasfpn import CELL, Block, HeInitializer, Plan
from detection.feature_extractors.ssd_maps import FpnOptions, SsdExtractorOptions
from detection.networks.depths import full_depth
from detection.networks.hyperparams import BatchNormSettings, Hyperparams
from detection.networks.layers import Convolution, every_layer

HYPER = Hyperparams(keras.initializers.Ones(), activation=tf.nn.relu, batch_norm=BatchNormSettings(decay=0.5))
NORM = BatchNormSettings(decay=0.99, epsilon=0.01, center=True, scale=True)


@pytest.fixture(scope="module")
def whole() -> tuple[PyramidExtractor, list[list[int]]]:
    """The published extractor, with its variables but without values, and the shapes of its maps of 320 x 320."""
    options = SsdExtractorOptions(HYPER, override_base=True, fpn=FpnOptions(3, 6, 48))
    extractor = catalogue.SSD_EXTRACTORS["ssd_mobilenet_v2_mnasfpn"](options)
    with tf.Graph().as_default():
        maps = extractor(tf.zeros([1, 320, 320, 3]))
    return extractor, [each.shape[1:].as_list() for each in maps]


def test_maps_names_and_hyperparameters(whole: tuple[PyramidExtractor, list[list[int]]]) -> None:
    extractor, shapes = whole
    assert shapes == [[40, 40, 48], [20, 20, 48], [10, 10, 48], [5, 5, 48]]
    found = {variable.path.removeprefix("FeatureExtractor/"): tuple(variable.shape) for variable in extractor.variables}
    assert found["MobilenetV2/expanded_conv_16/project/weights"] == (1, 1, 960, 320)
    assert not any(path.startswith("MobilenetV2/Conv_1/") for path in found)
    assert found["MnasFPN/C6_Conv1x1/weights"] == (1, 1, 320, 48)
    assert found["MnasFPN/cell_0/block_0/input_0/Conv1x1/weights"] == (1, 1, 96, 256)
    assert found["MnasFPN/cell_0/block_0/input_1/Conv1x1/weights"] == (1, 1, 320, 256)
    assert found["MnasFPN/cell_0/block_0/SepConv/depthwise_weights"] == (3, 3, 256, 1)
    assert found["MnasFPN/cell_0/block_0/SepConv/pointwise_weights"] == (1, 1, 256, 48)
    assert found["MnasFPN/cell_3/block_3/SepConv/depthwise_weights"] == (5, 5, 128, 1)
    assert found["MnasFPN/cell_3/block_4/input_1/Conv1x1/BatchNorm/moving_mean"] == (96,)
    layers = [layer for layer in every_layer(extractor) if isinstance(layer, Convolution)]
    assert {layer.hyperparams.batch_norm for layer in layers} == {NORM}
    assert [layer.name for layer in layers if layer.hyperparams.regularizer is None] == ["C6_Conv1x1"]


def test_size_as_published(whole: tuple[PyramidExtractor, list[list[int]]]) -> None:
    """2.5 million parameters, says the reference's config: with the shared predictor of 90 classes and 9 anchors, four
    separable layers of 64 channels and a batch norm a level."""
    extractor, _ = whole
    count = sum(int(np.prod(variable.shape)) for variable in extractor.trainable_variables)
    tower = 9 * 48 + 48 * 64 + 3 * (9 * 64 + 64 * 64) + 4 * 4 * 2 * 64
    heads = sum(9 * 64 + 64 * outputs + outputs for outputs in (9 * 4, 9 * 91))
    assert round((count + tower + heads) / 1e6, 1) == 2.5


def test_a_block_by_hand() -> None:
    """One map of a finer level, pooled over 3x3 pixels, and one of a coarser one, each pixel four times; ReLU6 cuts."""
    hyper = Hyperparams(keras.initializers.Ones(), activation=None)
    block = Block("block", Plan((0, 1), 4, 3, 1), (-1, 1), full_depth, hyper)
    fine = np.arange(16, dtype="f4").reshape(1, 4, 4, 1) / 4
    coarse = np.float32([[[[-3.0]]]])
    block((tf.constant(fine), tf.constant(coarse)), like=tf.zeros([1, 2, 2, 1]))
    kernel = np.zeros([3, 3, 1, 1], "f4")
    kernel[1, 1] = 2  # passes the middle
    block.convolution.depthwise_kernel.assign(kernel)
    block.convolution.kernel.assign(tf.ones([1, 1, 1, 48]))
    got = block((tf.constant(fine), tf.constant(coarse)), like=tf.zeros([1, 2, 2, 1]))
    pooled = np.float32([[10, 11], [14, 15]]) / 4  # windows from rows 0 to 2 and 2 to 3
    expected = 2 * np.clip(pooled - 3, 0, 6)
    assert got.shape == (1, 2, 2, 48)
    np.testing.assert_allclose(got[0, ..., 0], expected)


def test_cells_add_their_input_where_depths_agree() -> None:
    """From the second cell on, all four; with other weights of zero the maps pass through."""
    options = SsdExtractorOptions(HYPER, depth_multiplier=0.25, min_depth=8)
    extractor = catalogue.SSD_EXTRACTORS["ssd_mobilenet_v2_mnasfpn"](options)
    cell = extractor.pyramid.cells[1]
    maps = tuple(tf.random.stateless_normal([1, side, side, 16], [1, 2]) for side in (13, 7, 4, 2))
    cell(maps)
    for variable in cell.trainable_variables:
        variable.assign(tf.zeros(variable.shape))
    for x, y in zip(maps, cell(maps), strict=True):
        np.testing.assert_array_equal(x, y)
    assert [plan.level for plan in CELL[-4:]] == [3, 4, 5, 6]


def test_initial_values() -> None:
    """Two over the number of values that an output is a sum of: 9 of a depthwise kernel, c of a pointwise one."""
    keras.utils.set_random_seed(1)
    depthwise, pointwise = HeInitializer()((3, 3, 512, 1)), HeInitializer()((1, 1, 128, 64))
    assert abs(np.std(depthwise) - np.sqrt(2 / 9)) < 0.03 and abs(np.std(pointwise) - np.sqrt(2 / 128)) < 0.01
