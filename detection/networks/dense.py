"""Fully connected layers, whose weights have tf-slim's names."""

from __future__ import annotations

import math

import keras
import tensorflow as tf

from detection.networks.factors import LEFT, RIGHT, WHOLE, check_rank
from detection.networks.hyperparams import BatchNormSettings, Hyperparams
from detection.networks.layers import BatchNorm, add_biases


class Dense(keras.layers.Layer):
    """Fully connected layer: `weights` [in, units] and `biases`, then the activation.

    With a `rank`, set before the variables are created, the weights are two factors; see `low_rank`.
    """

    rank = 0

    def __init__(self, name: str, units: int, hyperparams: Hyperparams, bias_initializer: object = "zeros") -> None:
        super().__init__(name=name, autocast=False)
        self.units, self.hyperparams, self.bias_initializer = units, hyperparams, bias_initializer

    @property
    def kernels(self) -> tuple[keras.Variable, ...]:
        """The kernel, or its two factors."""
        return (self.kernel, self.right) if self.rank else (self.kernel,)

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Creates kernel and biases."""
        if self.rank:
            check_rank(self.name, self.rank, shape[-1], self.units)
            self.kernel = self._weight(LEFT, (shape[-1], self.rank))
            self.right = self._weight(RIGHT, (self.rank, self.units))
        else:
            self.kernel = self._weight(WHOLE, (shape[-1], self.units))
        self.bias = add_biases(self, self.units)

    def _weight(self, name: str, shape: tuple[int, int]) -> keras.Variable:
        hyper = self.hyperparams
        return self.add_weight(
            name=name, shape=shape, initializer=hyper.initializer.clone(), regularizer=hyper.regularizer
        )

    def _product(self, x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """Rows float32 [B, in] times the weights (`kernel` is all of them, or the left factor): float32 [B, units]."""
        y = tf.matmul(x, kernel)
        return tf.matmul(y, tf.convert_to_tensor(self.right)) if self.rank else y

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Input float32 [B, in] -> float32 [B, units]."""
        x = tf.nn.bias_add(self._product(x, tf.convert_to_tensor(self.kernel)), tf.convert_to_tensor(self.bias))
        activation = self.hyperparams.activation
        return x if activation is None else activation(x)


class CropDense(Dense):
    """Fully connected layer on whole crops.

    Its input may be normalised (`BatchNorm`), which needs crops of one cell. With `fold` the next trace folds the
    normalisation into the kernel: (x s + t) w + b = x (s w) + (t w + b).
    """

    def __init__(self, name: str, units: int, hyperparams: Hyperparams, norm: BatchNormSettings | None = None) -> None:
        super().__init__(name, units, hyperparams)
        self.batch_norm = BatchNorm(norm) if norm is not None else None
        self.fold, self.levels = False, 0

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Creates kernel and biases for crops of a fixed shape."""
        super().build((None, math.prod(shape[1:])))

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Crops float32 [N, h, w, c] -> float32 [N, 1, 1, units]."""
        kernel, bias = tf.convert_to_tensor(self.kernel), tf.convert_to_tensor(self.bias)
        if self.batch_norm is not None and self.fold:
            scale, shift = self.batch_norm.scale_and_shift()
            bias += self._product(shift[tf.newaxis], kernel)[0]
            kernel *= scale[:, tf.newaxis]
        elif self.batch_norm is not None:
            x = self.batch_norm(x, training=training)
        x = tf.nn.bias_add(self._product(tf.reshape(x, [-1, kernel.shape[0]]), kernel), bias)
        activation = self.hyperparams.activation
        x = x if activation is None else activation(x)
        return x[:, tf.newaxis, tf.newaxis]
