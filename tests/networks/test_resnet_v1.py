"""ResNet v1 against tf-slim's own definition, with random weights: names, shapes, and numbers at every endpoint and
output stride."""

from __future__ import annotations

import csv
import functools
import json

import numpy as np
import pytest
import tensorflow as tf
import tf_slim
from tf_slim.nets import resnet_v1 as slim_resnet

from detection.export.fold import folded
from detection.networks import resnet_v1
from detection.networks.blocks import Blocks
from detection.networks.depths import depth_rule, full_depth
from detection.networks.layers import BatchNorm

SHORT = (2, 3, 2, 2)  # units of the blocks where the number does not matter
SIZES = [(96, 128), (101, 75)]  # even, where SAME and explicit padding differ, and odd
BLOCKS = ("block1", "block2", "block3", "block4")
Weights = dict[str, np.ndarray]


def _network(
    units: tuple[int, ...] = SHORT, output_stride: int | None = None, multiplier: float = 1.0, **options: object
) -> Blocks:
    layers = resnet_v1.blocks(resnet_v1.training_defaults(), depth_rule(multiplier, 8), units, output_stride, **options)
    return Blocks("resnet", layers)


def _images(size: tuple[int, int], count: int = 1) -> tf.Tensor:
    return tf.constant(np.random.default_rng(1).uniform(-100, 150, (count, *size, 3)), tf.float32)


def _randomize(network: tf.Module) -> Weights:
    """Random values for every variable, such that features keep their size from unit to unit; returns them by path."""
    random = np.random.default_rng(0)
    ranges = {
        "gamma": (0.5, 1.5),
        "beta": (-0.5, 0.5),
        "moving_mean": (-0.5, 0.5),
        "moving_variance": (0.5, 2.0),
        "biases": (-1, 1),
    }
    for variable in network.variables:
        leaf = variable.path.rsplit("/", 1)[-1]
        if leaf in ranges:
            variable.assign(random.uniform(*ranges[leaf], variable.shape))
        else:
            gain = (
                0.02
                if "/conv1/weights" in variable.path and "bottleneck" not in variable.path
                else 0.4
                if "conv3" in variable.path
                else 1.4
            )
            variable.assign(gain * random.normal(size=variable.shape) / np.sqrt(np.prod(variable.shape[:3])))
    return {variable.path: variable.numpy() for variable in network.variables}


def _batch_norm(x: tf.Tensor) -> tf.Tensor:
    """tf-slim's layer in inference: its own cannot be built on this TensorFlow."""
    with tf.compat.v1.variable_scope("BatchNorm"):
        names = ("gamma", "beta", "moving_mean", "moving_variance")
        values = [
            tf.compat.v1.get_variable(name, x.shape[-1:], trainable=not name.startswith("moving")) for name in names
        ]
    return tf.compat.v1.nn.fused_batch_norm(x, *values, epsilon=1e-5, is_training=False)[0]


def _slim(
    network, images: tf.Tensor, weights: Weights | None = None, **options: object
) -> tuple[dict[str, list[int]], dict[str, np.ndarray]]:
    """(shapes of its variables by name, values of its endpoints by name where `weights` say what to fill it with)."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        defaults = tf_slim.arg_scope(slim_resnet.resnet_arg_scope())
        with defaults, tf_slim.arg_scope([tf_slim.conv2d], normalizer_fn=_batch_norm, normalizer_params={}):
            _, endpoints = network(tf.constant(images.numpy()), is_training=False, **options)
        variables = tf.compat.v1.global_variables()
        shapes = {variable.op.name: variable.shape.as_list() for variable in variables}
        if weights is None:
            return shapes, {}
        assert set(shapes) == set(weights)
        session.run(
            [v.initializer for v in variables], {v.initializer.inputs[1]: weights[v.op.name] for v in variables}
        )
        return shapes, session.run(endpoints)


def _slim_blocks(units: tuple[int, ...]):
    """tf-slim's network with other numbers of units."""
    table = zip(BLOCKS, (64, 128, 256, 512), units, (2, 2, 2, 1), strict=True)
    blocks = [slim_resnet.resnet_v1_block(*row) for row in table]
    return lambda images, **options: slim_resnet.resnet_v1(images, blocks, scope="resnet", **options)


