"""MobileNet v1 against Keras's own, an independent implementation, and against the names and shapes of tf-slim's
checkpoint."""

from __future__ import annotations

import csv
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from detection.networks import mobilenet_v1
from detection.networks.blocks import Blocks
from detection.networks.depths import depth_rule


def _network(multiplier: float) -> Blocks:
    return Blocks("MobilenetV1", mobilenet_v1.blocks(mobilenet_v1.training_defaults(), depth_rule(multiplier, 8)))


def _copy_from_keras(network: Blocks, reference: keras.Model) -> None:
    """Sets our variables from Keras's, after making them random (batch norm too, so that a swapped statistic shows)."""
    generator = np.random.default_rng(0)
    for block in network.blocks:
        _, number, *kind = block.name.split("_")
        stem = {"depthwise": f"conv_dw_{number}", "pointwise": f"conv_pw_{number}", "": "conv1"}[
            kind[0] if kind else ""
        ]
        kernel = reference.get_layer(stem)
        norm = reference.get_layer(f"{stem}_bn")
        kernel.set_weights(
            [generator.normal(size=w.shape) / np.sqrt(np.prod(w.shape[:3]) / 3) for w in kernel.get_weights()]
        )
        gamma, beta, mean, variance = (
            generator.uniform(low, high, norm.gamma.shape) for low, high in ((0.5, 1.5), (-1, 1), (-0.5, 0.5), (0.5, 2))
        )
        norm.set_weights([gamma, beta, mean, variance])
        block.kernel.assign(np.reshape(kernel.get_weights()[0], block.kernel.shape))
        for variable, value in zip((block.batch_norm.gamma, block.batch_norm.beta), (gamma, beta), strict=True):
            variable.assign(value)
        block.batch_norm.moving_mean.assign(mean)
        block.batch_norm.moving_variance.assign(variance)


@pytest.mark.parametrize(("size", "multiplier"), [(128, 0.5), (224, 1.0)])
def test_features_equal_keras(size: int, multiplier: float) -> None:
    reference = keras.applications.MobileNet((size, size, 3), alpha=multiplier, include_top=False, weights=None)
    network = _network(multiplier)
    images = tf.constant(np.random.default_rng(1).uniform(-1, 1, (2, size, size, 3)), tf.float32)
    network(images)
    _copy_from_keras(network, reference)
    outputs = network(images, endpoints=("Conv2d_5_pointwise", "Conv2d_13_pointwise"))
    for name, layer in (("Conv2d_5_pointwise", "conv_pw_5_relu"), ("Conv2d_13_pointwise", "conv_pw_13_relu")):
        expected = keras.Model(reference.input, reference.get_layer(layer).output)(images).numpy()
        # Thirteen layers of float32 sums in another order: a few 1e-6 of the largest value.
        np.testing.assert_allclose(outputs[name].numpy(), expected, atol=2e-5 * expected.max())


def test_folded_equals_unfolded() -> None:
    network = _network(0.25)
    images = tf.constant(np.random.default_rng(1).uniform(-1, 1, (1, 64, 64, 3)), tf.float32)
    network(images)
    generator = np.random.default_rng(2)
    for variable in network.variables:
        variable.assign(
            generator.uniform(0.5, 1.5, variable.shape) * np.where(generator.random(variable.shape) < 0.5, 1, 0.9)
        )
    for block in network.blocks:
        block.kernel.assign(generator.normal(size=block.kernel.shape) / np.sqrt(np.prod(block.kernel.shape[:3])))
    plain = network(images)["Conv2d_13_pointwise"].numpy()
    for block in network.blocks:
        block.fold = True
    folded = network(images)["Conv2d_13_pointwise"].numpy()
    assert plain.max() > 0.01
    np.testing.assert_allclose(folded, plain, atol=1e-5 * plain.max())


def test_statistics_are_updated_in_training_only() -> None:
    network = _network(0.25)
    images = tf.constant(np.random.default_rng(1).uniform(-1, 1, (2, 64, 64, 3)), tf.float32)
    network(images)
    norm = network.blocks[0].batch_norm
    before = norm.moving_mean.numpy()
    network(images)
    np.testing.assert_array_equal(norm.moving_mean.numpy(), before)
    convolved = tf.nn.conv2d(images, network.blocks[0].kernel, 2, "SAME").numpy().reshape(-1, 8)
    network(images, training=True)
    np.testing.assert_allclose(
        norm.moving_mean.numpy(), before * 0.9997 + convolved.mean(0) * 0.0003, rtol=1e-4, atol=1e-8
    )
    np.testing.assert_allclose(norm.moving_variance.numpy(), 0.9997 + convolved.var(0, ddof=1) * 0.0003, rtol=1e-6)


def test_unknown_block_name_is_refused() -> None:
    with pytest.raises(ValueError, match="no block.*Conv2d_99"):
        _network(0.25)(tf.zeros([1, 64, 64, 3]), endpoints=("Conv2d_99",))


