"""ResNet v1 of 50, 101 and 152 layers (He et al. 2015, Table 1), as in tf-slim: a block strides in its last unit.

    unit:  y = relu(shortcut(x) + conv3(conv2(conv1(x))))

conv1 and conv3 are 1x1, conv2 is 3x3 and strides or dilates; conv3 and shortcut have no activation.

Block names are tf-slim's: `conv1`, `pool1`, `block1` ... `block4`; below a block `unit_<n>/bottleneck_v1/{conv1, conv2,
conv3, shortcut}`. Published checkpoints of 50 and 101 layers have these names. Strided convolutions have EXPLICIT
padding, so that every strided map is a subsample of the dense one.

Dense maps (Huang et al. 2017, section 3.1; Chen et al. 2015): once the map has the requested output stride, later
strides become dilation rates of the convolutions behind them ("atrous"). Every n-th pixel of such a map is the output
of the strided network.

Keras's ResNet v1 (`keras_form`) differs in one respect: the stride of a block is in its first unit, in conv1 and
shortcut, so the same weights give other outputs. It has another scope, so that the weights of one form are not loaded
into the other.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator

import keras
import tensorflow as tf

from detection.networks import scaling
from detection.networks.blocks import Chain, MaxPool, SpatialMean
from detection.networks.classifier import Classifier, ClassifierSpec
from detection.networks.depths import DepthRule, depth_rule
from detection.networks.hyperparams import BatchNormSettings, Hyperparams, l2_penalty
from detection.networks.keras_layers import KerasLayer, keras_layers, side_by_side
from detection.networks.layers import Conv

UNITS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}  # layers of the network -> units of its four blocks
STEM_DEPTH, STEM_STRIDE = 64, 4  # of conv1 and pool1 together
BASE_DEPTHS = (64, 128, 256, 512)  # of a block's 3x3 convolutions; its output has EXPANSION times as many channels
EXPANSION = 4
STRIDES = (2, 2, 2, 1)
OUTPUT_STRIDES = (4, 8, 16, 32)
MIN_DEPTH = 8  # of classifiers with a depth multiplier below 1, none of which is published


def scope(layers: int, keras_form: bool = False) -> str:
    """Returns the name of the network in checkpoints."""
    return f"resnet_v1_{layers}{'_keras' if keras_form else ''}"


def training_defaults(keras_form: bool = False) -> Hyperparams:
    """Returns the default hyperparameters for base networks.

    They are those with which tf-slim trains the network, or (`keras_form`) the TF Object Detection API its Keras form.
    """
    return Hyperparams(
        initializer=keras.initializers.VarianceScaling(1.0 if keras_form else 2.0, "fan_in", "truncated_normal"),
        regularizer=l2_penalty(0.0002 if keras_form else 0.0001),
        activation=tf.nn.relu,
        batch_norm=BatchNormSettings(decay=0.997, epsilon=1e-5, center=True, scale=True),
    )


class Subsample(keras.layers.Layer):
    """Keeps every n-th row and column of pixels, beginning with the first."""

    def __init__(self, name: str, stride: int) -> None:
        super().__init__(name=name, autocast=False)
        self.stride = stride

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """float32 [B, h, w, c] -> float32 [B, ceil(h / stride), ceil(w / stride), c]."""
        # A max pool with a 1x1 window: an equivalent strided slice takes ten times as long on a CPU.
        return tf.nn.max_pool2d(x, 1, self.stride, "VALID") if self.stride > 1 else x


class Bottleneck(keras.layers.Layer):
    """A residual unit (see the module docstring).

    Args:
        depth_in: channels of the input; if equal to `depth`, the shortcut is the (subsampled) input itself.
        depth: channels of the output.
        base_depth: channels between the convolutions.
        stride: stride of the unit; a unit that strides is not dilated.
        rate: dilation rate of conv2.
        hyperparams: hyperparameters of every convolution; the activation is applied after conv1, conv2 and the sum.
        keras_first: whether this is the first unit of a block of the Keras form, where conv1 strides instead of conv2,
            and the shortcut is always a convolution.
    """

    def __init__(
        self,
        depth_in: int,
        depth: int,
        base_depth: int,
        stride: int,
        rate: int,
        hyperparams: Hyperparams,
        keras_first: bool = False,
    ) -> None:
        super().__init__(name="bottleneck_v1", autocast=False)
        linear = dataclasses.replace(hyperparams, activation=None)
        same = depth_in == depth and not keras_first
        self.shortcut = Subsample("shortcut", stride) if same else Conv("shortcut", depth, 1, linear, stride=stride)
        self.conv1 = Conv("conv1", base_depth, 1, hyperparams, stride=stride if keras_first else 1)
        stride = 1 if keras_first else stride
        # With stride 1 both paddings give the same result; SAME needs no op of its own.
        self.conv2 = Conv(
            "conv2", base_depth, 3, hyperparams, stride=stride, rate=rate, padding="SAME" if stride == 1 else "EXPLICIT"
        )
        self.conv3 = Conv("conv3", depth, 1, linear)
        self.activation = hyperparams.activation

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Does nothing: the convolutions are built when first called, inside this layer's scope."""

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """float32 [B, h, w, depth_in] -> float32 [B, ceil(h / stride), ceil(w / stride), depth]."""
        residual = self.conv1(x, training=training)
        residual = self.conv2(residual, training=training)
        residual = self.conv3(residual, training=training)
        total = self.shortcut(x, training=training) + residual
        return total if self.activation is None else self.activation(total)


