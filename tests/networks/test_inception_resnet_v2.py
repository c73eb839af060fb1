"""Inception-ResNet v2 against Keras's own, an independent implementation; its dense and aligned forms; names and shapes
of tf-slim's checkpoint."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator

import keras
import numpy as np
import pytest
import tensorflow as tf

from detection.networks import inception_resnet_v2
from detection.networks.blocks import Blocks
from detection.networks.depths import depth_rule, full_depth
from detection.networks.keras_layers import numbered
from detection.networks.layers import Conv

HYPER = inception_resnet_v2.training_defaults()
THIN = depth_rule(0.1, 8)
# Our blocks and the layers of Keras's model whose outputs they are; a number counts the nameless of a kind, from 0.
ENDPOINTS = {
    "Conv2d_2b_3x3": ("activation", 2),
    "MaxPool_5a_3x3": ("max_pooling2d", 1),
    "Mixed_5b": "mixed_5b",
    "Repeat/block35_1": "block35_1_ac",
    "Repeat": "block35_10_ac",
    "Mixed_6a": "mixed_6a",
    "Repeat_1/block17_1": "block17_1_ac",
    "Repeat_1": "block17_20_ac",
    "Mixed_7a": "mixed_7a",
    "Repeat_2/block8_1": "block8_1_ac",
    "Repeat_2": "block8_9_ac",
    "Block8": "conv_7b",  # its input
    "Conv2d_7b_1x1": "conv_7b_ac",
}


def _convolutions(layer: keras.layers.Layer) -> Iterator[Conv]:
    """In the order in which they were made."""
    if isinstance(layer, Conv):
        yield layer
    for attribute in ("blocks", "parts", "branches", "projection"):
        parts = getattr(layer, attribute, ())
        for part in parts if isinstance(parts, tuple) else (parts,):
            yield from _convolutions(part)


def _randomize(*layers: keras.layers.Layer) -> None:
    """Every number off its initial value, so that a swapped statistic or a lost bias shows; activations keep their size
    through the network."""
    generator = np.random.default_rng(0)
    for variable in (variable for layer in layers for variable in layer.weights):
        kind = variable.path.rpartition("/")[2]
        if kind == "weights":
            variable.assign(
                generator.standard_normal(variable.shape, "f4") * np.sqrt(1.5 / np.prod(variable.shape[:-1]))
            )
        else:
            low, high = {"moving_variance": (0.5, 1.5), "gamma": (0.5, 1.5)}.get(kind, (-0.3, 0.3))
            variable.assign(generator.uniform(low, high, variable.shape))


def _images(*shape: int) -> tf.Tensor:
    return tf.constant(np.random.default_rng(1).uniform(-1, 1, (*shape, 3)), tf.float32)


def _nameless(model: keras.Model, kind: str) -> list[keras.layers.Layer]:
    """Keras numbers what has no name of its own in the order in which it is made; the very first of a process has no
    number."""
    numbers = {
        layer: layer.name.removeprefix(kind).lstrip("_") for layer in model.layers if layer.name.startswith(kind)
    }
    return sorted(numbers, key=lambda layer: int(numbers[layer] or 0))


def _copy_to_keras(network: Blocks, reference: keras.Model) -> int:
    """Layer by layer in order; returns how many variables it set."""
    normalised = [conv for conv in _convolutions(network) if conv.batch_norm is not None]
    projections = [conv for conv in _convolutions(network) if conv.batch_norm is None]
    kernels = [*_nameless(reference, "conv2d"), reference.get_layer("conv_7b")]
    norms = [*_nameless(reference, "batch_normalization"), reference.get_layer("conv_7b_bn")]
    named = [
        reference.get_layer(f"{name}_{i}_conv")
        for name, count in (("block35", 10), ("block17", 20), ("block8", 10))
        for i in range(1, count + 1)
    ]
    count = 0
    for ours, kernel, norm in zip(normalised, kernels, norms, strict=True):
        kernel.set_weights([ours.kernel.numpy()])
        norm.set_weights(
            [v.numpy() for v in (ours.batch_norm.beta, ours.batch_norm.moving_mean, ours.batch_norm.moving_variance)]
        )
        count += 4
    for ours, theirs in zip(projections, named, strict=True):
        theirs.set_weights([ours.kernel.numpy(), ours.bias.numpy()])
        count += 2
    return count


def _check_order(network: Blocks, reference: keras.Model) -> None:
    """Object-based checkpoints number the layers as Keras counts them: branches side by side by their distance from
    the end."""
    ours = numbered(network.blocks)
    for number, layer in enumerate(layer for layer in reference.layers if layer.weights):
        for variable in layer.weights:
            own = ours.pop(f"layer_with_weights-{number}/{variable.name}")
            np.testing.assert_array_equal(own.numpy(), variable.numpy(), err_msg=f"{own.path} as {variable.path}")
    assert ours == {}


@pytest.mark.slow
def test_features_equal_keras() -> None:
    """Every kind of block, at two sizes. Measured: at most 1.8e-6 of the largest value; another machine may sum in
    another order."""
    reference = keras.applications.InceptionResNetV2(include_top=False, weights=None, input_shape=(None, None, 3))
    network = Blocks(inception_resnet_v2.SCOPE, inception_resnet_v2.blocks(HYPER, full_depth))
    network(_images(1, 75, 75))
    _randomize(network)
    assert _copy_to_keras(network, reference) == len(network.weights) == len(reference.weights)
    _check_order(network, reference)
    layers = [
        reference.get_layer(key) if isinstance(key, str) else _nameless(reference, key[0])[key[1]]
        for key in ENDPOINTS.values()
    ]
    outputs = [layer.input if name == "Block8" else layer.output for name, layer in zip(ENDPOINTS, layers, strict=True)]
    theirs = keras.Model(reference.input, outputs)
    for images in (_images(1, 299, 299), _images(2, 107, 139)):
        got = network(images, endpoints=tuple(ENDPOINTS))
        for name, expected in zip(ENDPOINTS, theirs(images, training=False), strict=True):
            expected = expected.numpy()
            gap = np.abs(got[name].numpy() - expected).max() / np.abs(expected).max()
            assert gap < 1e-5, (name, gap)
            assert expected.std() > 0.01, name


def _body(output_stride: int, thin: object = THIN) -> Blocks:
    return Blocks(inception_resnet_v2.SCOPE, inception_resnet_v2.body(HYPER, thin, output_stride=output_stride))


def _assign(target: keras.layers.Layer, source: keras.layers.Layer) -> None:
    for ours, theirs in zip(target.weights, source.weights, strict=True):
        ours.assign(theirs)


def test_strided_maps_are_subsamples_of_dense_maps() -> None:
    """Huang et al. 2017, section 3.1, for the body at stride 8 and then the tail at the strides of both bodies.

    A strided 3x3 layer padded SAME looks at pixels 2i - 1 ... 2i + 1 of an odd side and at 2i ... 2i + 2 of an even
    one. So every size lines up: the strided map is the dense one from pixel 0 or 1 on. The sides here give maps of 16
    and 17 cells, and from those 8 and 9.
    """
    images = _images(1, 128, 136)
    strided, dense = _body(16), _body(8)
    strided(images), dense(images)
    _randomize(strided)
    _assign(dense, strided)
    maps = {16: strided(images)["Repeat_1"], 8: dense(images)["Repeat_1"]}
    assert [m.shape[1:3].as_list() for m in maps.values()] == [[8, 9], [16, 17]]
    assert np.std(maps[16]) > 0.01
    # Both compute the same sums; float32 rounds them in another order.
    np.testing.assert_allclose(maps[8][:, 1::2, ::2], maps[16], atol=1e-5 * np.max(maps[16]))

    tails = {None: inception_resnet_v2.tail(HYPER, THIN, aligned=True)}
    tails |= {stride: inception_resnet_v2.tail(HYPER, THIN, dense_from=stride) for stride in (16, 8)}
    tails = {stride: Blocks("tail", blocks) for stride, blocks in tails.items()}
    last = {stride: tail(maps[stride or 16])["Conv2d_7b_1x1"] for stride, tail in tails.items()}
    _randomize(tails[None])
    for stride, tail in tails.items():
        _assign(tail, tails[None])
        last[stride] = tail(maps[stride or 16])["Conv2d_7b_1x1"].numpy()
    assert [m.shape[1:3] for m in last.values()] == [(4, 5), (8, 9), (16, 17)]
    assert last[None].std() > 0.01
    np.testing.assert_allclose(last[16][:, 1::2, ::2], last[None], atol=1e-5 * last[None].max())
    np.testing.assert_allclose(last[8][:, 3::4, ::4], last[None], atol=1e-5 * last[None].max())


def test_unsupported_output_stride_is_refused() -> None:
    with pytest.raises(ValueError, match="output stride 32.*use 8 or 16"):
        inception_resnet_v2.body(HYPER, THIN, output_stride=32)


def test_folded_equals_unfolded() -> None:
    network = Blocks("n", inception_resnet_v2.blocks(HYPER, THIN, aligned=True))
    images = _images(1, 64, 64)
    network(images)
    _randomize(network)
    plain = network(images)["Conv2d_7b_1x1"].numpy()
    convolutions = [conv for conv in _convolutions(network) if conv.batch_norm is not None]
    for conv in convolutions:
        conv.fold = True
    folded = network(images)["Conv2d_7b_1x1"].numpy()
    assert len(convolutions) == 204 and plain.max() > 0.1
    np.testing.assert_allclose(
        folded, plain, atol=2e-5 * plain.max()
    )  # 100 layers deep; float32 products in another order


def test_a_frozen_graph_has_one_op_for_each_scaled_residual() -> None:
    """The scale is in the projection's weights and biases."""
    block = inception_resnet_v2._Modules(HYPER, THIN, "SAME").residual(
        "block17_1", inception_resnet_v2.BLOCK17, 24, rate=1
    )
    x = _images(1, 9, 9)[..., :1] * tf.ones([24])
    block(x)
    _randomize(block)
    joined = tf.concat([branch(x) for branch in block.branches], axis=3)
    projection = tf.nn.conv2d(joined, block.projection.kernel, 1, "SAME") + block.projection.bias
    np.testing.assert_allclose(block(x), tf.nn.relu(x + 0.10 * projection), atol=1e-5)
    graph = tf.function(lambda x: x + block.projection(joined)).get_concrete_function(x).graph
    on_maps = [
        op.type
        for op in graph.get_operations()
        if op.outputs and op.outputs[0].shape.rank == 4 and op.outputs[0].shape[1] == 9
    ]
    assert on_maps.count("Mul") == 0 and on_maps.count("AddV2") == 1


