"""The AlexNet family of networks (Krizhevsky et al. 2012) in Caffe: CaffeNet and VGG_CNN_M_1024.

Five convolutions, three 3x3 max pools of stride 2, two normalisations across channels and three fully connected layers.
`caffenet.py` and `vgg_cnn_m.py` define a `Design` each for the functions here.

Two forms share the weights:

    classifier  the padding that the network was trained with (often none); pools round sizes up, so that every pixel is
                in a window (Caffe's rule)
    aligned     every convolution and pool is padded by half its kernel: cell i of a map of stride s is centred on pixel
                i * s, whatever the size of the image, and a map has ceil(H / s) rows, as anchors, proposals and crops
                assume
"""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from detection.networks import fully_connected
from detection.networks.classifier import Classifier
from detection.networks.depths import DepthRule, depth_rule
from detection.networks.hyperparams import Hyperparams, l2_penalty
from detection.networks.layers import Conv

POOLED = (1, 2, 5)  # numbers of the convolutions that are followed by a pool
MIN_DEPTH = 8  # of classifiers with a depth multiplier below 1, none of which is published


@dataclasses.dataclass(frozen=True)
class Convolution:
    """A convolution of a `Design`."""

    depth: int
    kernel: int
    stride: int = 1
    border: int = 0  # padding on every side, in the classifier, pixels
    groups: int = 1


@dataclasses.dataclass(frozen=True)
class Normalization:
    """Normalisation across channels, behind conv1 and conv2."""

    alpha: float  # as in Caffe, where it is divided by the number of channels in the sum
    bias: float  # k
    before_pool: bool


