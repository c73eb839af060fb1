"""Inception-ResNet v2 (Szegedy et al. 2016, Figures 3, 15 to 19).

Inception modules whose scaled outputs are added to their inputs:

    stem  ->  Mixed_5b  ->  Repeat: block35_1 ... 10  ->  Mixed_6a  ->  Repeat_1: block17_1 ... 20        (stride 16;
        "body")
          ->  Mixed_7a  ->  Repeat_2: block8_1 ... 9  ->  Block8  ->  Conv2d_7b_1x1                       (stride 32;
              "tail")

    residual:  y = relu(x + scale * Conv2d_1x1(branches(x)))        scale 0.17, 0.10, 0.20; 1 and no relu in Block8

Block names are tf-slim's, whose endpoint PreAuxLogits is the output of `Repeat_1`. The published classifier pads most
of its strided layers VALID, so that its maps lose their border; detectors use aligned maps (SAME everywhere).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import keras
import tensorflow as tf

from detection.networks import scaling
from detection.networks.blocks import AvgPool, Branches, Chain, Dropout, MaxPool
from detection.networks.classifier import Classifier, ClassifierSpec
from detection.networks.dense import Dense
from detection.networks.depths import DepthRule, depth_rule
from detection.networks.hyperparams import BatchNormSettings, Hyperparams, l2_penalty
from detection.networks.keras_layers import KerasLayer, keras_layers, layers_of, side_by_side
from detection.networks.layers import Conv

SCOPE = "InceptionResnetV2"
LAST_OF_BODY = "Repeat_1"
DROPOUT_KEEP = 0.8
MIN_DEPTH = 8

Step = tuple[str, int, int | tuple[int, int]]  # name, depth, kernel of a convolution


class Repeated(NamedTuple):
    """A residual block and the number of its repetitions."""

    count: int
    scale: float
    branches: tuple[tuple[Step, ...], ...]


MIXED_5B: tuple[tuple[Step, ...], ...] = (  # the last branch starts with a pool
    (("Conv2d_1x1", 96, 1),),
    (("Conv2d_0a_1x1", 48, 1), ("Conv2d_0b_5x5", 64, 5)),
    (("Conv2d_0a_1x1", 64, 1), ("Conv2d_0b_3x3", 96, 3), ("Conv2d_0c_3x3", 96, 3)),
    (("Conv2d_0b_1x1", 64, 1),),
)
MIXED_6A: tuple[tuple[Step, ...], ...] = (  # here and in 7a, the last of every branch strides, and a last branch pools
    (("Conv2d_1a_3x3", 384, 3),),
    (("Conv2d_0a_1x1", 256, 1), ("Conv2d_0b_3x3", 256, 3), ("Conv2d_1a_3x3", 384, 3)),
)
MIXED_7A: tuple[tuple[Step, ...], ...] = (
    (("Conv2d_0a_1x1", 256, 1), ("Conv2d_1a_3x3", 384, 3)),
    (("Conv2d_0a_1x1", 256, 1), ("Conv2d_1a_3x3", 288, 3)),
    (("Conv2d_0a_1x1", 256, 1), ("Conv2d_0b_3x3", 288, 3), ("Conv2d_1a_3x3", 320, 3)),
)
BLOCK35 = Repeated(
    10,
    0.17,
    (
        (("Conv2d_1x1", 32, 1),),
        (("Conv2d_0a_1x1", 32, 1), ("Conv2d_0b_3x3", 32, 3)),
        (("Conv2d_0a_1x1", 32, 1), ("Conv2d_0b_3x3", 48, 3), ("Conv2d_0c_3x3", 64, 3)),
    ),
)
BLOCK17 = Repeated(
    20,
    0.10,
    (
        (("Conv2d_1x1", 192, 1),),
        (("Conv2d_0a_1x1", 128, 1), ("Conv2d_0b_1x7", 160, (1, 7)), ("Conv2d_0c_7x1", 192, (7, 1))),
    ),
)
BLOCK8 = Repeated(
    9,
    0.20,
    (
        (("Conv2d_1x1", 192, 1),),
        (("Conv2d_0a_1x1", 192, 1), ("Conv2d_0b_1x3", 224, (1, 3)), ("Conv2d_0c_3x1", 256, (3, 1))),
    ),
)


def training_defaults() -> Hyperparams:
    """Returns the hyperparameters that tf-slim trains the network with, the default for base networks."""
    return Hyperparams(
        initializer=keras.initializers.GlorotUniform(),
        regularizer=l2_penalty(0.00004),
        activation=tf.nn.relu,
        batch_norm=BatchNormSettings(decay=0.9997, epsilon=0.001, center=True, scale=False),
        regularize_biases=True,
    )


class ScaledConv(Conv):
    """1x1 convolution with biases, whose output is multiplied by `scale`.

    The factor is applied to the weights, which are few compared with the map; in a frozen graph it is folded away.
    """

    def __init__(self, name: str, filters: int, hyperparams: Hyperparams, scale: float) -> None:
        super().__init__(name, filters, 1, hyperparams.linear())
        self.scale = scale

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """float32 [B, h, w, in] -> float32 [B, h, w, filters]."""
        return tf.nn.bias_add(self._convolve(x, self.kernel * self.scale, self.padding), self.bias * self.scale)


class InceptionResidual(keras.layers.Layer):
    """y = activation(x + scale * projection(branches(x))).

    Args:
        name: name of the block.
        branches: layers whose outputs are concatenated.
        channels: channels of the input and the output.
        scale: factor of the residual.
        hyperparams: hyperparameters of the projection, which has biases, and the activation.
        activates: whether the activation is applied to the sum.
    """

    def __init__(
        self,
        name: str,
        branches: tuple[keras.layers.Layer, ...],
        channels: int,
        scale: float,
        hyperparams: Hyperparams,
        activates: bool = True,
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.branches = tuple(branches)
        self.projection = ScaledConv("Conv2d_1x1", channels, hyperparams, scale)
        self.activation = hyperparams.activation if activates else None

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Does nothing: the branches are built when first called, inside this layer's scope."""

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """float32 [B, h, w, c] -> the same shape."""
        joined = tf.concat([branch(x, training=training) for branch in self.branches], axis=3)
        total = x + self.projection(joined, training=training)
        return total if self.activation is None else self.activation(total)


