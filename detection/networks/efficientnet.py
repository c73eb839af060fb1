"""EfficientNet b0 to b7 (Tan and Le 2019, Table 1, section 3.3).

A strided convolution, seven stacks of inverted residuals with squeeze and excitation, and a pointwise convolution; each
version is wider and deeper than the previous one.

    block:  y = project(se(depthwise(expand(x)))), plus x where y has the shape of x
            1x1 to six times the depth, k x k depthwise, squeeze and excitation, 1x1 without activation

Block names: `stem`, `stack_<i>_block_<j>`, `top`, from 0 as in TensorFlow's model garden; in a block `expand`,
`depthwise`, `se/reduce`, `se/expand` and `project`.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator
from typing import NamedTuple

import keras
import tensorflow as tf

from detection.networks import scaling
from detection.networks.blocks import Dropout, GlobalMean
from detection.networks.classifier import Classifier, ClassifierSpec
from detection.networks.dense import Dense
from detection.networks.depths import DepthRule, divisible
from detection.networks.hyperparams import BatchNormSettings, Hyperparams, l2_penalty
from detection.networks.keras_layers import KerasLayer, keras_layers, layers_of
from detection.networks.layers import Conv, DepthwiseConv
from detection.networks.squeeze_excite import SqueezeExcite


class Stack(NamedTuple):
    """A sequence of blocks of b0; the first of them strides."""

    filters: int  # channels of their outputs
    kernel: int  # size of the depthwise kernels
    repeats: int
    expansion: int
    stride: int


class Version(NamedTuple):
    """The scaling of a version, with the ImageNet image size and dropout that it was trained with."""

    width: float
    depth: float
    image_size: int
    dropout_keep: float


STACKS = (
    Stack(16, 3, 1, 1, 1),
    Stack(24, 3, 2, 6, 2),
    Stack(40, 5, 2, 6, 2),
    Stack(80, 3, 3, 6, 2),
    Stack(112, 5, 3, 6, 1),
    Stack(192, 5, 4, 6, 2),
    Stack(320, 3, 1, 6, 1),
)
VERSIONS = (
    Version(1.0, 1.0, 224, 0.8),
    Version(1.0, 1.1, 240, 0.8),
    Version(1.1, 1.2, 260, 0.7),
    Version(1.2, 1.4, 300, 0.7),
    Version(1.4, 1.8, 380, 0.6),
    Version(1.6, 2.2, 456, 0.6),
    Version(1.8, 2.6, 528, 0.5),
    Version(2.0, 3.1, 600, 0.5),
)
STEM_DEPTH, TOP_DEPTH, NUM_LOGITS = 32, 1280, 1000
SQUEEZE = 0.25  # channels of a squeezed map, as a fraction of those of the block's input
# Increment of the drop rate (the fraction of images whose residual is dropped) from block to block. The model garden
# divides by the number of blocks of b0 for all versions, so that larger ones exceed 0.2 in their last blocks.
DROP_STEP = 0.2 / sum(stack.repeats for stack in STACKS)


def scope(version: int) -> str:
    """Returns the name of the network in checkpoints."""
    return f"efficientnet-b{version}"


def training_defaults() -> Hyperparams:
    """Returns the hyperparameters that the model garden trains the network with, the default for base networks."""
    return Hyperparams(
        initializer=keras.initializers.VarianceScaling(2.0, "fan_out", "truncated_normal"),
        regularizer=l2_penalty(0.00001),
        activation=tf.nn.swish,
        batch_norm=BatchNormSettings(decay=0.99, epsilon=0.001, center=True, scale=True),
        regularize_biases=True,
    )


def depth_rule(version: int, multiplier: float = 1.0) -> DepthRule:
    """Returns the rule channels of b0 -> channels of a version, a multiple of eight.

    Args:
        version: 0 to 7.
        multiplier: additional depth multiplier, for which there are no published checkpoints.
    """
    return lambda depth: divisible(depth * VERSIONS[version].width * multiplier)


class InvertedResidual(keras.layers.Layer):
    """An inverted residual with squeeze and excitation (see the module docstring).

    Args:
        name: name of the block.
        inputs: channels of the input.
        filters: channels of the output.
        stack: the stack that the block belongs to; with expansion 1 there is no `expand`.
        stride: stride of the depthwise convolution.
        hyperparams: hyperparameters of every convolution; `project` has no activation.
        drop_rate: fraction of the images whose residual is dropped in training, in blocks that add their input
            (stochastic depth, Huang et al. 2016); the residuals of the others are scaled up.
        generator: random generator for the dropped images.
    """

    def __init__(
        self,
        name: str,
        inputs: int,
        filters: int,
        stack: Stack,
        stride: int,
        hyperparams: Hyperparams,
        drop_rate: float,
        generator: keras.random.SeedGenerator,
    ) -> None:
        super().__init__(name=name, autocast=False)
        inner = stack.expansion * inputs
        self.parts = (
            *((Conv("expand", inner, 1, hyperparams),) if stack.expansion > 1 else ()),
            DepthwiseConv("depthwise", stack.kernel, hyperparams, stride=stride),
            SqueezeExcite(max(1, int(inputs * SQUEEZE)), hyperparams),
            Conv("project", filters, 1, dataclasses.replace(hyperparams, activation=None)),
        )
        self.adds = stride == 1 and inputs == filters
        self.drop_rate, self.generator = drop_rate, generator

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Does nothing: the convolutions are built when first called, inside this layer's scope."""

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """float32 [B, h, w, inputs] -> float32 [B, ceil(h / stride), ceil(w / stride), filters]."""
        y = x
        for part in self.parts:
            y = part(y, training=training)
        if not self.adds:
            return y
        if training and self.drop_rate > 0:
            y = keras.random.dropout(y, self.drop_rate, noise_shape=(None, 1, 1, 1), seed=self.generator)
        return x + y


