"""MobileNet v2 against Keras's own, an independent implementation; its depths and dense maps; names and shapes of
tf-slim's checkpoint."""

from __future__ import annotations

import csv
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from detection.networks import mobilenet_v2
from detection.networks.blocks import Blocks
from detection.networks.classifier import Classifier
from detection.networks.depths import divisible, divisible_depth_rule
from detection.networks.layers import Conv, DepthwiseConv

ENDPOINTS = {  # ours -> Keras's layer
    "Conv": "Conv1_relu",
    "expanded_conv": "expanded_conv_project_BN",
    "expanded_conv_2": "block_2_add",
    "expanded_conv_6/depthwise": "block_6_depthwise_relu",
    "expanded_conv_12": "block_12_add",
    "expanded_conv_13/expand": "block_13_expand_relu",
    "expanded_conv_16": "block_16_project_BN",
    "Conv_1": "out_relu",
}


def _network(multiplier: float, **options: object) -> Blocks:
    blocks = mobilenet_v2.blocks(mobilenet_v2.training_defaults(), divisible_depth_rule(multiplier), **options)
    return Blocks(mobilenet_v2.SCOPE, blocks)


def _images(*shape: int) -> tf.Tensor:
    return tf.constant(np.random.default_rng(1).uniform(-1, 1, (*shape, 3)), tf.float32)


def _convolutions(network: Blocks) -> dict[str, Conv | DepthwiseConv]:
    """Their paths below the network."""
    found = {}
    for block in network.blocks:
        parts = getattr(block, "parts", None)
        found |= {block.name: block} if parts is None else {f"{block.name}/{part.name}": part for part in parts}
    return found


def _statistics(conv: Conv | DepthwiseConv) -> tuple[keras.Variable, ...]:
    """In Keras's order."""
    norm = conv.batch_norm
    return norm.gamma, norm.beta, norm.moving_mean, norm.moving_variance


def _randomize(network: Blocks) -> None:
    """Every number off its initial value, so that a swapped statistic shows; activations keep their size through the
    network."""
    generator = np.random.default_rng(0)
    for conv in _convolutions(network).values():
        fan_in = np.prod(conv.kernel.shape[:2]) * (1 if isinstance(conv, DepthwiseConv) else conv.kernel.shape[2])
        gain = 0.3 if conv.name == "project" else 1.5  # residuals add up
        conv.kernel.assign(generator.normal(size=conv.kernel.shape) * np.sqrt(gain / fan_in))
        for variable, (low, high) in zip(
            _statistics(conv), ((0.5, 1.5), (-0.5, 0.5), (-0.3, 0.3), (0.5, 1.5)), strict=True
        ):
            variable.assign(generator.uniform(low, high, variable.shape))


def _keras_names(path: str) -> tuple[str, str]:
    """Keras's names of a convolution and its batch norm."""
    if path in ("Conv", "Conv_1"):
        return ("Conv1", "bn_Conv1") if path == "Conv" else ("Conv_1", "Conv_1_bn")
    block, kind = path.split("/")
    stem = f"block_{block.rpartition('_')[2]}" if block != "expanded_conv" else block
    return f"{stem}_{kind}", f"{stem}_{kind}_BN"


def _copy_to_keras(network: Blocks, reference: keras.Model) -> None:
    for path, conv in _convolutions(network).items():
        kernel, norm = (reference.get_layer(name) for name in _keras_names(path))
        kernel.set_weights([conv.kernel.numpy()])
        norm.set_weights([variable.numpy() for variable in _statistics(conv)])


@pytest.mark.parametrize("multiplier", [1.0, 0.5, 1.4])
def test_features_equal_keras(multiplier: float) -> None:
    """At every kind of block and two sizes. Measured: at most 1e-6 of the largest value; another machine may sum in
    another order."""
    network = _network(multiplier, last_depth=1280 / min(multiplier, 1))
    network(_images(1, 32, 32))
    _randomize(network)
    for images in (_images(1, 224, 224), _images(2, 75, 107)):
        reference = keras.applications.MobileNetV2(images.shape[1:], alpha=multiplier, include_top=False, weights=None)
        _copy_to_keras(network, reference)
        theirs = keras.Model(reference.input, [reference.get_layer(name).output for name in ENDPOINTS.values()])
        got = network(images, endpoints=tuple(ENDPOINTS))
        for name, expected in zip(ENDPOINTS, theirs(images, training=False), strict=True):
            expected = expected.numpy()
            gap = np.abs(got[name].numpy() - expected).max() / np.abs(expected).max()
            assert gap < 5e-6, (name, gap)
            assert expected.std() > 0.01, name


def test_depths_are_multiples_of_eight_and_lose_at_most_a_tenth() -> None:
    assert [divisible(depth) for depth in (1, 8, 11, 12, 19, 20, 24 * 0.35, 32 * 0.35, 24 * 0.75)] == [
        8,
        8,
        16,
        16,
        24,
        24,
        8,
        16,
        24,
    ]
    assert [divisible(depth) for depth in (96 * 0.35, 160 * 1.4, 320 * 1.3)] == [32, 224, 416]
    assert divisible(20, minimum=32) == 32 and divisible(3, minimum=12) == 12
    for depth in np.arange(8, 400, 0.7):
        rounded = divisible(depth)
        assert rounded % 8 == 0 and 0.9 * depth <= rounded < depth + 8