@keras_layers.register
def _(layer: InceptionResidual) -> Iterator[KerasLayer]:
    yield from side_by_side([branch.parts for branch in layer.branches])
    yield from layers_of((layer.projection,))


class AtrousMaxPool(keras.layers.Layer):
    """Max pool of stride 1 over 3x3 pixels that lie `rate` apart, computed first along columns, then along rows."""

    def __init__(self, name: str, rate: int) -> None:
        super().__init__(name=name, autocast=False)
        self.rate = rate

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """float32 [B, h, w, c] -> the same shape."""
        border = (self.rate, self.rate)
        x = tf.pad(x, [(0, 0), border, border, (0, 0)], constant_values=x.dtype.min)
        x = tf.maximum(tf.maximum(x[:, : -2 * self.rate], x[:, self.rate : -self.rate]), x[:, 2 * self.rate :])
        return tf.maximum(
            tf.maximum(x[:, :, : -2 * self.rate], x[:, :, self.rate : -self.rate]), x[:, :, 2 * self.rate :]
        )


class GlobalMean(keras.layers.Layer):
    """Mean over height and width."""

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """float32 [B, h, w, c] -> float32 [B, c]."""
        return tf.reduce_mean(x, axis=[1, 2])


def blocks(hyperparams: Hyperparams, depth: DepthRule, aligned: bool = False) -> tuple[keras.layers.Layer, ...]:
    """Returns the 15 blocks up to and including `Conv2d_7b_1x1` (stride 32).

    Args:
        hyperparams: hyperparameters of every convolution; projections of residuals have biases instead of batch norm
            and activation.
        depth: channels at depth multiplier 1 -> number of channels (`depth_rule`).
        aligned: whether to pad SAME everywhere; otherwise padding is that of the published classifier.
    """
    return (*body(hyperparams, depth, aligned), *tail(hyperparams, depth, aligned))


def body(
    hyperparams: Hyperparams, depth: DepthRule, aligned: bool = True, output_stride: int = 16
) -> tuple[keras.layers.Layer, ...]:
    """Returns the blocks up to and including `Repeat_1`.

    Args:
        hyperparams: see `blocks`.
        depth: see `blocks`.
        aligned: see `blocks`.
        output_stride: stride of the last map, pixels: 16, or 8 with atrous convolutions in `Repeat_1`.

    Raises:
        ValueError: another output stride.
    """
    if output_stride not in (8, 16):
        raise ValueError(f"output stride {output_stride} is not one that Inception-ResNet v2 can have; use 8 or 16")
    make = _Modules(hyperparams, depth, "SAME" if aligned else "VALID")
    stride, rate = (2, 1) if output_stride == 16 else (1, 2)
    return (
        *make.stem(),
        make.mixed_5b(),
        make.repeated("Repeat", "block35", BLOCK35, make.channels_5b),
        make.reduction("Mixed_6a", MIXED_6A, stride),
        make.repeated(LAST_OF_BODY, "block17", BLOCK17, make.channels_6a, rate),
    )


