"""CaffeNet and VGG_CNN_M_1024 against plain numpy at tiny width, and the family's tables against tf-slim's AlexNet."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tensorflow as tf

from detection.networks import alexnet, caffenet, vgg_cnn_m
from detection.networks.alexnet import BorderedConv, BorderedMaxPool, Convolution, Design, LocalResponseNorm
from detection.networks.blocks import Blocks
from detection.networks.depths import depth_rule, full_depth

DESIGNS = {"caffenet": caffenet.DESIGN, "vgg_cnn_m_1024": vgg_cnn_m.DESIGN}
SLIM_ALEXNET = Design(  # tf_slim.nets.alexnet.alexnet_v2: other depths, no groups, no normalisation, fc6 of 5x5
    scope="alexnet_v2",
    convolutions=(
        Convolution(64, 11, stride=4),
        Convolution(192, 5, border=2),
        Convolution(384, 3, border=1),
        Convolution(384, 3, border=1),
        Convolution(256, 3, border=1),
    ),
    normalization=None,
    fc_kernel=5,
    fc_depths=(4096, 4096),
)


def randomize(layer: tf.keras.layers.Layer, seed: int = 0) -> dict[str, np.ndarray]:
    """Random weights of a size that keeps activations alive; returned by path."""
    generator, values = np.random.default_rng(seed), {}
    for variable in layer.trainable_variables:
        fan_in = np.prod(variable.shape[:-1]) if len(variable.shape) == 4 else 100
        values[variable.path] = (generator.normal(size=variable.shape) * np.sqrt(2 / fan_in)).astype("f4")
        variable.assign(values[variable.path])
    return values


def images(*shape: int) -> np.ndarray:
    """As if centred: -128 to 128."""
    return np.random.default_rng(1).uniform(-128, 128, shape).astype("f4")


# --- numpy, from the definitions
# -------------------------------------------------------------------------------------------------------------------


def np_convolution(
    x: np.ndarray, weights: np.ndarray, biases: np.ndarray, stride: int, border: int, groups: int
) -> np.ndarray:
    side, each, filters = weights.shape[0], weights.shape[2], weights.shape[3]
    x = np.pad(x, [(0, 0), (border, border), (border, border), (0, 0)]).astype("f8")
    height, width = ((size - side) // stride + 1 for size in x.shape[1:3])
    y = np.zeros((len(x), height, width, filters))
    for row, column in itertools.product(range(height), range(width)):
        window = x[:, row * stride : row * stride + side, column * stride : column * stride + side]
        for f in range(filters):
            group = f * groups // filters
            y[:, row, column, f] = (window[..., group * each : (group + 1) * each] * weights[..., f]).sum(
                axis=(1, 2, 3)
            ) + biases[f]
    return y


def np_max_pool(x: np.ndarray, border: int, beyond: bool) -> np.ndarray:
    """3x3, stride 2. `beyond`: the number of windows is rounded up, else down; what lies outside does not count."""
    sizes = [size + 2 * border - 3 for size in x.shape[1:3]]
    height, width = ((-(-size // 2) if beyond else size // 2) + 1 for size in sizes)
    y = np.zeros((len(x), height, width, x.shape[3]))
    for row, column in itertools.product(range(height), range(width)):
        top, left = (max(0, 2 * cell - border) for cell in (row, column))
        y[:, row, column] = x[:, top : 2 * row - border + 3, left : 2 * column - border + 3].max(axis=(1, 2))
    return y


def np_normalization(x: np.ndarray, alpha: float, bias: float) -> np.ndarray:
    y = np.zeros_like(x)
    for channel in range(x.shape[3]):
        neighbours = x[..., max(0, channel - 2) : channel + 3]
        y[..., channel] = x[..., channel] / (bias + alpha / 5 * (neighbours**2).sum(axis=-1)) ** 0.75
    return y


def np_features(x: np.ndarray, design: Design, values: dict[str, np.ndarray], aligned: bool) -> dict[str, np.ndarray]:
    """Every endpoint; in the order in which the networks were published, written out."""
    norm, outputs = design.normalization, {}
    for number, row in enumerate(design.convolutions, start=1):
        weights, biases = (values[f"{design.scope}/conv{number}/{kind}"] for kind in ("weights", "biases"))
        x = np.maximum(
            np_convolution(x, weights, biases, row.stride, row.kernel // 2 if aligned else row.border, row.groups), 0
        )
        outputs[f"conv{number}"] = x
        steps = (
            {1: "np", 2: "np", 5: "p"}.get(number, "")
            if norm.before_pool
            else {1: "pn", 2: "pn", 5: "p"}.get(number, "")
        )
        for step in steps:
            x = (
                np_normalization(x, norm.alpha, norm.bias)
                if step == "n"
                else np_max_pool(x, int(aligned), beyond=not aligned)
            )
            outputs[f"{'norm' if step == 'n' else 'pool'}{number}"] = x
    return outputs


# --- networks
# --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(67, 80), (72, 91)])
@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("name", DESIGNS)
def test_features_equal_numpy(name: str, aligned: bool, size: tuple[int, int]) -> None:
    """Odd and even maps at the pools; widths 6 to 10, so that groups and the rims of the normalisation matter."""
    design = DESIGNS[name]
    network = Blocks(
        design.scope,
        alexnet.blocks(design, alexnet.training_defaults(), depth_rule(1 / 50, 6), aligned, last_pool=True),
    )
    x = images(1, *size, 3)
    network(tf.constant(x))
    expected = np_features(x, design, randomize(network), aligned)
    outputs = network(tf.constant(x))
    assert set(outputs) == set(expected)
    for endpoint, features in outputs.items():
        # float32 against float64 through at most five convolutions.
        np.testing.assert_allclose(
            features.numpy(), expected[endpoint], atol=5e-6 * expected[endpoint].max(), err_msg=endpoint
        )
        assert expected[endpoint].max() > 1, endpoint
    normalized = expected["conv1" if design.normalization.before_pool else "pool1"]
    change = expected["norm1"] * design.normalization.bias**0.75 - normalized
    assert (
        np.abs(change).max() > 0.05 * normalized.max()
    )  # activations are as large as with real images, and the normalisation bites


@pytest.mark.parametrize("name", DESIGNS)
def test_cells_of_the_aligned_form_are_centred_on_multiples_of_16(name: str) -> None:
    """Which rows of the image a cell sees is measured: image i of the batch has row i lit, and positive weights let
    light through."""
    design, height = DESIGNS[name], 331
    network = Blocks(design.scope, alexnet.blocks(design, alexnet.training_defaults(), depth_rule(1 / 256, 2)))
    lit = tf.eye(height)[:, :, tf.newaxis, tf.newaxis] * tf.ones([1, 1, 5, 3])
    network(lit[:1])
    for variable in network.trainable_variables:
        variable.assign(tf.ones(variable.shape) if variable.path.endswith("weights") else tf.zeros(variable.shape))
    seen = network(lit, endpoints=("conv5",))["conv5"][:, :, 0, 0].numpy() > 0
    assert seen.shape == (height, 21)  # ceil(331 / 16)
    reach = {"caffenet": 81, "vgg_cnn_m_1024": 69}[name]  # half the kernels, times the strides before them
    for cell in range(21):
        rows = np.flatnonzero(seen[:, cell])
        assert rows[0] == max(0, 16 * cell - reach) and rows[-1] == min(height - 1, 16 * cell + reach), cell


@pytest.mark.parametrize("size", [(64, 97), (65, 112), (96, 111), (33, 128)])
@pytest.mark.parametrize("name", DESIGNS)
def test_aligned_maps_have_a_cell_for_every_16_pixels(name: str, size: tuple[int, int]) -> None:
    design = DESIGNS[name]
    network = Blocks(design.scope, alexnet.blocks(design, alexnet.training_defaults(), depth_rule(1 / 64, 2)))
    outputs = network(tf.zeros([1, *size, 3]), endpoints=("conv2", "conv5"))
    assert tuple(outputs["conv2"].shape[1:3]) == tuple(-(-side // 8) for side in size)
    assert tuple(outputs["conv5"].shape[1:3]) == tuple(-(-side // 16) for side in size)


@pytest.mark.parametrize("name", DESIGNS)
def test_classifier_logits_equal_numpy(name: str) -> None:
    """At the published size, where pool5 has 6x6 cells: fc6, fc7, fc8 behind the stages of `test_features_equal_numpy`,
    as matrix products."""
    design, size = DESIGNS[name], {"caffenet": 227, "vgg_cnn_m_1024": 224}[name]
    classifier = alexnet.classifier(design, 10, depth_multiplier=1 / 64)
    x = tf.constant(images(2, size, size, 3))
    classifier(x)
    values = randomize(classifier)
    logits, side = classifier(x)
    features = x
    for block in classifier.network:
        features = block(features)
    y = features.numpy().astype("f8")
    assert y.shape[1:3] == (6, 6) and side is None
    for layer in ("fc6", "fc7", "fc8"):
        weights = values[f"{design.scope}/{layer}/weights"]
        y = y.reshape(2, -1) @ weights.reshape(-1, weights.shape[-1]) + values[f"{design.scope}/{layer}/biases"]
        y = y if layer == "fc8" else np.maximum(y, 0)
    np.testing.assert_allclose(logits.numpy(), y, atol=5e-6 * np.abs(y).max())


@pytest.mark.parametrize("size", [195, 227])
def test_features_and_logits_equal_slim(size: int) -> None:
    """The same builder with tf-slim's numbers, at sizes where VALID pools (tf-slim's) and rounding up (Caffe's)
    agree."""
    alexnet_slim = pytest.importorskip("tf_slim.nets.alexnet")
    slim = pytest.importorskip("tf_slim")
    x = images(1, size, size, 3)
    network = (*alexnet.blocks(SLIM_ALEXNET, alexnet.training_defaults(), full_depth, aligned=False, last_pool=True),)
    head = (
        *alexnet.tail(SLIM_ALEXNET, alexnet.training_defaults(), full_depth),
        alexnet.fully_connected.logits(10, alexnet.training_defaults()),
    )
    ours = Blocks("alexnet_v2", (*network, *head))
    ours(tf.constant(x))
    values = randomize(ours)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        with slim.arg_scope(alexnet_slim.alexnet_v2_arg_scope()):
            _, endpoints = alexnet_slim.alexnet_v2(
                tf.constant(x), num_classes=10, is_training=False, spatial_squeeze=False
            )
        variables = tf.compat.v1.global_variables()
        assert {v.op.name: tuple(v.shape) for v in variables} == {path: value.shape for path, value in values.items()}
        for variable in variables:
            variable.load(values[variable.op.name], session)
        expected = session.run({name.removeprefix("alexnet_v2/"): tensor for name, tensor in endpoints.items()})
    outputs = ours(tf.constant(x))
    assert len(expected) == 11  # five convolutions, three pools, fc6 to fc8
    for endpoint, value in expected.items():
        error = np.abs(outputs[endpoint].numpy() - value).max() / np.abs(value).max()
        assert error < 1e-5, (endpoint, error)  # sums of float32 in another order; measured 2e-6


# --- layers
# --------------------------------------------------------------------------------------------------------------------


def _gradients(layer: tf.keras.layers.Layer, x: tf.Tensor) -> list[np.ndarray]:
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(tf.sin(layer(x)))
    return [gradient.numpy() for gradient in tape.gradient(loss, [x, *(v.value for v in layer.trainable_variables)])]


def test_gradient_of_a_grouped_convolution_is_that_of_a_block_diagonal_kernel() -> None:
    grouped = BorderedConv("conv", 6, 3, alexnet.training_defaults().linear(), stride=2, border=1, groups=2)
    full = BorderedConv("conv", 6, 3, alexnet.training_defaults().linear(), stride=2, border=1, groups=1)
    x = tf.random.stateless_normal([2, 9, 8, 4], [1, 2])
    grouped(x), full(x)
    randomize(grouped)
    kernel = np.zeros((3, 3, 4, 6), "f4")
    for group in range(2):
        kernel[:, :, 2 * group : 2 * group + 2, 3 * group : 3 * group + 3] = grouped.kernel.numpy()[
            ..., 3 * group : 3 * group + 3
        ]
    full.kernel.assign(kernel)
    full.bias.assign(grouped.bias)
    np.testing.assert_allclose(grouped(x), full(x), atol=1e-6)
    by_input, by_kernel, by_bias = _gradients(grouped, x)
    full_by_input, full_by_kernel, full_by_bias = _gradients(full, x)
    blocks = np.concatenate([full_by_kernel[:, :, 2 * g : 2 * g + 2, 3 * g : 3 * g + 3] for g in range(2)], axis=3)
    np.testing.assert_allclose(by_input, full_by_input, atol=1e-5)
    np.testing.assert_allclose(by_kernel, blocks, atol=1e-5)
    np.testing.assert_allclose(by_bias, full_by_bias, atol=1e-5)


def test_no_grouped_convolution_op_is_used() -> None:
    """TensorFlow's own has no gradient on a CPU without oneDNN."""
    layer = BorderedConv("conv", 6, 3, alexnet.training_defaults(), stride=1, border=1, groups=2)
    layer(tf.zeros([1, 8, 8, 4]))
    graph = tf.function(lambda x: layer(x)).get_concrete_function(tf.TensorSpec([1, 8, 8, 4])).graph
    convolutions = [op for op in graph.get_operations() if op.type == "Conv2D"]
    assert [(op.inputs[0].shape[3], op.inputs[1].shape[2]) for op in convolutions] == [(2, 2), (2, 2)]


def test_channels_are_multiples_of_the_groups() -> None:
    layer = BorderedConv("conv", 6, 3, alexnet.training_defaults(), stride=1, border=1, groups=2)
    with pytest.raises(ValueError, match="2 groups do not divide 5 inputs"):
        layer(tf.zeros([1, 8, 8, 5]))
    for multiplier in (0.1, 0.27, 0.33, 1.0):
        depth = depth_rule(multiplier, 7)
        channels = [caffenet.DESIGN.channels(depth, row) for row in caffenet.DESIGN.convolutions]
        assert all(
            0 <= c - depth(row.depth) < 2 and c % 2 == 0
            for c, row in zip(channels, caffenet.DESIGN.convolutions, strict=True)
        )
    assert [vgg_cnn_m.DESIGN.channels(depth_rule(0.33, 7), row) for row in vgg_cnn_m.DESIGN.convolutions] == [
        31,
        84,
        168,
        168,
        168,
    ]


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("size", [(7, 9), (8, 10), (7, 10), (8, 9)])
def test_max_pool_equals_numpy_for_every_parity(size: tuple[int, int], aligned: bool) -> None:
    """Negative values too: what is added at the rim must never win. Sizes known or unknown, and under XLA."""
    x = np.random.default_rng(3).normal(size=(2, *size, 3)).astype("f4") - 5
    expected = np_max_pool(x, int(aligned), beyond=not aligned)
    pool = BorderedMaxPool("pool", aligned)
    np.testing.assert_array_equal(pool(tf.constant(x)), expected.astype("f4"))
    dynamic = tf.function(lambda x: pool(x), input_signature=[tf.TensorSpec([None, None, None, 3])])
    np.testing.assert_array_equal(dynamic(x), expected.astype("f4"))
    np.testing.assert_array_equal(tf.function(lambda x: pool(x), jit_compile=True)(x), expected.astype("f4"))


@pytest.mark.parametrize(("alpha", "bias"), [(1e-4, 1.0), (5e-4, 2.0), (0.5, 2.0)])
def test_normalization_equals_numpy_and_tensorflow(alpha: float, bias: float) -> None:
    x = np.random.default_rng(4).uniform(0, 200, (2, 3, 4, 9)).astype("f4")
    layer = LocalResponseNorm("norm", alpha, bias)
    np.testing.assert_allclose(layer(tf.constant(x)), np_normalization(x.astype("f8"), alpha, bias), rtol=5e-6)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x := tf.constant(x))
        ours = tf.reduce_sum(tf.sin(layer(x)))
        theirs = tf.reduce_sum(
            tf.sin(tf.nn.local_response_normalization(x, depth_radius=2, bias=bias, alpha=alpha / 5, beta=0.75))
        )
    np.testing.assert_allclose(tape.gradient(ours, x), tape.gradient(theirs, x), atol=2e-5)
