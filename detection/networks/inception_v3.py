"""Inception v3 (Szegedy et al. 2016, "Rethinking the Inception Architecture", Table 1), as in tf-slim.

A stem of five convolutions, then eleven Inception modules:

    stem (stride 8)  ->  5b 5c 5d (8)  ->  6a ... 6e (16)  ->  7a 7b 7c (32)

5b to 5d are the paper's Figure 5 (with one 5x5), 6b to 6e its Figure 6 with 1x7 and 7x1 convolutions, 7b and 7c its
Figure 7; 6a and 7a halve the map (Figure 10). Block names are tf-slim's endpoints; names inside the blocks are
tf-slim's too, including irregular ones: in 6a two layers called `1a_1x1` are 3x3.

In the ImageNet network, the stem and the strided layers are padded VALID: for 299 pixels, maps have 35, 17 and 8 cells
a side, and the border of the image has no cells. Padded SAME instead, a map of stride s has ceil(size / s) cells a side
that cover the image evenly, as anchors and crops assume; the weights are the same.
"""

from __future__ import annotations

import dataclasses

import keras
import tensorflow as tf

from detection.networks import scaling
from detection.networks.blocks import AvgPool, Branches, Chain, Dropout, MaxPool, SpatialMean
from detection.networks.classifier import Classifier, ClassifierSpec
from detection.networks.depths import DepthRule, depth_rule
from detection.networks.hyperparams import BatchNormSettings, Hyperparams, l2_penalty
from detection.networks.layers import Conv

SCOPE = "InceptionV3"
AFTER_POOL_5 = {"Mixed_5b": 32, "Mixed_5c": 64, "Mixed_5d": 64}  # channels of the 1x1 convolution behind the pool
INNER_6 = {
    "Mixed_6b": 128,
    "Mixed_6c": 160,
    "Mixed_6d": 160,
    "Mixed_6e": 192,
}  # depth between the 1x7 and 7x1 convolutions
# Names in the second branch, which in tf-slim differ from module to module.
SECOND_5 = {"Mixed_5c": ("Conv2d_0b_1x1", "Conv_1_0c_5x5")}
SECOND_7 = {"Mixed_7b": "Conv2d_0b_3x1", "Mixed_7c": "Conv2d_0c_3x1"}
DROPOUT_KEEP = 0.8
MIN_DEPTH = 16  # of classifiers


def training_defaults() -> Hyperparams:
    """Returns the hyperparameters that tf-slim trains the network with, the default for base networks."""
    return Hyperparams(
        initializer=keras.initializers.VarianceScaling(2.0, "fan_in", "truncated_normal"),
        regularizer=l2_penalty(0.00004),
        batch_norm=BatchNormSettings(decay=0.9997, epsilon=0.001, center=True, scale=False),
    )


def blocks(hyperparams: Hyperparams, depth: DepthRule, padding: str = "VALID") -> tuple[keras.layers.Layer, ...]:
    """Returns the 18 blocks up to and including `Mixed_7c` (stride 32).

    Args:
        hyperparams: hyperparameters of every convolution.
        depth: channels at depth multiplier 1 -> number of channels (`depth_rule`).
        padding: padding of the stem and the strided layers: VALID as in the classifier, or SAME for maps that are
            aligned with the image.
    """
    make = _Modules(hyperparams, depth, padding)
    return (
        make.conv("Conv2d_1a_3x3", 32, 3, stride=2, padding=padding),
        make.conv("Conv2d_2a_3x3", 32, 3, padding=padding),
        make.conv("Conv2d_2b_3x3", 64, 3),
        MaxPool("MaxPool_3a_3x3", 3, 2, padding),
        make.conv("Conv2d_3b_1x1", 80, 1),
        make.conv("Conv2d_4a_3x3", 192, 3, padding=padding),
        MaxPool("MaxPool_5a_3x3", 3, 2, padding),
        *(make.module_5(name) for name in AFTER_POOL_5),
        make.reduction_6a(),
        *(make.module_6(name) for name in INNER_6),
        make.reduction_7a(),
        *(make.module_7(name) for name in SECOND_7),
    )


