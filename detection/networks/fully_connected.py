"""The fully connected layers fc6, fc7 and fc8 of AlexNet and VGG, as convolutions, as in tf-slim.

fc6 and fc7 have dropout behind them. A kernel that covers its whole input gives one cell; on a larger map, the same
weights give a map.
"""

from __future__ import annotations

import math

import keras
import tensorflow as tf

from detection.networks.blocks import Dropout
from detection.networks.depths import DepthRule
from detection.networks.factors import LEFT, RIGHT, check_rank
from detection.networks.hyperparams import Hyperparams
from detection.networks.layers import Conv

DROPOUT_KEEP = 0.5


class FullyConnected(Conv):
    """A `Conv` that is computed as one matrix product where its kernel covers its whole input.

    On a CPU, TensorFlow's convolution of 300 crops to one cell each takes 1.3 (fc6 of VGG16) to 10 times (fc7) as long,
    with gradients 1.6 to 12 times.
    """

    rank = 0  # of its weights as two factors (`low_rank`), set before they are created; 0: one matrix

    @property
    def kernels(self) -> tuple[keras.Variable, ...]:
        """The kernel, or its two factors."""
        return (self.kernel, self.right) if self.rank else (self.kernel,)

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Creates the kernel or its factors, and biases if there is no normaliser."""
        if not self.rank:
            super().build(shape)
            return
        inputs = math.prod(self.kernel_size) * shape[-1]
        check_rank(self.name, self.rank, inputs, self.filters)
        self._add_kernel(LEFT, (*self.kernel_size, shape[-1], self.rank), regularize=True)
        self.right = self.add_weight(
            name=RIGHT,
            shape=(self.rank, self.filters),
            initializer=self.hyperparams.initializer.clone(),
            regularizer=self.hyperparams.regularizer,
        )
        self._add_bias(self.filters)

    def _scaled_kernel(self, scale: tf.Tensor) -> tf.Tensor | tuple[tf.Tensor, tf.Tensor]:
        return (tf.convert_to_tensor(self.kernel), self.right * scale) if self.rank else super()._scaled_kernel(scale)

    def _convolve(self, x: tf.Tensor, kernel: tf.Tensor | tuple[tf.Tensor, tf.Tensor], padding: str) -> tf.Tensor:
        right = tf.convert_to_tensor(self.right) if self.rank else None
        if isinstance(kernel, tuple):
            kernel, right = kernel
        if padding != "VALID" or tuple(x.shape[1:3]) != self.kernel_size:
            y = super()._convolve(x, kernel, padding)
            return y if right is None else tf.nn.conv2d(y, right[tf.newaxis, tf.newaxis], 1, "VALID")
        rows = tf.reshape(x, [-1, kernel.shape[0] * kernel.shape[1] * kernel.shape[2]])
        y = tf.matmul(rows, tf.reshape(kernel, [rows.shape[1], kernel.shape[3]]))
        y = y if right is None else tf.matmul(y, right)
        return tf.reshape(y, [-1, 1, 1, self.filters])


def tail(
    kernel: int, depths: tuple[int, int], hyperparams: Hyperparams, depth: DepthRule, whole_map: bool = False
) -> tuple[keras.layers.Layer, ...]:
    """Returns `fc6`, `dropout6`, `fc7` and `dropout7`.

    Args:
        kernel: kernel size of fc6, which is the size of crops (or of the classifier's last map), in cells.
        depths: channels of fc6 and fc7 at depth multiplier 1.
        hyperparams: hyperparameters of both.
        depth: channels at depth multiplier 1 -> number of channels.
        whole_map: whether fc6 is applied to a whole map, padded SAME so that it keeps its size (R-FCN); otherwise a
            crop of `kernel` cells a side becomes one cell.
    """
    return (
        FullyConnected("fc6", depth(depths[0]), kernel, hyperparams, padding="SAME" if whole_map else "VALID"),
        Dropout("dropout6", DROPOUT_KEEP),
        FullyConnected("fc7", depth(depths[1]), 1, hyperparams, padding="VALID"),
        Dropout("dropout7", DROPOUT_KEEP),
    )


def logits(num_logits: int, hyperparams: Hyperparams) -> FullyConnected:
    """Returns `fc8`, which has no activation."""
    return FullyConnected("fc8", num_logits, 1, hyperparams.linear(), padding="VALID")