def tail(
    hyperparams: Hyperparams,
    depth: DepthRule,
    aligned: bool = False,
    repeat: str = "Repeat_2",
    dense_from: int | None = None,
) -> tuple[keras.layers.Layer, ...]:
    """Returns the blocks behind `Repeat_1`, which halve its map.

    Args:
        hyperparams: see `blocks`.
        depth: see `blocks`.
        aligned: see `blocks`.
        repeat: name of the repeated block8; in a tail on its own it is `Repeat` in the reference's checkpoints.
        dense_from: if given, the map keeps its size, with atrous convolutions for a `Repeat_1` of this output stride,
            16 or 8; maps are then always aligned.
    """
    make = _Modules(hyperparams, depth, "SAME" if aligned or dense_from else "VALID")
    stride, rate, rate_behind = (1, 16 // dense_from, 32 // dense_from) if dense_from else (2, 1, 1)
    return (
        make.reduction("Mixed_7a", MIXED_7A, stride, rate),
        make.repeated(repeat, "block8", BLOCK8, make.channels_7a, rate_behind),
        make.residual("Block8", BLOCK8._replace(scale=1.0), make.channels_7a, rate_behind, activates=False),
        Conv("Conv2d_7b_1x1", depth(1536), 1, hyperparams),
    )


class _Modules:
    """Builds the layers for rows of the tables above."""

    def __init__(self, hyperparams: Hyperparams, depth: DepthRule, padding: str) -> None:
        self.hyper, self.depth, self.padding = hyperparams, depth, padding
        self.channels_5b = self._width(MIXED_5B)
        self.channels_6a = self.channels_5b + self._width(MIXED_6A)
        self.channels_7a = self.channels_6a + self._width(MIXED_7A)

    def _width(self, branches: tuple[tuple[Step, ...], ...]) -> int:
        return sum(self.depth(branch[-1][1]) for branch in branches)

    def _conv(self, step: Step, stride: int = 1, rate: int = 1, padding: str = "SAME") -> Conv:
        name, depth, kernel = step
        return Conv(
            name, self.depth(depth), kernel, self.hyper, stride=stride, rate=1 if kernel == 1 else rate, padding=padding
        )

    def stem(self) -> tuple[keras.layers.Layer, ...]:
        """Returns the stem: stride 8, 192 channels."""
        return (
            self._conv(("Conv2d_1a_3x3", 32, 3), stride=2, padding=self.padding),
            self._conv(("Conv2d_2a_3x3", 32, 3), padding=self.padding),
            self._conv(("Conv2d_2b_3x3", 64, 3)),
            MaxPool("MaxPool_3a_3x3", 3, 2, self.padding),
            self._conv(("Conv2d_3b_1x1", 80, 1)),
            self._conv(("Conv2d_4a_3x3", 192, 3), padding=self.padding),
            MaxPool("MaxPool_5a_3x3", 3, 2, self.padding),
        )

    def mixed_5b(self) -> Branches:
        """Returns `Mixed_5b`: four branches of stride 1."""
        branches = [[self._conv(step) for step in branch] for branch in MIXED_5B]
        branches[-1].insert(0, AvgPool("AvgPool_0a_3x3", 3, 1))
        return Branches("Mixed_5b", tuple(Chain(f"Branch_{i}", tuple(layers)) for i, layers in enumerate(branches)))

    def reduction(self, name: str, branches: tuple[tuple[Step, ...], ...], stride: int, rate: int = 1) -> Branches:
        """Returns a module whose branches end in strided layers."""
        layers = [
            [self._conv(step, rate=rate) for step in steps] + [self._conv(last, stride, rate, self.padding)]
            for *steps, last in branches
        ]
        layers.append(
            [MaxPool("MaxPool_1a_3x3", 3, stride, self.padding) if rate == 1 else AtrousMaxPool("MaxPool_1a_3x3", rate)]
        )
        return Branches(name, tuple(Chain(f"Branch_{i}", tuple(parts)) for i, parts in enumerate(layers)))

    def residual(
        self, name: str, block: Repeated, channels: int, rate: int, activates: bool = True
    ) -> InceptionResidual:
        """Returns one residual block with `channels` channels in its input and output."""
        branches = tuple(
            Chain(f"Branch_{i}", tuple(self._conv(step, rate=rate) for step in branch))
            for i, branch in enumerate(block.branches)
        )
        return InceptionResidual(name, branches, channels, block.scale, self.hyper, activates)

    def repeated(self, name: str, block_name: str, block: Repeated, channels: int, rate: int = 1) -> Chain:
        """Returns `block.count` residual blocks."""
        return Chain(
            name, tuple(self.residual(f"{block_name}_{i}", block, channels, rate) for i in range(1, block.count + 1))
        )


def _classifier(num_logits: int, depth_multiplier: float = 1.0) -> Classifier:
    """Returns a classifier with the auxiliary classifier on `Repeat_1`, which works for images of 299 pixels only."""
    hyper, depth = training_defaults(), depth_rule(depth_multiplier, MIN_DEPTH)
    auxiliary = (
        AvgPool("Conv2d_1a_3x3", 5, 3, "VALID"),
        Conv("Conv2d_1b_1x1", depth(128), 1, hyper),
        Conv("Conv2d_2a_5x5", depth(768), 5, hyper, padding="VALID"),
        GlobalMean(),
        Dense("Logits", num_logits, hyper.linear()),
    )
    head = (GlobalMean(), Dropout("Dropout", DROPOUT_KEEP), Dense("Logits", num_logits, hyper.linear()))
    return Classifier(
        SCOPE, blocks(hyper, depth), (Chain("Logits", head),), (LAST_OF_BODY, Chain("AuxLogits", auxiliary))
    )


CLASSIFIERS = {
    "inception_resnet_v2": ClassifierSpec(
        make=_classifier, scale=scaling.to_unit_range, image_size=299, num_logits=1001, background=True
    )
}