@keras_layers.register
def _(layer: Bottleneck) -> Iterator[KerasLayer]:
    return side_by_side([(layer.shortcut,), (layer.conv1, layer.conv2, layer.conv3)])


def blocks(
    hyperparams: Hyperparams,
    depth: DepthRule,
    units: tuple[int, ...],
    output_stride: int | None = None,
    dense: tuple[str, ...] = (),
) -> tuple[keras.layers.Layer, ...]:
    """Returns `conv1`, `pool1`, `block1` ... `block4`.

    Args:
        hyperparams: hyperparameters of every convolution.
        depth: channels at depth multiplier 1 -> number of channels (`depth_rule`).
        units: number of units of each block (`UNITS`).
        output_stride: stride of the last map, pixels: 4, 8, 16 or 32; None: the network's own, 32.
        dense: blocks whose outputs are needed before they stride: their last unit keeps the size, and a layer
            `<block>_subsample` behind them strides. The following maps are the same.

    Raises:
        ValueError: the network cannot have that output stride.
    """
    if output_stride not in (None, *OUTPUT_STRIDES):
        raise ValueError(
            f"output stride {output_stride} is not one that ResNet v1 can have; use one of {OUTPUT_STRIDES}"
        )
    layers = [Conv("conv1", depth(STEM_DEPTH), 7, hyperparams, stride=2, padding="EXPLICIT"), MaxPool("pool1", 3, 2)]
    for number, (stride, rates) in enumerate(_strides_and_rates(units, output_stride), start=1):
        name = f"block{number}"
        layers.append(_block(number, hyperparams, depth, 1 if name in dense else stride, rates))
        if name in dense and stride > 1:
            layers.append(Subsample(f"{name}_subsample", stride))
    return tuple(layers)


def keras_blocks(
    hyperparams: Hyperparams, depth: DepthRule, units: tuple[int, ...], pool_padding: str = "SAME"
) -> tuple[keras.layers.Layer, ...]:
    """Returns `conv1`, `pool1`, `block1` ... `block4` of the Keras form.

    Every block strides in its first unit, except for the first block, which does not stride.

    Args:
        hyperparams: see `blocks`.
        depth: see `blocks`.
        units: see `blocks`.
        pool_padding: padding of pool1: SAME as in the reference's SSDs, or EXPLICIT as in Keras.
    """
    stem = (
        Conv("conv1", depth(STEM_DEPTH), 7, hyperparams, stride=2, padding="EXPLICIT"),
        MaxPool("pool1", 3, 2, pool_padding),
    )
    bodies = (
        _block(number, hyperparams, depth, 1 if number == 1 else 2, (1,) * count, keras_form=True)
        for number, count in enumerate(units, start=1)
    )
    return (*stem, *bodies)


def last_block(hyperparams: Hyperparams, depth: DepthRule, units: tuple[int, ...]) -> Chain:
    """Returns `block4` on its own, without dilation, for the map of `block3` or crops of it."""
    return _block(len(units), hyperparams, depth, STRIDES[-1], (1,) * units[-1])


def keras_last_block(hyperparams: Hyperparams, depth: DepthRule, units: tuple[int, ...], stride: int = 2) -> Chain:
    """Returns `block4` of the Keras form on its own, which halves crops of the map of `block3`.

    With `stride` 1 it keeps the size, without dilation.
    """
    return _block(len(units), hyperparams, depth, stride, (1,) * units[-1], keras_form=True)


def _strides_and_rates(units: tuple[int, ...], output_stride: int | None) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Yields, for every block, the stride of its last unit and the dilation rate of each unit.

    A stride beyond the output stride multiplies the following rates instead.
    """
    reached, rate = STEM_STRIDE, 1
    for count, stride in zip(units, STRIDES, strict=True):
        if reached == output_stride:
            yield 1, (rate,) * count
            rate *= stride
        else:
            yield stride, (1,) * count
            reached *= stride


def _block(
    number: int,
    hyperparams: Hyperparams,
    depth: DepthRule,
    stride: int,
    rates: tuple[int, ...],
    keras_form: bool = False,
) -> Chain:
    """Returns one block, with a unit for each rate. The last unit strides, in the Keras form the first."""
    base = BASE_DEPTHS[number - 1]
    depth_in = depth(EXPANSION * BASE_DEPTHS[number - 2] if number > 1 else STEM_DEPTH)
    units = []
    for index, rate in enumerate(rates, start=1):
        own_stride = stride if index == (1 if keras_form else len(rates)) else 1
        keras_first = keras_form and index == 1
        unit = Bottleneck(depth_in, depth(EXPANSION * base), depth(base), own_stride, rate, hyperparams, keras_first)
        units.append(Chain(f"unit_{index}", (unit,)))
        depth_in = depth(EXPANSION * base)
    return Chain(f"block{number}", tuple(units))


def _classifier(layers: int, num_logits: int, depth_multiplier: float = 1.0) -> Classifier:
    hyperparams, depth = training_defaults(), depth_rule(depth_multiplier, MIN_DEPTH)
    head = (SpatialMean(name="pool5"), Conv("logits", num_logits, 1, hyperparams.linear()))
    return Classifier(scope(layers), blocks(hyperparams, depth, UNITS[layers]), head)


CLASSIFIERS: dict[str, ClassifierSpec] = {
    scope(layers): ClassifierSpec(
        make=functools.partial(_classifier, layers),
        scale=scaling.subtract_resnet_means,
        image_size=224,
        num_logits=1000,
        background=False,
    )
    for layers in UNITS
}
