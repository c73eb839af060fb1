"""ResNet v2 (He et al. 2016, "Identity Mappings in Deep Residual Networks"), as in Keras.

50 and 101 layers, with three convolutions per unit, and 18 and 34 layers, with two.

    unit:  z = relu(preact(x)),  y = shortcut + conv3(conv2(conv1(z)))        (two convolutions: conv2(conv1(z)))

preact is a batch norm. shortcut is a convolution of z in the first unit of a block, otherwise x, or every second pixel
of x where the last unit of a block strides. The stem's conv1 has no batch norm. Behind the last block is a batch norm,
`postnorm`, which is in checkpoints but is not run in detectors.

Names are tf-slim's for ResNet v2, below a separate scope: Keras pads pool1 with zeros on all sides, so the same weights
give other outputs. The networks of 18 and 34 layers exist only in the TF Object Detection API, which calls them v1.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import keras
import tensorflow as tf

from detection.networks.blocks import Chain, MaxPool
from detection.networks.depths import DepthRule
from detection.networks.hyperparams import Hyperparams
from detection.networks.keras_layers import KerasLayer, keras_layers, kernel_variables, layers_of, norm_variables
from detection.networks.layers import BatchNorm, Conv
from detection.networks.resnet_v1 import BASE_DEPTHS, EXPANSION, STEM_DEPTH, Subsample

UNITS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}  # layers of the network -> units of its four blocks
STRIDES = (2, 2, 2, 1)  # of the last unit of each block
SMALL_UNITS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
SMALL_STRIDES = (1, 2, 2, 2)


def scope(layers: int) -> str:
    """Returns the name of the network in checkpoints."""
    return f"resnet_v2_{layers}_keras"


class Bottleneck(keras.layers.Layer):
    """A unit of three convolutions.

    Args:
        base_depth: channels of conv1 and conv2.
        depth: channels of the output.
        stride: stride of conv2.
        first: whether this is the first unit of a block, where the shortcut is a convolution.
        hyperparams: hyperparameters with batch norm; conv3 and the shortcut have a bias instead.
    """

    def __init__(self, base_depth: int, depth: int, stride: int, first: bool, hyperparams: Hyperparams) -> None:
        super().__init__(name="bottleneck_v2", autocast=False)
        linear = hyperparams.linear()
        self.preact, self.activation = BatchNorm(hyperparams.batch_norm, "preact"), hyperparams.activation
        self.shortcut = Conv("shortcut", depth, 1, linear) if first else Subsample("shortcut", stride)
        self.conv1 = Conv("conv1", base_depth, 1, hyperparams)
        self.conv2 = Conv("conv2", base_depth, 3, hyperparams, stride=stride, padding="EXPLICIT")
        self.conv3 = Conv("conv3", depth, 1, linear)

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Does nothing: the parts are built when first called, inside this layer's scope."""

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """float32 [B, h, w, c] -> float32 [B, ceil(h / stride), ceil(w / stride), depth]."""
        z = self.activation(self.preact(x, training=training))
        shortcut = self.shortcut(z if isinstance(self.shortcut, Conv) else x)
        return shortcut + self.conv3(self.conv2(self.conv1(z, training=training), training=training))


@keras_layers.register
def _(layer: Bottleneck) -> Iterator[KerasLayer]:
    """Keras orders layers by their distance from the output: the shortcut is level with conv3 and comes first."""
    yield norm_variables(layer.preact)
    yield from layers_of((layer.conv1, layer.conv2))
    yield from (kernel_variables(part) for part in (layer.shortcut, layer.conv3) if isinstance(part, Conv))


class SmallUnit(keras.layers.Layer):
    """A unit of two convolutions, both with batch norm and activation; there is no layer behind the sum.

    Args:
        depth: channels of the output.
        stride: stride of conv2.
        first: whether this is the first unit of a block, where the shortcut is a convolution.
        hyperparams: hyperparameters with batch norm; the shortcut has a bias instead.
    """

    def __init__(self, depth: int, stride: int, first: bool, hyperparams: Hyperparams) -> None:
        super().__init__(name="basic_v2", autocast=False)
        self.preact, self.activation = BatchNorm(hyperparams.batch_norm, "preact"), hyperparams.activation
        self.shortcut = Conv("shortcut", depth, 1, hyperparams.linear()) if first else Subsample("shortcut", stride)
        self.conv1 = Conv("conv1", depth, 3, hyperparams, padding="EXPLICIT")
        self.conv2 = Conv("conv2", depth, 3, hyperparams, stride=stride, padding="EXPLICIT")

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Does nothing: the parts are built when first called, inside this layer's scope."""

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """float32 [B, h, w, c] -> float32 [B, ceil(h / stride), ceil(w / stride), depth]."""
        z = self.activation(self.preact(x, training=training))
        shortcut = self.shortcut(z if isinstance(self.shortcut, Conv) else x)
        return shortcut + self.conv2(self.conv1(z, training=training), training=training)


@keras_layers.register
def _(layer: SmallUnit) -> Iterator[KerasLayer]:
    """The shortcut is level with the last activation, behind conv2 and its batch norm."""
    yield norm_variables(layer.preact)
    yield from layers_of((layer.conv1, layer.conv2))
    if isinstance(layer.shortcut, Conv):
        yield kernel_variables(layer.shortcut)


def blocks(hyperparams: Hyperparams, depth: DepthRule, layers: int) -> tuple[keras.layers.Layer, ...]:
    """Returns `conv1`, `pool1`, `block1` ... `block4`.

    Args:
        hyperparams: hyperparameters of every convolution, with batch norm.
        depth: channels at depth multiplier 1 -> number of channels (`depth_rule`).
        layers: 18, 34, 50 or 101.
    """
    small = layers in SMALL_UNITS
    counts, strides = (SMALL_UNITS[layers], SMALL_STRIDES) if small else (UNITS[layers], STRIDES)
    plain = dataclasses.replace(hyperparams.linear(), force_bias=True)
    chains = []
    for number, (count, stride, base) in enumerate(zip(counts, strides, BASE_DEPTHS, strict=True), start=1):
        units = []
        for index in range(1, count + 1):
            first, own = index == 1, stride if index == count else 1
            unit = (
                SmallUnit(depth(base), own, first, hyperparams)
                if small
                else Bottleneck(depth(base), depth(EXPANSION * base), own, first, hyperparams)
            )
            units.append(Chain(f"unit_{index}", (unit,)))
        chains.append(Chain(f"block{number}", tuple(units)))
    stem = (
        Conv("conv1", depth(STEM_DEPTH), 7, plain, stride=2, padding="EXPLICIT"),
        MaxPool("pool1", 3, 2, "EXPLICIT"),
    )
    return (*stem, *chains)


def last_norm(hyperparams: Hyperparams) -> BatchNorm:
    """Returns `postnorm`, the batch norm behind the blocks."""
    return BatchNorm(hyperparams.batch_norm, "postnorm")
