"""What a convolution is made with, besides its shape: the object form of the message `Hyperparams`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import keras
import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class BatchNormSettings:
    """Batch normalisation of one layer; the defaults are the schema's, not a network's: every network states its
    own."""

    decay: float = 0.999  # of the moving averages
    epsilon: float = 0.001
    center: bool = True  # has beta
    scale: bool = False  # has gamma
    train: bool = True  # False: moving averages are used, and left alone, in training too
    # statistics of a batch are those of all replicas together, and the moving variance takes them as they are
    synchronised: bool = False


@dataclasses.dataclass(frozen=True)
class GroupNormSettings:
    """Group normalisation of one layer (Wu and He 2018); the defaults are tf-slim's, which the schema cannot change."""

    groups: int = 32
    epsilon: float = 1e-6


@dataclasses.dataclass(frozen=True)
class Hyperparams:
    """Initialiser, regulariser, activation and normaliser that all convolutions of a part share.

    `regularizer` maps a kernel to a scalar penalty. Without a normaliser, `batch_norm` or `group_norm`, a layer has
    `biases`; with one only if `force_bias`.
    """

    initializer: keras.initializers.Initializer
    regularizer: Callable[[tf.Tensor], tf.Tensor] | None = None
    activation: Callable[[tf.Tensor], tf.Tensor] | None = tf.nn.relu
    batch_norm: BatchNormSettings | None = None
    group_norm: GroupNormSettings | None = None  # instead of batch_norm
    regularize_depthwise: bool = False
    force_bias: bool = False
    regularize_biases: bool = False
    plain_pointwise: bool = False  # pointwise kernels of separable convolutions: Glorot's initial values, no penalty

    @property
    def has_bias(self) -> bool:
        return (self.batch_norm is None and self.group_norm is None) or self.force_bias

    def linear(self) -> Hyperparams:
        """The same without normaliser and activation, as prediction layers are."""
        return dataclasses.replace(self, activation=None, batch_norm=None, group_norm=None)

    def as_keras(self) -> Hyperparams:
        """The same as the Keras models of the TF Object Detection API take it: depthwise kernels are penalised, the
        pointwise ones of separable convolutions are as Keras makes them, and `batch_norm.train` is not looked at."""
        norm = self.batch_norm and dataclasses.replace(self.batch_norm, train=True)
        return dataclasses.replace(self, regularize_depthwise=True, plain_pointwise=True, batch_norm=norm)

    def frozen(self) -> Hyperparams:
        """The same with batch norm that uses its moving averages, and leaves them alone, in training too."""
        return dataclasses.replace(
            self, batch_norm=self.batch_norm and dataclasses.replace(self.batch_norm, train=False)
        )


def keras_defaults() -> Hyperparams:
    """What layers of Keras have if nothing is said: Glorot's uniform kernels, no penalty, a bias also in front of batch
    norm."""
    return Hyperparams(
        initializer=keras.initializers.GlorotUniform(),
        batch_norm=BatchNormSettings(decay=0.99, epsilon=0.001, center=True, scale=True),
        force_bias=True,
        plain_pointwise=True,
    )


def l2_penalty(weight: float) -> Callable[[tf.Tensor], tf.Tensor]:
    """weight * sum(w²) / 2, tf-slim's definition (Keras's has no half)."""
    return lambda kernel: weight * tf.nn.l2_loss(kernel)


def l1_penalty(weight: float) -> Callable[[tf.Tensor], tf.Tensor]:
    """weight * sum(|w|)."""
    return lambda kernel: weight * tf.reduce_sum(tf.abs(kernel))