@pytest.mark.parametrize("dense", [False, True])
def test_gradients_reach_every_weight_and_statistics_are_updated(dense: bool) -> None:
    thin = depth_rule(0.05, 4)
    body = inception_resnet_v2.body(HYPER, thin, output_stride=8 if dense else 16)
    network = Blocks("n", (*body, *inception_resnet_v2.tail(HYPER, thin, dense_from=8 if dense else None)))
    images = _images(2, 64, 64)
    network(images)
    _randomize(network)
    before = [v.numpy() for v in network.non_trainable_variables]
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(network(images, training=True)["Conv2d_7b_1x1"] ** 2)
    gradients = tape.gradient(loss, [v.value for v in network.trainable_variables])
    norms = {v.path: float(tf.norm(g)) for v, g in zip(network.trainable_variables, gradients, strict=True)}
    assert [path for path, norm in norms.items() if not norm > 0] == []
    assert all(np.abs(v - old).max() > 0 for v, old in zip(network.non_trainable_variables, before, strict=True))


def test_dense_modules_compile() -> None:
    """XLA, of one module of each kind (all of them take it half a minute); its result is the same."""
    make = inception_resnet_v2._Modules(HYPER, THIN, "SAME")
    width = make.channels_6a
    network = Blocks(
        "n",
        (
            make.residual("a", inception_resnet_v2.BLOCK17, width, 2),
            make.reduction("b", inception_resnet_v2.MIXED_7A, 1, 2),
        ),
    )
    x = tf.nn.relu(tf.random.stateless_normal([1, 9, 10, width], [1, 2]))
    plain = network(x)["b"]
    np.testing.assert_allclose(tf.function(lambda x: network(x)["b"], jit_compile=True)(x), plain, atol=1e-5)


