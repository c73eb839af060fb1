"""Hyperparameters of convolutions: the object form of the message `Hyperparams`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import keras
import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class BatchNormSettings:
    """Batch normalisation of one layer; the defaults are those of the config schema, and every network sets its own."""

    decay: float = 0.999  # of the moving averages
    epsilon: float = 0.001
    center: bool = True  # has beta
    scale: bool = False  # has gamma
    train: bool = True  # False: training, too, uses the moving averages and does not update them
    # Batch statistics are computed over all replicas, and the moving variance is updated with the biased variance.
    synchronised: bool = False


@dataclasses.dataclass(frozen=True)
class GroupNormSettings:
    """Group normalisation of one layer (Wu and He 2018); the defaults are tf-slim's, and configs cannot change them."""

    groups: int = 32
    epsilon: float = 1e-6


@dataclasses.dataclass(frozen=True)
class Hyperparams:
    """Initialiser, regulariser, activation and normaliser shared by all convolutions of a part.

    `regularizer` maps a kernel to a scalar penalty. A layer without a normaliser (`batch_norm` or `group_norm`) has
    `biases`; a layer with one only if `force_bias`.
    """

    initializer: keras.initializers.Initializer
    regularizer: Callable[[tf.Tensor], tf.Tensor] | None = None
    activation: Callable[[tf.Tensor], tf.Tensor] | None = tf.nn.relu
    batch_norm: BatchNormSettings | None = None
    group_norm: GroupNormSettings | None = None  # instead of batch_norm
    regularize_depthwise: bool = False
    force_bias: bool = False
    regularize_biases: bool = False
    plain_pointwise: bool = False  # pointwise kernels of separable convolutions: Glorot initialiser, no regularisation

    @property
    def has_bias(self) -> bool:
        """Whether a layer has `biases`."""
        return (self.batch_norm is None and self.group_norm is None) or self.force_bias

    def linear(self) -> Hyperparams:
        """Returns a copy without normaliser and activation, for prediction layers."""
        return dataclasses.replace(self, activation=None, batch_norm=None, group_norm=None)

    def as_keras(self) -> Hyperparams:
        """Returns a copy with the behaviour of the Keras models of the TF Object Detection API.

        They regularise depthwise kernels, use Keras's defaults for the pointwise kernels of separable convolutions, and
        ignore `batch_norm.train`.
        """
        norm = self.batch_norm and dataclasses.replace(self.batch_norm, train=True)
        return dataclasses.replace(self, regularize_depthwise=True, plain_pointwise=True, batch_norm=norm)

    def frozen(self) -> Hyperparams:
        """Returns a copy with frozen batch norm: training, too, uses the moving averages and does not update them."""
        return dataclasses.replace(
            self, batch_norm=self.batch_norm and dataclasses.replace(self.batch_norm, train=False)
        )


def keras_defaults() -> Hyperparams:
    """Returns the defaults of Keras layers.

    They are Glorot's uniform initialiser, no regularisation, and a bias also in front of batch norm.
    """
    return Hyperparams(
        initializer=keras.initializers.GlorotUniform(),
        batch_norm=BatchNormSettings(decay=0.99, epsilon=0.001, center=True, scale=True),
        force_bias=True,
        plain_pointwise=True,
    )


def l2_penalty(weight: float) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns the penalty weight * sum(w²) / 2, tf-slim's definition (Keras's is twice as large)."""
    return lambda kernel: weight * tf.nn.l2_loss(kernel)


def l1_penalty(weight: float) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns the penalty weight * sum(|w|)."""
    return lambda kernel: weight * tf.reduce_sum(tf.abs(kernel))