class _Modules:
    """Builds the five kinds of modules; `strided` is the padding of those that halve the map."""

    def __init__(self, hyperparams: Hyperparams, depth: DepthRule, strided: str) -> None:
        self.hyper, self.depth, self.strided = hyperparams, depth, strided

    def conv(
        self, name: str, filters: int, kernel: int | tuple[int, int], stride: int = 1, padding: str = "SAME"
    ) -> Conv:
        return Conv(name, self.depth(filters), kernel, self.hyper, stride=stride, padding=padding)

    def _halving(self, name: str, filters: int) -> Conv:
        return self.conv(name, filters, 3, stride=2, padding=self.strided)

    def _pooled(self, filters: int) -> tuple[keras.layers.Layer, ...]:
        return AvgPool("AvgPool_0a_3x3", 3, 1), self.conv("Conv2d_0b_1x1", filters, 1)

    def _pool(self) -> tuple[keras.layers.Layer, ...]:
        return (MaxPool("MaxPool_1a_3x3", 3, 2, self.strided),)

    def _sevens(self, inner: int, names: tuple[str, ...], last: int) -> tuple[Conv, ...]:
        """Returns a 1x1 convolution, then 1x7 and 7x1 ones, whose names end with their kernel size.

        All have `inner` channels except the last one.
        """
        depths = (*[inner] * (len(names) - 1), last)
        shapes = {"1x7": (1, 7), "7x1": (7, 1)}
        convolutions = (
            self.conv(name, filters, shapes[name[-3:]]) for name, filters in zip(names, depths, strict=True)
        )
        return self.conv("Conv2d_0a_1x1", inner, 1), *convolutions

    def module_5(self, name: str) -> Branches:
        reduce, five = SECOND_5.get(name, ("Conv2d_0a_1x1", "Conv2d_0b_5x5"))
        return _branches(
            name,
            (self.conv("Conv2d_0a_1x1", 64, 1),),
            (self.conv(reduce, 48, 1), self.conv(five, 64, 5)),
            (self.conv("Conv2d_0a_1x1", 64, 1), self.conv("Conv2d_0b_3x3", 96, 3), self.conv("Conv2d_0c_3x3", 96, 3)),
            self._pooled(AFTER_POOL_5[name]),
        )

    def reduction_6a(self) -> Branches:
        return _branches(
            "Mixed_6a",
            (self._halving("Conv2d_1a_1x1", 384),),
            (self.conv("Conv2d_0a_1x1", 64, 1), self.conv("Conv2d_0b_3x3", 96, 3), self._halving("Conv2d_1a_1x1", 96)),
            self._pool(),
        )

    def module_6(self, name: str) -> Branches:
        inner = INNER_6[name]
        return _branches(
            name,
            (self.conv("Conv2d_0a_1x1", 192, 1),),
            self._sevens(inner, ("Conv2d_0b_1x7", "Conv2d_0c_7x1"), 192),
            self._sevens(inner, ("Conv2d_0b_7x1", "Conv2d_0c_1x7", "Conv2d_0d_7x1", "Conv2d_0e_1x7"), 192),
            self._pooled(192),
        )

    def reduction_7a(self) -> Branches:
        return _branches(
            "Mixed_7a",
            (self.conv("Conv2d_0a_1x1", 192, 1), self._halving("Conv2d_1a_3x3", 320)),
            (*self._sevens(192, ("Conv2d_0b_1x7", "Conv2d_0c_7x1"), 192), self._halving("Conv2d_1a_3x3", 192)),
            self._pool(),
        )

    def module_7(self, name: str) -> Branches:
        forks = (
            (self.conv("Conv2d_0b_1x3", 384, (1, 3)), self.conv(SECOND_7[name], 384, (3, 1))),
            (self.conv("Conv2d_0c_1x3", 384, (1, 3)), self.conv("Conv2d_0d_3x1", 384, (3, 1))),
        )
        return _branches(
            name,
            (self.conv("Conv2d_0a_1x1", 320, 1),),
            _Forked("Branch_1", (self.conv("Conv2d_0a_1x1", 384, 1),), forks[0]),
            _Forked("Branch_2", (self.conv("Conv2d_0a_1x1", 448, 1), self.conv("Conv2d_0b_3x3", 384, 3)), forks[1]),
            self._pooled(192),
        )


class _Forked(keras.layers.Layer):
    """A chain of layers that ends in two parallel layers, whose outputs are concatenated along the channels."""

    def __init__(
        self, name: str, trunk: tuple[keras.layers.Layer, ...], tines: tuple[keras.layers.Layer, keras.layers.Layer]
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.trunk, self.tines = tuple(trunk), tuple(tines)

    @property
    def parts(self) -> tuple[keras.layers.Layer | tuple[keras.layers.Layer, ...], ...]:
        """For the order of layers in Keras."""
        return (*self.trunk, self.tines)

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Does nothing: the parts are built when first called, inside this layer's scope."""

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        for layer in self.trunk:
            x = layer(x, training=training)
        return tf.concat([tine(x, training=training) for tine in self.tines], axis=3)


def _branches(name: str, *branches: tuple[keras.layers.Layer, ...] | keras.layers.Layer) -> Branches:
    """Returns a module; a branch given as a tuple of layers becomes a chain `Branch_<i>`, a single layer is kept."""
    chains = (
        Chain(f"Branch_{i}", branch) if isinstance(branch, tuple) else branch for i, branch in enumerate(branches)
    )
    return Branches(name, tuple(chains))


def _auxiliary(hyperparams: Hyperparams, depth: DepthRule, num_logits: int) -> Chain:
    """Returns the auxiliary classifier on `Mixed_6e` (section 4), which works for images of 299 pixels only."""
    wide, last = (
        dataclasses.replace(hyperparams, initializer=keras.initializers.TruncatedNormal(stddev=stddev))
        for stddev in (0.01, 0.001)
    )
    layers = (
        AvgPool("AvgPool_1a_5x5", 5, 3, "VALID"),
        Conv("Conv2d_1b_1x1", depth(128), 1, hyperparams),
        Conv("Conv2d_2a_5x5", depth(768), 5, wide, padding="VALID"),
        Conv("Conv2d_2b_1x1", num_logits, 1, last.linear()),
    )
    return Chain("AuxLogits", layers)


def _classifier(num_logits: int, depth_multiplier: float = 1.0) -> Classifier:
    hyper, depth = training_defaults(), depth_rule(depth_multiplier, MIN_DEPTH)
    head = (SpatialMean(), Dropout("Dropout_1b", DROPOUT_KEEP), Conv("Conv2d_1c_1x1", num_logits, 1, hyper.linear()))
    return Classifier(
        SCOPE,
        blocks(hyper, depth),
        (Chain("Logits", head),),
        auxiliary=("Mixed_6e", _auxiliary(hyper, depth, num_logits)),
    )


CLASSIFIERS = {
    "inception_v3": ClassifierSpec(
        make=_classifier, scale=scaling.to_unit_range, image_size=299, num_logits=1001, background=True
    )
}
