"""Fully connected layers as two factors."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from detection.errors import ConfigError
from detection.networks import low_rank
from detection.networks.dense import CropDense, Dense
from detection.networks.fully_connected import FullyConnected
from detection.networks.hyperparams import BatchNormSettings, Hyperparams
from detection.networks.low_rank import Spectrum

HYPERPARAMS = Hyperparams(keras.initializers.RandomNormal(stddev=0.5, seed=1), activation=tf.nn.relu)
LAYERS = {
    "fc6 on crops": (lambda: FullyConnected("fc6", 6, 3, HYPERPARAMS, padding="VALID"), (5, 3, 3, 4)),
    "fc6 on a map": (lambda: FullyConnected("fc6", 6, 3, HYPERPARAMS, padding="SAME"), (2, 5, 7, 4)),
    "dense": (lambda: Dense("ClassPredictor", 6, HYPERPARAMS), (5, 9)),
    "crops": (lambda: CropDense("fc1", 6, HYPERPARAMS), (5, 3, 3, 4)),
    "normalised": (lambda: CropDense("fc2", 6, HYPERPARAMS, BatchNormSettings()), (5, 1, 1, 9)),
}


def pair(name: str, rank: int) -> tuple[keras.layers.Layer, keras.layers.Layer, tf.Tensor]:
    """A layer, and the same with its weights as factors of a rank."""
    make, shape = LAYERS[name]
    x = tf.random.stateless_normal(shape, [1, 2])
    whole, factored = make(), make()
    factored.rank = rank
    whole(x), factored(x)
    found = Spectrum(whole.kernel.numpy()).factors(rank)
    factored.kernel.assign(found.left)
    factored.right.assign(found.right)
    biases = tf.random.stateless_normal(whole.bias.shape, [3, 4])
    whole.bias.assign(biases), factored.bias.assign(biases)
    return whole, factored, x


@pytest.mark.parametrize("name", LAYERS)
def test_full_rank_is_the_layer_itself(name):
    whole, factored, x = pair(name, 6)
    np.testing.assert_allclose(factored(x), whole(x), rtol=1e-5, atol=1e-5)  # float32 sums of at most 36 products
    assert {variable.name for variable in factored.trainable_variables} >= {"left_weights", "right_weights", "biases"}


@pytest.mark.parametrize("name", LAYERS)
def test_a_lower_rank_is_the_best_approximation(name):
    whole, factored, x = pair(name, 2)
    rows = whole.kernel.numpy().astype(np.float64).reshape(-1, 6)
    left, values, right = np.linalg.svd(rows, full_matrices=False)
    whole.kernel.assign(((left[:, :2] * values[:2]) @ right[:2]).reshape(whole.kernel.shape))
    np.testing.assert_allclose(factored(x), whole(x), rtol=1e-4, atol=1e-5)


def test_folding_keeps_the_factors():
    whole, factored, x = pair("normalised", 6)
    for layer in (whole, factored):
        layer.batch_norm.moving_mean.assign(tf.linspace(-1.0, 1.0, 9))
        layer.batch_norm.moving_variance.assign(tf.linspace(0.5, 2.0, 9))
        layer.fold = True
    np.testing.assert_allclose(factored(x), whole(x), rtol=1e-4, atol=1e-5)


def test_gradients_reach_both_factors():
    _, factored, x = pair("fc6 on crops", 3)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(factored(x) ** 2)
    gradients = tape.gradient(loss, [factored.kernel.value, factored.right.value])
    assert all(np.abs(gradient).max() > 0 for gradient in gradients)


def test_the_rank_of_an_energy_is_the_least_that_keeps_it():
    weights = np.diag([4.0, 2.0, 2.0, 1.0]).astype(np.float32)  # squares 16, 4, 4, 1 of 25
    spectrum = Spectrum(weights)
    assert [spectrum.rank_of(energy) for energy in (0.0, 0.64, 0.65, 0.8, 0.96, 0.97, 1.0)] == [1, 1, 2, 2, 3, 4, 4]
    assert spectrum.factors(2).energy == pytest.approx(20 / 25)
    assert spectrum.factors(2).rank == 2 and spectrum.full_rank == 4


def test_ranks_that_cannot_be_are_refused():
    layer = Dense("fc", 6, HYPERPARAMS)
    layer.rank = 7
    with pytest.raises(
        ConfigError, match=r"truncated_svd of 'fc': rank \(7\) exceeds that of its weights, 9 x 6: at most 6"
    ):
        layer(tf.zeros([1, 9]))
    with pytest.raises(ConfigError, match="'fc9' is no fully connected layer; there are: fc"):
        low_rank.apply(layer, {"fc9": 3})
