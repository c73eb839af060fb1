"""The bidirectional feature pyramid: its nodes as the paper draws them, and its numbers by hand."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from detection.feature_extractors import catalogue
from detection.feature_extractors.pyramids.bifpn import Bifpn, Combine, plan
from detection.feature_extractors.ssd_maps import BifpnOptions, SsdExtractorOptions
from detection.networks.hyperparams import BatchNormSettings, Hyperparams, l2_penalty

HYPER = Hyperparams(keras.initializers.Ones(), activation=tf.nn.relu)


def test_nodes_of_one_iteration() -> None:
    """Figure 3 (d) of the paper, with one level above the network: P3 and P4 are given, P5 is made."""
    nodes = list(plan(range(3, 5), range(3, 6), 1))
    assert [(node.name, node.inputs) for node in nodes] == [
        ("0_up_lvl_5", (1,)),  # of P4; is number 2
        ("1_dn_lvl_4", (1, 2)),  # P4, P5; 3
        ("1_dn_lvl_3", (0, 3)),  # P3, T4; 4
        ("1_up_lvl_4", (1, 3, 4)),  # P4, T4, T3; 5
        ("1_up_lvl_5", (2, 5)),  # P5, P'4; 6
    ]


def test_each_iteration_takes_the_maps_of_the_previous_one() -> None:
    nodes = list(plan(range(3, 5), range(3, 6), 2))[5:]
    assert [(node.name, node.inputs) for node in nodes] == [
        ("2_dn_lvl_4", (5, 6)),
        ("2_dn_lvl_3", (4, 7)),
        ("2_up_lvl_4", (5, 7, 8)),
        ("2_up_lvl_5", (6, 9)),
    ]


@pytest.mark.parametrize(
    ("method", "weights"),
    [
        ("sum", [1.0, 1.0, 1.0]),
        ("weighted_sum", [2.0, -1.0, 0.5]),
        ("fast_attention", [2 / 2.5001, 0.0, 0.5 / 2.5001]),
        ("attention", [1.0, 1.0, 1.0]),  # as the reference computes it
    ],
)
def test_maps_are_combined(method: str, weights: list[float]) -> None:
    layer = Combine(method)
    maps = [tf.fill([1, 1, 1, 2], value) for value in (1.0, 10.0, 100.0)]
    layer(maps)
    assert [tuple(variable.shape) for variable in layer.variables] == ([] if method == "sum" else [(3, 1)])
    for variable in layer.variables:
        np.testing.assert_array_equal(variable, [[1.0]] * 3)
        variable.assign([[2.0], [-1.0], [0.5]])
    np.testing.assert_allclose(layer(maps), np.full([1, 1, 1, 2], np.dot(weights, [1, 10, 100])), rtol=1e-6)


def _identity(pyramid: Bifpn, maps: tuple[tf.Tensor, ...]) -> None:
    """Builds it; 3x3 convolutions of one channel become the identity."""
    pyramid(maps)
    kernel = np.zeros([3, 3, 1, 1], "f4")
    kernel[1, 1] = 1
    for node in pyramid.nodes:
        if node.convolution is not None:
            node.convolution.depthwise_kernel.assign(kernel)


def test_numbers_by_hand() -> None:
    fine, coarse = np.arange(16, dtype="f4").reshape(1, 4, 4, 1), np.float32([[1, 2], [3, -400]]).reshape(1, 2, 2, 1)
    pyramid = Bifpn(range(3, 5), range(3, 6), 1, 1, HYPER, "sum")
    _identity(pyramid, (tf.constant(fine), tf.constant(coarse)))
    low, middle, top = (each.numpy()[0, ..., 0] for each in pyramid((tf.constant(fine), tf.constant(coarse))))
    down = np.float32([[1 + 3, 2 + 3], [3 + 3, 0]])  # P5 is 3; relu of -397
    np.testing.assert_array_equal(low, fine[0, ..., 0] + np.repeat(np.repeat(down, 2, 0), 2, 1))
    pooled = np.float32([[low[:3, :3].max(), low[:3, 2:].max()], [low[2:, :3].max(), low[2:, 2:].max()]])
    np.testing.assert_array_equal(middle, np.maximum(coarse[0, ..., 0] + down + pooled, 0))
    np.testing.assert_array_equal(top, [[3 + middle.max()]])


def test_maps_of_odd_size() -> None:
    maps = tf.ones([2, 5, 3, 1]), tf.ones([2, 3, 2, 1])
    pyramid = Bifpn(range(3, 5), range(3, 6), 1, 1, HYPER, "fast_attention")
    _identity(pyramid, maps)
    assert [each.shape for each in pyramid(maps)] == [(2, 5, 3, 1), (2, 3, 2, 1), (2, 2, 1, 1)]
    free = tuple(tf.TensorSpec([None, None, None, 1]) for _ in maps)
    traced = tf.function(pyramid).get_concrete_function(free)
    for got, expected in zip(traced(*maps), pyramid(maps), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_names_regularisation_and_object_keys() -> None:
    norm = BatchNormSettings(scale=True)
    hyper = dataclasses.replace(HYPER, batch_norm=norm, force_bias=True, regularizer=l2_penalty(2.0)).as_keras()
    pyramid = Bifpn(range(3, 5), range(3, 6), 1, 4, hyper, "fast_attention")
    pyramid((tf.zeros([1, 4, 4, 2]), tf.zeros([1, 2, 2, 3])))
    paths = {variable.path for variable in pyramid.trainable_variables}
    assert {
        "bifpn/0_up_lvl_5/input_0/weights",
        "bifpn/0_up_lvl_5/input_0/biases",
        "bifpn/1_dn_lvl_4/input_0/BatchNorm/gamma",
        "bifpn/1_dn_lvl_4/combine/weights",
        "bifpn/1_up_lvl_5/post_combine/depthwise_weights",
        "bifpn/1_up_lvl_5/post_combine/BatchNorm/beta",
    } <= paths
    # Ones everywhere: half the penalty is the number of weights. Projections of 3, 2 and 3 maps' channels, and 3 times.
    assert float(tf.add_n(pyramid.losses)) == 4 * (3 + 3 + 2 + 3) + 4 * (9 * 4 + 16)
    keys = pyramid.object_keys()
    assert len(keys) == len(pyramid.variables)
    stage = "_bifpn_stage"
    assert (
        keys[f"{stage}/node_input_blocks/3/0/1/1/moving_mean"].path == "bifpn/1_up_lvl_4/input_0/BatchNorm/moving_mean"
    )
    assert keys[f"{stage}/node_combine_op/3/bifpn_combine_weights"].shape == (3, 1)
    assert keys[f"{stage}/node_post_combine_block/3/1/pointwise_kernel"].shape == (1, 1, 4, 4)
    assert f"{stage}/node_post_combine_block/3/2/gamma" in keys


@pytest.mark.parametrize(
    ("type_", "given", "expected"),
    [
        ("efficientnet-b0", None, (3, 64, "fast_attention")),
        ("efficientnet-b6", None, (8, 384, "sum")),
        ("efficientnet-b6", BifpnOptions(iterations=2), (2, 384, "fast_attention")),
        ("mobilenet_v1", None, (3, 64, "fast_attention")),
        ("mobilenet_v1", BifpnOptions(depth=24, combine="sum"), (3, 24, "sum")),
    ],
)
def test_defaults_are_the_published_settings(type_: str, given: BifpnOptions | None, expected: tuple) -> None:
    options = SsdExtractorOptions(HYPER, bifpn=given)
    pyramid = catalogue.SSD_EXTRACTORS[f"ssd_{type_}_bifpn"](options).pyramid.parts[0]
    last = pyramid.nodes[-1]
    assert (int(last.name.partition("_")[0]), last.convolution.filters, last.combine.method) == expected


@pytest.mark.parametrize(("low", "high", "sides"), [(2, 4, [16, 8, 4]), (3, 7, [8, 4, 2, 1, 1]), (5, 6, [2, 1])])
def test_levels(low: int, high: int, sides: list[int]) -> None:
    given = BifpnOptions(low, high, iterations=1, depth=160)
    options = SsdExtractorOptions(HYPER, depth_multiplier=0.1, min_depth=8, bifpn=given)
    extractor = catalogue.SSD_EXTRACTORS["ssd_mobilenet_v1_bifpn"](options)
    maps = extractor(tf.zeros([1, 64, 64, 3]))
    assert [each.shape[1:] for each in maps] == [(side, side, 16) for side in sides]
    assert extractor.num_maps == len(maps)


def test_efficientdet_checkpoints_have_the_whole_classifier() -> None:
    """b1: two of its pyramid's maps are not the ends of their stacks, and its last block feeds nothing."""
    norm = BatchNormSettings(scale=True)
    options = SsdExtractorOptions(
        dataclasses.replace(HYPER, batch_norm=norm),
        depth_multiplier=0.1,
        bifpn=BifpnOptions(iterations=1, depth=16),
    )
    extractor = catalogue.SSD_EXTRACTORS["ssd_efficientnet-b1_bifpn_keras"](options)
    extractor(tf.zeros([1, 64, 64, 3]))
    assert [block.name for block in extractor.unread.blocks] == ["stack_6_block_1", "top", "top_pool", "logits"]
    keys = extractor.object_keys()
    assert len(keys) == len([each for each in extractor.variables if "seed_generator" not in each.path])
    numbers = {
        part: sorted({int(key.split("/")[1].rpartition("-")[2]) for key in keys if key.startswith(f"{part}/")})
        for part in ("_efficientnet", "classification_backbone")
    }
    read, unread = numbers.values()
    # Blocks of 8 layers with variables, the first stack's two of 6; a stem of 2, a top of 3.
    assert read == list(range(2 + 2 * 6 + 20 * 8)) and unread == list(range(len(read), len(read) + 8 + 3))
    moved = extractor.variables
    before = [variable.numpy() for variable in moved]
    extractor(tf.random.stateless_uniform([2, 64, 64, 3], [1, 2]), training=True)
    changed = {v.path for v, old in zip(moved, before, strict=True) if not np.array_equal(v.numpy(), old)}
    assert changed and not changed & {variable.path for variable in extractor.unread.weights}


def test_efficientdet_without_keras_form_has_no_unused_layers() -> None:
    extractor = catalogue.SSD_EXTRACTORS["ssd_efficientnet-b1_bifpn"](SsdExtractorOptions(HYPER, depth_multiplier=0.1))
    extractor(tf.zeros([1, 64, 64, 3]))
    assert extractor.unread is None
    assert not [each.path for each in extractor.variables if "stack_6_block_1" in each.path or "/top/" in each.path]


def test_freezing_and_hyperparameters_reach_the_network_of_an_efficientdet() -> None:
    """Unlike in the TF Object Detection API; the docs say so."""
    given = dataclasses.replace(HYPER, batch_norm=BatchNormSettings(decay=0.5))
    options = SsdExtractorOptions(given, override_base=True, freeze_batch_norm=True, bifpn=BifpnOptions(iterations=1))
    stem = catalogue.SSD_EXTRACTORS["ssd_efficientnet-b0_bifpn_keras"](options).network.blocks[0]
    assert stem.hyperparams.activation is tf.nn.relu
    assert (stem.hyperparams.batch_norm.decay, stem.hyperparams.batch_norm.train) == (0.5, False)
