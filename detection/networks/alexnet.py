"""The family of AlexNet (Krizhevsky et al. 2012) as Caffe knows it: five convolutions, three max pools of 3x3 at stride
2, two normalisations across channels, three fully connected layers. CaffeNet and VGG_CNN_M_1024 are two tables for the
functions here.

Two forms share the weights:

    classifier  the borders that the network was trained with (often none); pools round up, so that every pixel lies in
        a window (Caffe's rule)
    aligned     every convolution and pool has a border of half its kernel: cell i of a map of stride s is centred on
                pixel i * s, whatever the size
                of the image, and a map has ceil(H / s) rows; so anchors, proposals and crops agree
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

POOLED = (1, 2, 5)  # numbers of the convolutions with a pool behind them
MIN_DEPTH = 8  # of thinned classifiers; there is none published


@dataclasses.dataclass(frozen=True)
class Convolution:
    """A row of a network's table."""

    depth: int
    kernel: int
    stride: int = 1
    border: int = 0  # zeros on every side, in the classifier
    groups: int = 1


@dataclasses.dataclass(frozen=True)
class Normalization:
    """Normalisation across channels, behind conv1 and conv2."""

    alpha: float  # Caffe's: divided by the number of neighbours
    bias: float  # k
    before_pool: bool


@dataclasses.dataclass(frozen=True)
class Design:
    """A network of the family."""

    scope: str
    convolutions: tuple[Convolution, ...]  # conv1 ... conv5
    normalization: Normalization | None
    fc_kernel: int  # cells of pool5, a side
    fc_depths: tuple[int, int]  # fc6, fc7

    def channels(self, depth: DepthRule, convolution: Convolution) -> int:
        """Rounded up to a number that groups divide."""
        groups = max(row.groups for row in self.convolutions)
        return -(-depth(convolution.depth) // groups) * groups


class BorderedConv(Conv):
    """A `Conv` with `border` zeros on every side, whose output channels may read only their group of input channels.

    `weights` [kh, kw, in / groups, filters]; group g of the filters reads group g of the inputs.
    """

    def __init__(
        self, name: str, filters: int, kernel: int, hyperparams: Hyperparams, stride: int, border: int, groups: int
    ) -> None:
        super().__init__(name, filters, kernel, hyperparams, stride=stride)
        self.border, self.groups = border, groups

    def build(self, shape: tuple[int | None, ...]) -> None:
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
        """A convolution each group: TensorFlow's grouped one is no faster, and without oneDNN a CPU has no gradients
        for it."""
        if self.groups == 1:
            return super()._convolve(x, kernel, padding)
        pairs = zip(tf.split(x, self.groups, axis=3), tf.split(kernel, self.groups, axis=3), strict=True)
        return tf.concat([super(BorderedConv, self)._convolve(*pair, padding) for pair in pairs], axis=3)


class BorderedMaxPool(keras.layers.Layer):
    """Largest value of windows of 3x3 at stride 2. The first is centred on the first pixel (`aligned`), or begins
    there, and the last may stick out.

    SAME and VALID mean something else: SAME moves the first window with the parity of the size, VALID leaves an even
    last row out.
    """

    def __init__(self, name: str, aligned: bool) -> None:
        super().__init__(name=name, autocast=False)
        self.aligned = aligned

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        height, width = x.shape[1:3]
        if height and width and height % 2 == width % 2 == int(self.aligned):
            return tf.nn.max_pool2d(x, 3, 2, "SAME")  # adds the same borders to maps of this parity, without a copy
        borders = [self._borders(x.shape[axis] or tf.shape(x)[axis]) for axis in (1, 2)]
        padded = tf.pad(
            x, [(0, 0), *borders, (0, 0)], constant_values=x.dtype.min
        )  # XLA has no pool with explicit borders
        return tf.nn.max_pool2d(padded, 3, 2, "VALID")

    def _borders(self, size: int | tf.Tensor) -> tuple[int, int | tf.Tensor]:
        """Pixels (before, after) with which the windows fit exactly."""
        return (1, size % 2) if self.aligned else (0, 1 - size % 2)


class LocalResponseNorm(keras.layers.Layer):
    """x / (bias + alpha / 5 * sum of the squares of a channel and its two neighbours on either side) ** 0.75
    (Krizhevsky et al. 2012, section 3.3).

    The sum is a product with a band matrix, and s ** -0.75 is rsqrt(s) * sqrt(rsqrt(s)). Forward this takes as long as
    `tf.nn.local_response_normalization` on a CPU, with gradients half as long.
    """

    SIZE = 5

    def __init__(self, name: str, alpha: float, bias: float) -> None:
        super().__init__(name=name, autocast=False)
        self.alpha, self.bias = alpha, bias

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        channel = np.arange(x.shape[3])
        band = np.abs(channel[:, np.newaxis] - channel) <= self.SIZE // 2
        weights = tf.constant(band[np.newaxis, np.newaxis] * (self.alpha / self.SIZE), x.dtype)
        root = tf.math.rsqrt(self.bias + tf.nn.conv2d(tf.square(x), weights, 1, "VALID"))
        return x * root * tf.sqrt(root)


def training_defaults() -> Hyperparams:
    """Weight decay of the original networks; initial values as tf-slim has them for VGG16, not Caffe's Gaussians with
    biases above zero."""
    return Hyperparams(initializer=keras.initializers.GlorotUniform(), regularizer=l2_penalty(0.0005))


def blocks(
    design: Design, hyperparams: Hyperparams, depth: DepthRule, aligned: bool = True, last_pool: bool = False
) -> tuple[keras.layers.Layer, ...]:
    """`conv1`, `pool1`, `norm1` (or `norm1`, `pool1`), ... `conv5` (stride 16), and `pool5` (stride 32) if asked for.

    Args:
        design: which network.
        hyperparams: of every convolution.
        depth: channels at depth multiplier 1 -> number of channels.
        aligned: the form for detection, else the classifier's.
        last_pool: `pool5` too.
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
    """`fc6` and `fc7` with dropout: a crop of `design.fc_kernel` cells a side becomes one cell, or (`whole_map`) a map
    keeps its size."""
    return fully_connected.tail(design.fc_kernel, design.fc_depths, hyperparams, depth, whole_map)


def classifier(design: Design, num_logits: int, depth_multiplier: float = 1.0) -> Classifier:
    """The network as it was trained on ImageNet: scaled images float32 [B, H, W, 3] -> logits."""
    hyperparams, depth = training_defaults(), depth_rule(depth_multiplier, MIN_DEPTH)
    head = (*tail(design, hyperparams, depth), fully_connected.logits(num_logits, hyperparams))
    return Classifier(design.scope, blocks(design, hyperparams, depth, aligned=False, last_pool=True), head)
