"""MobileDet: names that tf-slim's scopes count, written out; sizes that are published; a block of each kind by hand."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf

from detection.networks import mobiledet
from detection.networks.blocks import Blocks, Chain, Residual
from detection.networks.layers import DepthwiseConv

NORM = {f"BatchNorm/{part}" for part in ("gamma", "beta", "moving_mean", "moving_variance")}
# Layers of blocks in the names of the reference's checkpoints, with the shapes of their kernels.
LAYERS = {
    "mobiledet_cpu": {
        "Conv": (3, 3, 3, 16),
        "IBNNoExpansion/SeparableConv2d": (3, 3, 16, 1),
        "IBNNoExpansion/SqueezeExcite/Conv": (1, 1, 16, 8),
        "IBNNoExpansion/SqueezeExcite/Conv_1": (1, 1, 8, 16),
        "IBNNoExpansion/Conv": (1, 1, 16, 8),
        "IBN/Conv": (1, 1, 8, 32),
        "IBN/SeparableConv2d": (3, 3, 32, 1),
        "IBN/SqueezeExcite/Conv": (1, 1, 32, 8),
        "IBN/SqueezeExcite/Conv_1": (1, 1, 8, 32),
        "IBN/Conv_1": (1, 1, 32, 16),
        "IBN_5/SeparableConv2d": (5, 5, 256, 1),
        "IBN_5/SqueezeExcite/Conv": (1, 1, 256, 64),
        "IBN_7/SeparableConv2d": (5, 5, 288, 1),
        "IBN_17/Conv_1": (1, 1, 832, 144),
    },
    "mobiledet_dsp": {
        "Conv": (3, 3, 3, 32),
        "IBNNoExpansion/SeparableConv2d": (3, 3, 32, 1),
        "IBNNoExpansion/Conv": (1, 1, 32, 24),
        "FusedConv/Conv": (3, 3, 24, 96),
        "FusedConv/Conv_1": (1, 1, 96, 32),
        "TuckerConv/Conv": (1, 1, 32, 8),
        "TuckerConv/Conv_1": (3, 3, 8, 24),
        "TuckerConv/Conv_2": (1, 1, 24, 32),
        "TuckerConv_1/Conv": (1, 1, 160, 120),
        "TuckerConv_1/Conv_1": (3, 3, 120, 120),
        "FusedConv_6/Conv": (3, 3, 120, 960),
        "FusedConv_7/Conv": (3, 3, 160, 640),
        "IBN_10/Conv_1": (1, 1, 1280, 240),
    },
    "mobiledet_edgetpu": {
        "TuckerConv/Conv": (1, 1, 32, 8),
        "TuckerConv/Conv_1": (3, 3, 8, 16),
        "TuckerConv/Conv_2": (1, 1, 16, 16),
        "FusedConv_4/Conv": (5, 5, 16, 128),
        "FusedConv_9/Conv_1": (1, 1, 288, 72),
        "IBN_2/SeparableConv2d": (5, 5, 576, 1),
        "IBN_10/Conv_1": (1, 1, 960, 384),
    },
    "mobiledet_gpu": {
        "TuckerConv_3/Conv_1": (3, 3, 8, 8),
        "FusedConv/Conv": (3, 3, 16, 128),
        "FusedConv_16/Conv_1": (1, 1, 512, 128),
        "IBN/SeparableConv2d": (3, 3, 1024, 1),
        "IBN/Conv_1": (1, 1, 1024, 384),
    },
}
COUNTS = {  # blocks of each kind
    "mobiledet_cpu": {"IBNNoExpansion": 1, "IBN": 18},
    "mobiledet_dsp": {"IBNNoExpansion": 1, "FusedConv": 8, "IBN": 11, "TuckerConv": 2},
    "mobiledet_edgetpu": {"TuckerConv": 1, "FusedConv": 10, "IBN": 11},
    "mobiledet_gpu": {"TuckerConv": 4, "FusedConv": 17, "IBN": 1},
}


class Traced(NamedTuple):
    """Builds a network symbolically, for images of 96 x 64, without computing anything."""

    scope: str
    shapes: dict[str, tuple[int, ...]]  # of its variables
    maps: dict[str, list[int]]  # block -> shape of its output


@functools.cache
def _network(name: str, multiplier: float = 1.0) -> Traced:
    version = mobiledet.VERSIONS[name]
    blocks = mobiledet.blocks(version, mobiledet.training_defaults(), mobiledet.depth_rule(multiplier))
    network = Blocks(version.scope, blocks)
    with tf.Graph().as_default():
        maps = {block: features.shape.as_list() for block, features in network(tf.zeros([1, 96, 64, 3])).items()}
    return Traced(version.scope, {v.path: tuple(v.shape) for v in network.variables}, maps)


@pytest.mark.parametrize("name", LAYERS)
def test_names_and_shapes(name: str) -> None:
    network = _network(name)
    found = network.shapes
    for layer, shape in LAYERS[name].items():
        path = f"{network.scope}/{layer}"
        assert found[f"{path}/{'depthwise_' * layer.endswith('SeparableConv2d')}weights"] == shape, layer
        beside = {each.removeprefix(f"{path}/") for each in found if each.startswith(f"{path}/")}
        expected = {"biases"} if "SqueezeExcite" in layer else NORM
        assert beside - {"weights", "depthwise_weights"} == expected, layer
    blocks = [path.split("/")[1] for path in dict.fromkeys(path.rsplit("/", 1)[0] for path in found)]
    kinds = [block.split("_")[0] for block in dict.fromkeys(blocks) if block != "Conv"]
    assert {kind: kinds.count(kind) for kind in kinds} == COUNTS[name]


@pytest.mark.parametrize(
    ("name", "depths"),
    [
        ("mobiledet_cpu", [8, 16, 32, 72, 144]),
        ("mobiledet_dsp", [24, 32, 64, 144, 240]),
        ("mobiledet_edgetpu", [16, 16, 40, 96, 384]),
        ("mobiledet_gpu", [16, 32, 64, 128, 384]),
    ],
)
def test_endpoints_are_the_last_of_their_strides(name: str, depths: list[int]) -> None:
    network, endpoints = _network(name), mobiledet.endpoints(mobiledet.VERSIONS[name])
    maps = network.maps
    assert list(endpoints) == [1, 2, 3, 4, 5]
    for (level, block), depth in zip(endpoints.items(), depths, strict=True):
        stride = 2**level
        assert maps[block] == [1, 96 // stride, 64 // stride, depth]
        same = [each for each, shape in maps.items() if shape[1] == 96 // stride]
        assert same[-1] == block


def test_depths_are_rounded_to_the_nearest_multiple_of_eight() -> None:
    """A depth of 72 at multiplier 0.25 is 18, so 16: a rule that keeps 90 % would have 24."""
    found = _network("mobiledet_cpu", 0.25).shapes
    assert found["MobileDetCPU/Conv/weights"] == (3, 3, 3, 8)
    assert found["MobileDetCPU/IBN_5/Conv_1/weights"] == (1, 1, 64, 16)
    assert found["MobileDetCPU/IBN_13/Conv_1/weights"] == (1, 1, 128, 24)


def _run(block: Chain, x: np.ndarray) -> np.ndarray:
    return block(tf.constant(x, tf.float32)).numpy()


def test_blocks_by_hand() -> None:
    """On one pixel with weights of ones a kernel of any side is one product; batch norm divides by sqrt(1 + 0.01)."""
    norm = 1 / np.sqrt(1.01)
    x = np.full([1, 1, 1, 8], 0.5)
    swish = lambda y: y * np.clip(y + 3, 0, 6) / 6  # noqa: E731
    blocks = {name: {block.name: block for block in _eager(name).blocks} for name in ("mobiledet_cpu", "mobiledet_dsp")}
    # IBN of the CPU: 8 -> 32 -> 32, each channel weighed by a sigmoid of 8 squeezed ones -> 16.
    wide = swish(0.5 * 8 * norm)
    deep = swish(wide * norm)
    weight = 1 / (1 + np.exp(-8 * swish(32 * deep)))
    got = _run(blocks["mobiledet_cpu"]["IBN"], x)
    np.testing.assert_allclose(got, np.full([1, 1, 1, 16], 32 * deep * weight * norm), rtol=1e-5)
    # A Tucker convolution of the DSP: 32 -> 8 -> 24 -> 32, and its input; ReLU6 holds the first two at 6.
    x = np.full([1, 1, 1, 32], 0.25)
    got = _run(blocks["mobiledet_dsp"]["TuckerConv"], x)
    np.testing.assert_allclose(got, np.full([1, 1, 1, 32], 24 * 6 * norm + 0.25), rtol=1e-5)
    # A fused convolution: 32 -> 128 -> 32, and its input.
    got = _run(blocks["mobiledet_dsp"]["FusedConv_1"], x)
    np.testing.assert_allclose(got, np.full([1, 1, 1, 32], 128 * 6 * norm + 0.25), rtol=1e-5)
    assert isinstance(blocks["mobiledet_dsp"]["FusedConv_1"], Residual)
    assert not isinstance(blocks["mobiledet_dsp"]["FusedConv"], Residual)


def _eager(name: str) -> Blocks:
    """The first blocks with weights of ones."""
    version = mobiledet.VERSIONS[name]
    short = mobiledet.Version(version.scope, version.stem, version.stages[:2], version.activation, version.squeeze)
    blocks = mobiledet.blocks(short, mobiledet.training_defaults(), mobiledet.depth_rule(1.0))
    network = Blocks(version.scope, blocks)
    network(tf.zeros([1, 4, 4, 3]))
    for variable in network.variables:
        if variable.path.endswith("weights"):
            variable.assign(tf.ones(variable.shape))
    return network


def test_initial_values_and_penalties() -> None:
    """He's variance for what a depthwise kernel sees, 2 / 9; every kernel is penalised, biases are not."""
    network = _eager_drawn()
    (depthwise,) = [layer for layer in network._flatten_layers() if isinstance(layer, DepthwiseConv)]
    assert abs(np.std(depthwise.kernel) - np.sqrt(2 / 9)) < 0.06 * np.sqrt(2 / 9)
    penalised = {v.path.rpartition("/")[2] for v in network.trainable_variables if v.regularizer is not None}
    assert penalised == {"weights", "depthwise_weights"}


def _eager_drawn() -> Blocks:
    """IBNNoExpansion alone, wide enough for statistics."""
    stage = mobiledet.Stage(8, 1, (mobiledet.Block("IBNNoExpansion"),))
    version = mobiledet.Version("M", 512, (stage,), squeeze=True)
    network = Blocks("M", mobiledet.blocks(version, mobiledet.training_defaults(), mobiledet.depth_rule(1.0)))
    network(tf.zeros([1, 4, 4, 3]))
    return network
