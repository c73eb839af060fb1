"""The feature pyramid by hand: with 1x1 weights of 1, and 3x3 kernels that pass the middle, its maps are sums."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from detection.feature_extractors import catalogue
from detection.feature_extractors.pyramids.fpn import Fpn
from detection.feature_extractors.ssd_maps import FpnOptions, SsdExtractorOptions
from detection.networks.hyperparams import BatchNormSettings, Hyperparams, l2_penalty

HYPER = Hyperparams(keras.initializers.Ones(), activation=tf.nn.relu)


def _identity(fpn: Fpn, maps: tuple[tf.Tensor, ...]) -> None:
    """Builds it; 3x3 convolutions of one channel become the identity."""
    fpn(maps)
    for layer in (*fpn.smoothing, *fpn.coarse):
        kernel = np.zeros([3, 3, 1, 1], "f4")
        kernel[1, 1] = 1
        layer.kernel.assign(kernel)


def _maps() -> tuple[tf.Tensor, ...]:
    fine = np.arange(16, dtype="f4").reshape(1, 4, 4, 1)
    middle, top = np.float32([[1, -100], [3, 4]]).reshape(1, 2, 2, 1), np.float32([-10]).reshape(1, 1, 1, 1)
    return tf.constant(fine), tf.constant(middle), tf.constant(top)


@pytest.mark.parametrize("smoothed_down", [False, True])
def test_top_down_and_bottom_up_passes(smoothed_down: bool) -> None:
    fine, middle, top = _maps()
    fpn = Fpn(3, ("coarse_1", "coarse_2"), 1, HYPER, smoothed_down=smoothed_down)
    _identity(fpn, (fine, middle, top))
    maps = [each.numpy()[0, ..., 0] for each in fpn((fine, middle, top))]
    total = np.float32([[1 - 10, -100 - 10], [3 - 10, 4 - 10]])
    assert maps[2].tolist() == [[-10]]  # the projection itself, without activation
    np.testing.assert_array_equal(maps[1], np.maximum(total, 0))
    down = np.maximum(total, 0) if smoothed_down else total
    np.testing.assert_array_equal(
        maps[0], np.maximum(fine.numpy()[0, ..., 0] + np.repeat(np.repeat(down, 2, 0), 2, 1), 0)
    )
    assert maps[3].tolist() == [[0]] and maps[4].tolist() == [[0]]  # stride 2 of one cell, with activation


def test_upsampled_maps_are_cropped_to_odd_sizes() -> None:
    fine, coarse = tf.zeros([2, 5, 3, 1]), tf.reshape(tf.range(12.0), [2, 3, 2, 1])
    fpn = Fpn(2, (), 1, HYPER)
    _identity(fpn, (fine, coarse))
    low, _ = fpn((fine, coarse))
    np.testing.assert_array_equal(low, np.repeat(np.repeat(coarse, 2, 1), 2, 2)[:, :5, :3])
    traced = tf.function(fpn).get_concrete_function(
        (tf.TensorSpec([None, None, None, 1]), tf.TensorSpec([None, None, None, 1]))
    )
    np.testing.assert_array_equal(traced(fine, coarse)[0], low)


def test_names_and_regularisation_of_both_forms() -> None:
    norm = BatchNormSettings(scale=True)
    hyper = dataclasses.replace(HYPER, batch_norm=norm, regularizer=l2_penalty(2.0))
    maps = tf.zeros([1, 4, 4, 2]), tf.zeros([1, 2, 2, 3])
    slim, keras_form = (Fpn(2, ("up",), 4, each, depthwise=True) for each in (hyper, hyper.as_keras()))
    for fpn in (slim, keras_form):
        fpn(maps)
        assert {variable.path for variable in fpn.trainable_variables} == {
            *(f"fpn/projection_{n}/{part}" for n in (1, 2) for part in ("weights", "biases")),
            *(
                f"fpn/{layer}/{part}"
                for layer in ("smoothing_1", "up")
                for part in ("depthwise_weights", "pointwise_weights", "BatchNorm/gamma", "BatchNorm/beta")
            ),
        }
    # Ones everywhere: half the penalty is the number of weights. Slim: projections and pointwise kernels.
    assert float(tf.add_n(slim.losses)) == 2 * 4 + 3 * 4 + 2 * 16
    assert float(tf.add_n(keras_form.losses)) == 2 * 4 + 3 * 4 + 2 * 9 * 4
    keys = set(keras_form.object_keys())
    assert {
        "_fpn_features_generator/top_layers/0/kernel",
        "_fpn_features_generator/residual_blocks/0/0/bias",
        "_fpn_features_generator/conv_layers/0/0/pointwise_kernel",
        "_fpn_features_generator/conv_layers/0/1/gamma",
        "_coarse_feature_layers/0/1/moving_mean",
    } <= keys
    assert len(keys) == len(keras_form.variables)


@pytest.mark.parametrize(("low", "high", "sides"), [(2, 4, [16, 8, 4]), (3, 7, [8, 4, 2, 1, 1]), (5, 6, [2, 1])])
def test_levels(low: int, high: int, sides: list[int]) -> None:
    options = SsdExtractorOptions(HYPER, depth_multiplier=0.1, min_depth=8, fpn=FpnOptions(low, high, 160))
    extractor = catalogue.SSD_EXTRACTORS["ssd_mobilenet_v1_fpn"](options)
    maps = extractor(tf.zeros([1, 64, 64, 3]))
    assert [each.shape[1:] for each in maps] == [(side, side, 16) for side in sides]
    assert extractor.num_maps == len(maps)


def test_depthwise_pyramids_reduce_the_depth_of_the_last_layers() -> None:
    """As the models of TensorFlow 1 have it; `tf2_facts.md` of the reference data tells of the exception."""
    last = {}
    for name in ("mobilenet_v1_fpn", "mobilenet_v1_fpn_keras", "mobilenet_v2_fpn", "mobilenet_v2_fpn_keras"):
        options = SsdExtractorOptions(HYPER, depthwise=True)
        extractor = catalogue.SSD_EXTRACTORS[f"ssd_{name}"](options)
        last[name] = [layer.filters for layer in extractor.network.blocks if hasattr(layer, "filters")][-1]
    assert list(last.values()) == [256, 256, 256, 1280]