@keras_layers.register
def _(layer: InvertedResidual) -> Iterator[KerasLayer]:
    return layers_of(layer.parts)


def blocks(version: int, hyperparams: Hyperparams, depth: DepthRule) -> tuple[keras.layers.Layer, ...]:
    """Returns `stem` and the inverted residuals; the last map has stride 32.

    Args:
        version: 0 to 7.
        hyperparams: hyperparameters of every convolution.
        depth: `depth_rule` of the version.
    """
    generator = keras.random.SeedGenerator()  # one for all blocks, since its state is a variable
    inputs = depth(STEM_DEPTH)
    layers: list[keras.layers.Layer] = [Conv("stem", inputs, 3, hyperparams, stride=2)]
    for number, stack in enumerate(STACKS):
        filters = depth(stack.filters)
        for index in range(math.ceil(VERSIONS[version].depth * stack.repeats)):
            stride, rate = 1 if index else stack.stride, DROP_STEP * (len(layers) - 1)
            name = f"stack_{number}_block_{index}"
            layers.append(InvertedResidual(name, inputs, filters, stack, stride, hyperparams, rate, generator))
            inputs = filters
    return tuple(layers)


def top(hyperparams: Hyperparams, depth: DepthRule, num_logits: int = NUM_LOGITS) -> tuple[keras.layers.Layer, ...]:
    """Returns the head of the classifier without dropout: `top`, mean, `logits`.

    Args:
        hyperparams: hyperparameters of `top`.
        depth: `depth_rule` of the version.
        num_logits: number of logits.
    """
    initializer = keras.initializers.VarianceScaling(1 / 3, "fan_out", "uniform")
    return (
        Conv("top", depth(TOP_DEPTH), 1, hyperparams),
        GlobalMean("top_pool"),
        Dense("logits", num_logits, dataclasses.replace(hyperparams.linear(), initializer=initializer)),
    )


def _classifier(version: int, num_logits: int, depth_multiplier: float = 1.0) -> Classifier:
    hyperparams, depth = training_defaults(), depth_rule(version, depth_multiplier)
    network = blocks(version, hyperparams, depth)
    *pooled, logits = top(hyperparams, depth, num_logits)
    return Classifier(
        scope(version), network, (*pooled, Dropout("top_dropout", VERSIONS[version].dropout_keep), logits)
    )


CLASSIFIERS: dict[str, ClassifierSpec] = {
    scope(version): ClassifierSpec(
        make=functools.partial(_classifier, version),
        scale=scaling.standardize_imagenet,
        image_size=settings.image_size,
        num_logits=NUM_LOGITS,
        background=False,
    )
    for version, settings in enumerate(VERSIONS)
}