@dataclasses.dataclass(frozen=True)
class Design:
    """The layers of a network of the family."""

    scope: str
    convolutions: tuple[Convolution, ...]  # conv1 ... conv5
    normalization: Normalization | None
    fc_kernel: int  # kernel size of fc6, which is the size of pool5's map, in cells
    fc_depths: tuple[int, int]  # channels of fc6 and fc7

    def channels(self, depth: DepthRule, convolution: Convolution) -> int:
        """Returns the channels of a convolution, rounded up to a multiple of the number of groups."""
        groups = max(row.groups for row in self.convolutions)
        return -(-depth(convolution.depth) // groups) * groups


class BorderedConv(Conv):
    """A `Conv` with `border` pixels of zero padding on every side and grouped channels.

    `weights` [kh, kw, in / groups, filters]; group g of the filters reads group g of the input channels.
    """

    def __init__(
        self, name: str, filters: int, kernel: int, hyperparams: Hyperparams, stride: int, border: int, groups: int
    ) -> None:
        super().__init__(name, filters, kernel, hyperparams, stride=stride)
        self.border, self.groups = border, groups

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Creates kernel and biases.

        Raises:
            ValueError: the number of groups does not divide the channels.
        """
        if shape[-1] % self.groups or self.filters % self.groups:
            raise ValueError(
                f"{self.name}: {self.groups} groups do not divide {shape[-1]} inputs and {self.filters} filters"
            )
        self._add_kernel("weights", (*self.kernel_size, shape[-1] // self.groups, self.filters), regularize=True)
        self._add_bias(self.filters)

    def _padded(self, x: tf.Tensor) -> tuple[tf.Tensor, list[list[int]]]:
        side = [self.border, self.border]
        return x, [[0, 0], side, side, [0, 0]]

    def _convolve(self, x: tf.Tensor, kernel: tf.Tensor, padding: list[list[int]]) -> tf.Tensor:
        """Computes one convolution per group.

        TensorFlow's grouped convolution is no faster, and has no gradients on a CPU without oneDNN.
        """
        if self.groups == 1:
            return super()._convolve(x, kernel, padding)
        pairs = zip(tf.split(x, self.groups, axis=3), tf.split(kernel, self.groups, axis=3), strict=True)
        return tf.concat([super(BorderedConv, self)._convolve(*pair, padding) for pair in pairs], axis=3)


class BorderedMaxPool(keras.layers.Layer):
    """3x3 max pool of stride 2, whose last window may extend beyond the map.

    The first window is centred on the first pixel (`aligned`), or begins there. SAME and VALID differ from this: with
    SAME the position of the first window depends on the parity of the size, and VALID drops the last row of even sizes.
    """

    def __init__(self, name: str, aligned: bool) -> None:
        super().__init__(name=name, autocast=False)
        self.aligned = aligned

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """float32 [B, h, w, c] -> float32 [B, ceil(h / 2), ceil(w / 2), c], or h // 2 and w // 2 if not aligned."""
        height, width = x.shape[1:3]
        if height and width and height % 2 == width % 2 == int(self.aligned):
            return tf.nn.max_pool2d(x, 3, 2, "SAME")  # the same padding for sizes of this parity, without a copy
        borders = [self._borders(x.shape[axis] or tf.shape(x)[axis]) for axis in (1, 2)]
        padded = tf.pad(
            x, [(0, 0), *borders, (0, 0)], constant_values=x.dtype.min
        )  # XLA has no pool with explicit borders
        return tf.nn.max_pool2d(padded, 3, 2, "VALID")

    def _borders(self, size: int | tf.Tensor) -> tuple[int, int | tf.Tensor]:
        """Returns the padding (before, after) with which the windows fit exactly, pixels."""
        return (1, size % 2) if self.aligned else (0, 1 - size % 2)


class LocalResponseNorm(keras.layers.Layer):
    """Local response normalisation (Krizhevsky et al. 2012, section 3.3).

        x / (bias + alpha / 5 * sum of the squares of a channel and its two neighbours on either side) ** 0.75

    The sum is a product with a band matrix, and s ** -0.75 is rsqrt(s) * sqrt(rsqrt(s)). On a CPU, this takes as long
    as `tf.nn.local_response_normalization` forward, and half as long with gradients.
    """

    SIZE = 5

    def __init__(self, name: str, alpha: float, bias: float) -> None:
        super().__init__(name=name, autocast=False)
        self.alpha, self.bias = alpha, bias

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """float32 [B, h, w, c] -> the same shape."""
        channel = np.arange(x.shape[3])
        band = np.abs(channel[:, np.newaxis] - channel) <= self.SIZE // 2
        weights = tf.constant(band[np.newaxis, np.newaxis] * (self.alpha / self.SIZE), x.dtype)
        root = tf.math.rsqrt(self.bias + tf.nn.conv2d(tf.square(x), weights, 1, "VALID"))
        return x * root * tf.sqrt(root)


def training_defaults() -> Hyperparams:
    """Returns the default hyperparameters for base networks.

    The weight decay is that of the original networks; initialisers are those of tf-slim's VGG16, not Caffe's Gaussians
    with positive biases.
    """
    return Hyperparams(initializer=keras.initializers.GlorotUniform(), regularizer=l2_penalty(0.0005))


def blocks(
    design: Design, hyperparams: Hyperparams, depth: DepthRule, aligned: bool = True, last_pool: bool = False
) -> tuple[keras.layers.Layer, ...]:
    """Returns the layers up to `conv5` (stride 16), and `pool5` (stride 32) if requested.

    They are `conv1`, `pool1`, `norm1` (or `norm1`, `pool1`), ..., `conv5`.

    Args:
        design: the layers of the network.
        hyperparams: hyperparameters of every convolution.
        depth: channels at depth multiplier 1 -> number of channels.
        aligned: whether to return the aligned form, for detection, or the classifier's.
        last_pool: whether to include `pool5`.
    """
    layers: list[keras.layers.Layer] = []
    for number, row in enumerate(design.convolutions, start=1):
        border = row.kernel // 2 if aligned else row.border
        channels = design.channels(depth, row)
        layers.append(BorderedConv(f"conv{number}", channels, row.kernel, hyperparams, row.stride, border, row.groups))
        if number not in POOLED:
            continue
        behind: list[keras.layers.Layer] = [BorderedMaxPool(f"pool{number}", aligned)]
        norm = design.normalization if number < len(design.convolutions) else None
        if norm is not None:
            behind.insert(0 if norm.before_pool else 1, LocalResponseNorm(f"norm{number}", norm.alpha, norm.bias))
        layers += behind
    return tuple(layers if last_pool else layers[:-1])


def tail(
    design: Design, hyperparams: Hyperparams, depth: DepthRule, whole_map: bool = False
) -> tuple[keras.layers.Layer, ...]:
    """Returns fc6 and fc7 with dropout.

    A crop of `design.fc_kernel` cells a side becomes one cell, or (`whole_map`) a map keeps its size.
    """
    return fully_connected.tail(design.fc_kernel, design.fc_depths, hyperparams, depth, whole_map)


def classifier(design: Design, num_logits: int, depth_multiplier: float = 1.0) -> Classifier:
    """Returns the ImageNet classifier: scaled images float32 [B, H, W, 3] -> logits."""
    hyperparams, depth = training_defaults(), depth_rule(depth_multiplier, MIN_DEPTH)
    head = (*tail(design, hyperparams, depth), fully_connected.logits(num_logits, hyperparams))
    return Classifier(design.scope, blocks(design, hyperparams, depth, aligned=False, last_pool=True), head)