def test_classifier_with_auxiliary_head() -> None:
    classifier = inception_resnet_v2.CLASSIFIERS["inception_resnet_v2"].make(7, 0.05)
    images = _images(1, 299, 299)
    logits, auxiliary = classifier(images)
    assert logits.shape == (1, 7) and auxiliary.shape == (1, 7)
    assert {v.path.rpartition("/")[2] for v in classifier.weights if v.regularizer is not None} == {"weights", "biases"}
    before = [v.numpy() for v in classifier.weights if "/moving_" in v.path]
    classifier(images)
    after = [v.numpy() for v in classifier.weights if "/moving_" in v.path]
    assert all(np.array_equal(old, new) for old, new in zip(before, after, strict=True))


def test_names_and_shapes_equal_slim(shared) -> None:
    with open(shared / "reference/odapi_vars/SLIM_inception_resnet_v2.tsv") as lines:
        expected = {
            name: json.loads(shape) for name, shape, _ in csv.reader(lines, delimiter="\t") if name != "global_step"
        }
    spec = inception_resnet_v2.CLASSIFIERS["inception_resnet_v2"]
    classifier = spec.make(spec.num_logits)
    classifier(tf.zeros([1, spec.image_size, spec.image_size, 3]))
    assert len(expected) == 908
    assert {v.path: list(v.shape) for v in classifier.weights} == expected