@pytest.mark.parametrize(("padding", "rows", "columns"), [("SAME", 1, 0), ("EXPLICIT", 0, 0)])
def test_strided_maps_are_subsamples_of_dense_maps(padding: str, rows: int, columns: int) -> None:
    """A strided 3x3 layer padded SAME is centred on pixels 2i of an odd side, on 2i + 1 of an even one; explicit
    padding always centres it on 2i."""
    images = tf.constant(
        np.random.default_rng(1).uniform(-1, 1, (1, 128, 136, 3)), tf.float32
    )  # at stride 8 a map of 16 by 17, at 16 of 8 by 9
    maps = {}
    for stride in (32, 16, 8):
        network = Blocks(
            "n",
            mobilenet_v1.blocks(mobilenet_v1.training_defaults(), depth_rule(0.25, 8), padding, output_stride=stride),
        )
        network(images)
        generator = np.random.default_rng(2)
        for block in network.blocks:  # as wide as keeps activations alive
            fan_in = np.prod(block.kernel.shape[: 2 if block.name.endswith("depthwise") else 3])
            block.kernel.assign(generator.normal(size=block.kernel.shape) * np.sqrt(2 / fan_in))
            block.batch_norm.beta.assign(generator.uniform(-0.3, 0.3, block.batch_norm.beta.shape))
        maps[stride] = network(images)["Conv2d_13_pointwise"].numpy()
    assert [m.shape[1:3] for m in maps.values()] == [(4, 5), (8, 9), (16, 17)] and maps[32].std() > 0.01
    # Both compute the same sums; float32 rounds them in another order.
    np.testing.assert_allclose(maps[16][:, rows::2, columns::2], maps[32], atol=1e-5 * maps[32].max())
    np.testing.assert_allclose(maps[8][:, 3 * rows :: 4, columns::4], maps[32], atol=1e-5 * maps[32].max())


@pytest.mark.parametrize("output_stride", [64, 12])
def test_unreachable_output_stride_is_refused(output_stride: int) -> None:
    with pytest.raises(ValueError, match=f"output stride {output_stride} "):
        mobilenet_v1.blocks(mobilenet_v1.training_defaults(), depth_rule(0.25, 8), output_stride=output_stride)


@pytest.mark.parametrize("output_stride", [32, 8])
def test_gradients_reach_every_weight(output_stride: int) -> None:
    network = Blocks(
        "n", mobilenet_v1.blocks(mobilenet_v1.training_defaults(), depth_rule(0.25, 8), output_stride=output_stride)
    )
    images = tf.constant(np.random.default_rng(1).uniform(-1, 1, (2, 64, 64, 3)), tf.float32)
    network(images)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(network(images, training=True)["Conv2d_13_pointwise"] ** 2)
    gradients = tape.gradient(loss, [v.value for v in network.trainable_variables])
    assert all(float(tf.norm(gradient)) > 0 for gradient in gradients)


def test_names_and_shapes_equal_slim(shared) -> None:
    with open(shared / "reference/odapi_vars/SLIM_mobilenet_v1.tsv") as lines:
        expected = {
            name: json.loads(shape) for name, shape, _ in csv.reader(lines, delimiter="\t") if name != "global_step"
        }
    spec = mobilenet_v1.CLASSIFIERS["mobilenet_v1"]
    classifier = spec.make(spec.num_logits)
    logits, auxiliary = classifier(tf.zeros([2, 64, 64, 3]))
    assert logits.shape == (2, 1001) and auxiliary is None
    assert len(expected) == 137
    assert {v.path: list(v.shape) for v in classifier.weights} == expected


def test_published_weights_classify_photos(shared) -> None:
    """ImageNet's classes are logits as they are here: this checkpoint has no background."""
    pictures = pytest.importorskip("skimage.data")
    spec = mobilenet_v1.CLASSIFIERS["mobilenet_v1"]
    classifier = spec.make(1000, 0.75)
    classifier(tf.zeros([1, spec.image_size, spec.image_size, 3]))
    checkpoint = tf.train.load_checkpoint(str(shared / "weights/mobilenet_v1_0.75_224/model.ckpt"))
    assert set(checkpoint.get_variable_to_shape_map()) - {"global_step"} == {v.path for v in classifier.weights}
    for variable in classifier.weights:
        variable.assign(checkpoint.get_tensor(variable.path))
    best = []
    for picture in (pictures.chelsea()[:, 75:375], pictures.coffee()[:, 100:500]):
        image = tf.image.resize(picture[np.newaxis].astype("f4"), [spec.image_size] * 2, antialias=True)
        best.append(int(tf.argmax(classifier(spec.scale(image))[0][0])))
    assert best[0] in (281, 282, 285)  # tabby, tiger cat, Egyptian cat
    assert best[1] in (504, 967)  # coffee mug, espresso
