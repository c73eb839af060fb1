"""Fully connected layers, whose weights have tf-slim's names."""

from __future__ import annotations

import math

import keras
import tensorflow as tf

from detection.networks.hyperparams import BatchNormSettings, Hyperparams
from detection.networks.layers import BatchNorm, add_biases


class Dense(keras.layers.Layer):
    """Fully connected layer: `weights` [in, units] and `biases`, then the activation."""

    def __init__(self, name: str, units: int, hyperparams: Hyperparams, bias_initializer: object = "zeros") -> None:
        super().__init__(name=name, autocast=False)
        self.units, self.hyperparams, self.bias_initializer = units, hyperparams, bias_initializer

    @property
    def kernels(self) -> tuple[keras.Variable, ...]:
        """The kernel, as the only element."""
        return (self.kernel,)

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Creates kernel and biases."""
        hyper = self.hyperparams
        self.kernel = self.add_weight(
            name="weights",
            shape=(shape[-1], self.units),
            initializer=hyper.initializer.clone(),
            regularizer=hyper.regularizer,
        )
        self.bias = add_biases(self, self.units)

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Input float32 [B, in] -> float32 [B, units]."""
        x = tf.nn.bias_add(tf.matmul(x, tf.convert_to_tensor(self.kernel)), tf.convert_to_tensor(self.bias))
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
            kernel, bias = kernel * scale[:, tf.newaxis], bias + tf.linalg.matvec(kernel, shift, transpose_a=True)
        elif self.batch_norm is not None:
            x = self.batch_norm(x, training=training)
        x = tf.nn.bias_add(tf.matmul(tf.reshape(x, [-1, kernel.shape[0]]), kernel), bias)
        activation = self.hyperparams.activation
        x = x if activation is None else activation(x)
        return x[:, tf.newaxis, tf.newaxis]