def test_depths_with_a_depth_multiplier() -> None:
    """Expansion is six times the actual input channels; the multiplier applies to the last layer in detectors only."""
    network = _network(0.35)
    network(_images(1, 32, 32))
    shapes = {path: tuple(conv.kernel.shape[2:]) for path, conv in _convolutions(network).items()}
    assert shapes["Conv"] == (3, 16)
    assert shapes["expanded_conv/project"] == (16, 8)
    assert shapes["expanded_conv_1/expand"] == (8, 48) and shapes["expanded_conv_1/project"] == (48, 8)
    assert shapes["expanded_conv_13/expand"] == (32, 192) and shapes["expanded_conv_16/project"] == (336, 112)
    assert shapes["Conv_1"] == (112, 448)
    classifiers = {
        multiplier: mobilenet_v2.CLASSIFIERS["mobilenet_v2"].make(5, multiplier).network[-1].filters
        for multiplier in (0.35, 1.0, 1.4)
    }
    assert classifiers == {0.35: 1280, 1.0: 1280, 1.4: 1792}


@pytest.mark.parametrize(("padding", "rows", "columns"), [("SAME", 1, 0), ("EXPLICIT", 0, 0)])
def test_strided_maps_are_subsamples_of_dense_maps(padding: str, rows: int, columns: int) -> None:
    """A strided 3x3 layer padded SAME is centred on pixels 2i of an odd side, on 2i + 1 of an even one; explicit
    padding always centres it on 2i."""
    images = _images(1, 128, 136)  # at stride 8 a map of 16 by 17, at stride 16 one of 8 by 9
    networks = {stride: _network(0.35, padding=padding, output_stride=stride) for stride in (32, 16, 8)}
    for network in networks.values():
        network(images)
        _randomize(network)
    maps = {stride: network(images)["Conv_1"].numpy() for stride, network in networks.items()}
    assert [m.shape[1:3] for m in maps.values()] == [(4, 5), (8, 9), (16, 17)] and maps[32].std() > 0.01
    # Both compute the same sums; float32 rounds them in another order.
    np.testing.assert_allclose(maps[16][:, rows::2, columns::2], maps[32], atol=1e-5 * maps[32].max())
    np.testing.assert_allclose(maps[8][:, 3 * rows :: 4, columns::4], maps[32], atol=1e-5 * maps[32].max())


def test_folded_equals_unfolded() -> None:
    network = _network(0.35)
    images = _images(1, 64, 64)
    network(images)
    _randomize(network)
    plain = network(images)["Conv_1"].numpy()
    for conv in _convolutions(network).values():
        conv.fold = True
    folded = network(images)["Conv_1"].numpy()
    assert plain.max() > 0.1
    np.testing.assert_allclose(folded, plain, atol=1e-5 * plain.max())


@pytest.mark.parametrize("output_stride", [32, 16])
def test_gradients_reach_every_weight_and_statistics_are_updated(output_stride: int) -> None:
    network = _network(0.1, output_stride=output_stride)
    images = _images(2, 64, 64)
    network(images)
    _randomize(network)
    before = [v.numpy() for v in network.non_trainable_variables]
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(network(images, training=True)["Conv_1"] ** 2)
    gradients = tape.gradient(loss, [v.value for v in network.trainable_variables])
    norms = {v.path: float(tf.norm(g)) for v, g in zip(network.trainable_variables, gradients, strict=True)}
    assert [path for path, norm in norms.items() if not norm > 0] == []
    assert all(np.abs(v - old).max() > 0 for v, old in zip(network.non_trainable_variables, before, strict=True))


def test_a_dilated_block_compiles() -> None:
    block = mobilenet_v2.InvertedResidual("b", 8, 8, 48, mobilenet_v2.training_defaults(), rate=2)
    x = tf.random.stateless_normal([1, 9, 10, 8], [1, 2])
    plain = block(x)
    np.testing.assert_allclose(tf.function(block, jit_compile=True)(x), plain, atol=1e-5)


def test_frozen_statistics_do_not_change_in_training() -> None:
    hyperparams = mobilenet_v2.training_defaults().frozen()
    network = Blocks("n", mobilenet_v2.blocks(hyperparams, divisible_depth_rule(0.1)))
    images = _images(2, 64, 64)
    plain = network(images)["Conv_1"]
    before = [v.numpy() for v in network.non_trainable_variables]
    np.testing.assert_array_equal(network(images, training=True)["Conv_1"], plain)
    assert all(np.array_equal(v, old) for v, old in zip(network.non_trainable_variables, before, strict=True))


def test_only_dense_kernels_are_regularised() -> None:
    network = _network(0.1)
    network(_images(1, 32, 32))
    penalised = {v.path.rpartition("/")[2] for v in network.trainable_variables if v.regularizer is not None}
    assert penalised == {"weights"}


def test_names_and_shapes_equal_slim(shared) -> None:
    with open(shared / "reference/odapi_vars/SLIM_mobilenet_v2.tsv") as lines:
        expected = {
            name: json.loads(shape) for name, shape, _ in csv.reader(lines, delimiter="\t") if name != "global_step"
        }
    spec = mobilenet_v2.CLASSIFIERS["mobilenet_v2"]
    classifier: Classifier = spec.make(spec.num_logits)
    logits, auxiliary = classifier(tf.zeros([2, 64, 64, 3]))
    assert logits.shape == (2, 1001) and auxiliary is None
    assert len(expected) == 262
    assert {v.path: list(v.shape) for v in classifier.weights} == expected