def _relative_error(ours: tf.Tensor, expected: np.ndarray) -> float:
    assert ours.shape == expected.shape
    assert np.abs(expected).max() > 0.1
    return float(np.abs(ours.numpy() - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("output_stride", [None, 8, 16])
def test_features_equal_slim(output_stride: int | None, size: tuple[int, int]) -> None:
    network, images = _network(output_stride=output_stride), _images(size)
    ours = network(images)
    weights = _randomize(network)
    units = [f"{block}/unit_{unit}" for block, count in zip(BLOCKS, SHORT, strict=True) for unit in range(1, count + 1)]
    ours = network(images, endpoints=("conv1", *units, *BLOCKS))
    _, theirs = _slim(_slim_blocks(SHORT), images, weights, output_stride=output_stride, global_pool=False)
    names = {
        "conv1": "resnet/conv1",
        **{unit: f"resnet/{unit}/bottleneck_v1" for unit in units},
        **{block: f"resnet/{block}" for block in BLOCKS},
    }
    errors = {name: _relative_error(ours[name], theirs[slim]) for name, slim in names.items()}
    # 29 layers of float32 sums in another order (dilated convolutions by space-to-batch there): 8e-7 measured.
    assert max(errors.values()) < 1e-5, errors


@pytest.mark.slow
def test_resnet_101_equals_slim() -> None:
    layers = resnet_v1.blocks(resnet_v1.training_defaults(), full_depth, resnet_v1.UNITS[101], output_stride=16)
    network, images = Blocks(resnet_v1.scope(101), layers), _images((128, 97))
    network(images)
    weights = _randomize(network)
    ours = network(images, endpoints=BLOCKS)
    _, theirs = _slim(slim_resnet.resnet_v1_101, images, weights, output_stride=16, global_pool=False)
    for name in BLOCKS:
        # A hundred layers; 2e-6 measured.
        assert _relative_error(ours[name], theirs[f"resnet_v1_101/{name}"]) < 2e-5, name


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("output_stride", [4, 8, 16, 32])
def test_subsampled_dense_maps_equal_the_strided_networks(output_stride: int, size: tuple[int, int]) -> None:
    """The dense network contains the strided one (Huang et al. 2017, section 3.1)."""
    strided, dense, images = (
        _network(multiplier=0.25),
        _network(output_stride=output_stride, multiplier=0.25),
        _images(size),
    )
    expected = strided(images)
    dense(images)
    weights = _randomize(strided)
    for variable in dense.variables:
        variable.assign(weights[variable.path])
    expected, ours = strided(images), dense(images)
    for name, own_stride in zip(BLOCKS, (8, 16, 32, 32), strict=True):
        every = max(own_stride // output_stride, 1)
        # The same sums, by another kernel: 1e-6 measured.
        assert _relative_error(ours[name][:, ::every, ::every], expected[name].numpy()) < 1e-5, name
    assert ours["block4"].shape[1:3] == tuple(-(-side // output_stride) for side in size)


@pytest.mark.parametrize("size", SIZES)
def test_a_dense_block_does_not_change_the_following_maps(size: tuple[int, int]) -> None:
    plain, dense, images = (
        _network(multiplier=0.25),
        _network(multiplier=0.25, dense=("block3", "block4")),
        _images(size),
    )
    plain(images), dense(images)
    weights = _randomize(plain)
    for variable in dense.variables:
        variable.assign(weights[variable.path])
    expected, ours = plain(images), dense(images)
    assert "block4_subsample" not in ours  # it has no stride of its own
    assert ours["block3"].shape[1:3] == tuple(-(-side // 16) for side in size)
    for name, theirs in (("block2", "block2"), ("block3_subsample", "block3"), ("block4", "block4")):
        assert _relative_error(ours[name], expected[theirs].numpy()) < 1e-5, name


@pytest.mark.parametrize("layers", [50, 101, pytest.param(152, marks=pytest.mark.slow)])
def test_classifier_has_the_names_and_shapes_of_slim(layers: int) -> None:
    shapes, _ = _slim(getattr(slim_resnet, f"resnet_v1_{layers}"), _images((33, 33)), num_classes=1000)
    assert _classifier_variables(layers) == shapes


@functools.cache
def _classifier_variables(layers: int) -> dict[str, list[int]]:
    """Shapes of the variables of a classifier of ImageNet, by name; whole networks take seconds to make."""
    spec = resnet_v1.CLASSIFIERS[f"resnet_v1_{layers}"]
    assert spec.num_logits == 1000
    classifier = spec.make(1000)
    logits, auxiliary = classifier(_images((33, 33)))
    assert logits.shape == (1, 1000) and auxiliary is None
    return {variable.path: list(variable.shape) for variable in classifier.variables}


def test_classifier_equals_slim() -> None:
    spec, images = resnet_v1.CLASSIFIERS["resnet_v1_50"], _images((64, 64), count=2)
    classifier = spec.make(10)
    classifier(images)
    weights = _randomize(classifier)
    _, theirs = _slim(slim_resnet.resnet_v1_50, images, weights, num_classes=10)
    logits, _ = classifier(images)
    assert _relative_error(logits, theirs["resnet_v1_50/logits"][:, 0, 0]) < 1e-5


@pytest.mark.parametrize("layers", [50, 101])
def test_classifier_equals_the_published_list(shared, layers: int) -> None:
    with open(shared / f"reference/odapi_vars/SLIM_resnet_v1_{layers}.tsv") as lines:
        expected = {
            name: json.loads(shape)
            for name, shape, _ in csv.reader(lines, delimiter="\t")
            if not name.endswith(("global_step", "mean_rgb"))
        }
    assert _classifier_variables(layers) == expected


def test_depth_rule_applies_to_every_layer() -> None:
    network = _network(multiplier=0.25)
    network(_images((33, 33)))
    widths = {
        variable.path.removeprefix("resnet/"): variable.shape[-1]
        for variable in network.variables
        if variable.path.endswith("/weights")
    }
    assert widths["conv1/weights"] == 16
    for number, base in enumerate((16, 32, 64, 128), start=1):
        unit = f"block{number}/unit_1/bottleneck_v1"
        assert [widths[f"{unit}/{name}/weights"] for name in ("conv1", "conv2", "conv3", "shortcut")] == [
            base,
            base,
            4 * base,
            4 * base,
        ]
    assert "block1/unit_2/bottleneck_v1/shortcut/weights" not in widths


def test_shortcut_is_the_identity_where_depths_are_equal() -> None:
    network = Blocks("resnet", resnet_v1.blocks(resnet_v1.training_defaults(), lambda depth: 12, SHORT))
    network(_images((33, 33)))
    assert {tuple(variable.shape)[-1] for variable in network.variables} == {12}
    assert [variable.path for variable in network.variables if "shortcut" in variable.path] == []


@pytest.mark.parametrize("output_stride", [2, 12, 64])
def test_unsupported_output_stride_is_refused(output_stride: int) -> None:
    with pytest.raises(ValueError, match=f"output stride {output_stride} .*4, 8, 16, 32"):
        _network(output_stride=output_stride)


@pytest.mark.parametrize("output_stride", [None, 8])
def test_folded_and_compiled_equal_plain(output_stride: int | None) -> None:
    network, images = _network((1, 2, 1, 1), output_stride, multiplier=0.25), _images((64, 48))
    network(images)
    _randomize(network)
    plain = network(images)["block4"].numpy()
    compiled = tf.function(lambda x: network(x, endpoints=("block4",))["block4"], jit_compile=True)(images)
    with folded(network):
        without = network(images)["block4"]
    # Two forms of the same affine map, and XLA's order of sums: 1e-6 measured.
    assert _relative_error(compiled, plain) < 1e-5
    assert _relative_error(without, plain) < 1e-5


def test_statistics_are_updated_in_training_only() -> None:
    network, images = _network((1, 1, 1, 1), multiplier=0.125), _images((64, 64), count=2)
    network(images)
    norms = [layer for layer in network._flatten_layers() if isinstance(layer, BatchNorm)]
    assert len(norms) == 1 + 4 * 4
    before = [norm.moving_mean.numpy() for norm in norms]
    network(images)
    for norm, old in zip(norms, before, strict=True):
        np.testing.assert_array_equal(norm.moving_mean, old)
    stem = network.blocks[0]
    padded = tf.pad(images, [[0, 0], [3, 3], [3, 3], [0, 0]])
    convolved = tf.nn.conv2d(padded, stem.kernel, 2, "VALID").numpy().reshape(-1, 8)
    network(images, training=True)
    np.testing.assert_allclose(stem.batch_norm.moving_mean, convolved.mean(0) * 0.003, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(stem.batch_norm.moving_variance, 0.997 + convolved.var(0, ddof=1) * 0.003, rtol=1e-4)
    for norm, old in zip(norms, before, strict=True):
        assert np.all(norm.moving_mean != old)


@pytest.mark.parametrize("output_stride", [None, 8])
def test_gradients_reach_every_trainable_weight(output_stride: int | None) -> None:
    network, images = _network((2, 2, 1, 1), output_stride, multiplier=0.125), _images((96, 96), count=2)
    network(images)
    variables = network.trainable_variables
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.sin(network(images, endpoints=("block4",), training=True)["block4"]))
    gradients = tape.gradient(loss, [variable.value for variable in variables])
    missing = [
        variable.path
        for variable, gradient in zip(variables, gradients, strict=True)
        if gradient is None or not tf.reduce_any(gradient != 0)
    ]
    assert missing == []
    assert len(variables) == 3 * (1 + 6 * 3 + 4)
