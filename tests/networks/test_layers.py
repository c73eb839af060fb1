"""Normalisers of convolutions, by hand."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from detection.networks.hyperparams import BatchNormSettings, GroupNormSettings, Hyperparams
from detection.networks.keras_layers import keras_layers
from detection.networks.layers import BatchNorm, Conv

X = np.random.default_rng(0).normal(3, 2, (2, 3, 4, 64)).astype(np.float32)


def hyperparams(**changes) -> Hyperparams:
    return Hyperparams(keras.initializers.RandomNormal(stddev=0.1, seed=1), **changes)


def test_group_norm():
    """32 groups of two channels, each image by itself; then the activation."""
    layer = Conv("c", 64, 1, hyperparams(group_norm=GroupNormSettings()))
    layer(X)
    rng = np.random.default_rng(1)
    gamma, beta = rng.normal(size=(2, 64)).astype(np.float32)
    layer.group_norm.gamma.assign(gamma)
    layer.group_norm.beta.assign(beta)
    plain = np.einsum("bhwi,io->bhwo", X.astype(np.float64), layer.kernel.numpy()[0, 0])
    groups = plain.reshape(2, 12, 32, 2)
    mean, variance = groups.mean(axis=(1, 3), keepdims=True), groups.var(axis=(1, 3), keepdims=True)
    expected = ((groups - mean) / np.sqrt(variance + 1e-6)).reshape(plain.shape) * gamma + beta
    np.testing.assert_allclose(layer(X, training=True), np.maximum(expected, 0), atol=1e-4)  # float32 sums of 64
    np.testing.assert_allclose(layer(X[:1]), layer(X)[:1], atol=1e-5)
    assert {variable.path for variable in layer.variables} == {"c/weights", "c/GroupNorm/gamma", "c/GroupNorm/beta"}
    assert [sorted(part) for part in keras_layers(layer)] == [["kernel"], ["beta", "gamma"]]


def test_group_norm_refuses_channels_that_do_not_divide_into_groups():
    with pytest.raises(ValueError, match="group_norm has 32 groups, and a layer has 40 channels"):
        Conv("c", 40, 1, hyperparams(group_norm=GroupNormSettings()))(X)


def test_synchronised_batch_norm_differs_in_the_moving_variance_only():
    """Which takes the variance of the batch as it is."""
    settings = {"decay": 0.9, "epsilon": 0.01, "scale": True}
    plain, together = (BatchNorm(BatchNormSettings(**settings, synchronised=sync)) for sync in (False, True))
    np.testing.assert_allclose(together(X, training=True), plain(X, training=True), atol=1e-5)
    np.testing.assert_allclose(together.moving_mean, 0.1 * X.mean(axis=(0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(together.moving_variance, 0.9 + 0.1 * X.var(axis=(0, 1, 2)), rtol=1e-5)
    assert not np.allclose(together.moving_variance, plain.moving_variance, rtol=1e-4)
    with tf.GradientTape(persistent=True) as tape:
        x = tf.constant(X)
        tape.watch(x)
        sums = [tf.reduce_sum(norm(x, training=True) ** 3) for norm in (plain, together)]
    np.testing.assert_allclose(*(tape.gradient(one, x) for one in sums), atol=1e-3)
    np.testing.assert_allclose(
        together(X), (X - together.moving_mean) / np.sqrt(together.moving_variance + 0.01), rtol=1e-4
    )


@pytest.mark.parametrize(("channels", "filters"), [(8, 8), (3, 16), (16, 16)])
@pytest.mark.parametrize("padding", ["SAME", "VALID"])
def test_strided_1x1_convolution_and_its_gradient(channels, filters, padding):
    """Of few channels too: TensorFlow's own gradient of these damages memory on processors with AVX-512."""
    layer = Conv("conv", filters, 1, hyperparams(activation=None), stride=2, padding=padding)
    x = tf.random.stateless_normal([4, 48, 63, channels], [1, 2])
    for _ in range(5):
        with tf.GradientTape() as tape:
            y = layer(x)
            loss = tf.reduce_sum(y**2)
        gradient = tape.gradient(loss, layer.kernel.value)
    thinned = x.numpy().astype(np.float64)[:, ::2, ::2]
    expected = thinned @ layer.kernel.numpy()[0, 0]
    # float32 sums of 3 to 16 products, and of 4 x 24 x 32 for the gradient
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(gradient[0, 0], 2 * np.einsum("bhwi,bhwo->io", thinned, expected), rtol=1e-4, atol=1e-3)
