"""Inception v2 (Ioffe and Szegedy 2015, "Batch Normalization", Figure 5), as in tf-slim.

A stem that starts with a separable convolution, then ten Inception modules:

    stem (stride 4)  ->  3b 3c (8)  ->  4a ... 4e (16)  ->  5a 5b 5c (32)

A module concatenates four branches (1x1; 1x1, 3x3; 1x1, 3x3, 3x3; pool, 1x1); 4a and 5a halve the map with strided 3x3
convolutions and a pool instead. Block names are tf-slim's endpoints. All layers are padded SAME, so a map has ceil(size
/ stride) rows and columns.
"""

from __future__ import annotations

import dataclasses

import keras

from detection.networks import scaling
from detection.networks.blocks import AvgPool, Branches, Chain, Dropout, MaxPool, SpatialMean
from detection.networks.classifier import Classifier, ClassifierSpec
from detection.networks.depths import DepthRule, depth_rule
from detection.networks.hyperparams import BatchNormSettings, Hyperparams, l2_penalty
from detection.networks.layers import Conv, SeparableConv

SCOPE = "InceptionV2"
# Channels of (1x1), (1x1, 3x3), (1x1, 3x3, 3x3) and of the 1x1 behind the pool.
MODULES = {
    "Mixed_3b": (64, (64, 64), (64, 96), 32),
    "Mixed_3c": (64, (64, 96), (64, 96), 64),
    "Mixed_4a": ((128, 160), (64, 96)),  # (1x1, strided 3x3), (1x1, 3x3, strided 3x3)
    "Mixed_4b": (224, (64, 96), (96, 128), 128),
    "Mixed_4c": (192, (96, 128), (96, 128), 128),
    "Mixed_4d": (160, (128, 160), (128, 160), 96),
    "Mixed_4e": (96, (128, 192), (160, 192), 96),
    "Mixed_5a": ((128, 192), (192, 256)),
    "Mixed_5b": (352, (192, 320), (160, 224), 128),
    "Mixed_5c": (352, (192, 320), (192, 224), 128),
}
MAX_POOLED = ("Mixed_5c",)  # the others' fourth branch starts with an average
DROPOUT_KEEP = 0.8
MIN_DEPTH = 16  # of classifiers
# Standard deviations of layers that tf-slim initialises from a truncated normal, whatever the scope's initialiser is.
STEM_STDDEV, BEFORE_3X3_STDDEV, AFTER_POOL_STDDEV = 1.0, 0.09, 0.1


def training_defaults() -> Hyperparams:
    """Returns the hyperparameters that tf-slim trains the network with, the default for base networks."""
    return Hyperparams(
        initializer=keras.initializers.VarianceScaling(2.0, "fan_in", "truncated_normal"),
        regularizer=l2_penalty(0.00004),
        batch_norm=BatchNormSettings(decay=0.9997, epsilon=0.001, center=True, scale=False),
    )


def blocks(hyperparams: Hyperparams, depth: DepthRule, plain_stem: bool = False) -> tuple[keras.layers.Layer, ...]:
    """Returns the 15 blocks up to and including `Mixed_5c` (stride 32).

    Args:
        hyperparams: hyperparameters of every convolution, except for initialisers that tf-slim fixes per layer.
        depth: channels at depth multiplier 1 -> number of channels (`depth_rule`).
        plain_stem: whether the separable convolution has biases, but neither batch norm nor regularisation, as in the
            ImageNet checkpoint (tf-slim's arg scope does not apply to separable convolutions); otherwise it has
            `hyperparams`, as in the reference's detectors.
    """
    stem = dataclasses.replace(_drawn(hyperparams, STEM_STDDEV), regularize_depthwise=True)
    if plain_stem:
        stem = dataclasses.replace(stem, batch_norm=None, regularizer=None)
    multiplier = max(min(depth(64) // 3, 8), 1)  # the depthwise convolution has at most depth(64) channels
    make = _Modules(hyperparams, depth)
    return (
        SeparableConv("Conv2d_1a_7x7", depth(64), 7, multiplier, stem, stride=2),
        MaxPool("MaxPool_2a_3x3", 3, 2),
        Conv("Conv2d_2b_1x1", depth(64), 1, _drawn(hyperparams, AFTER_POOL_STDDEV)),
        Conv("Conv2d_2c_3x3", depth(192), 3, hyperparams),
        MaxPool("MaxPool_3a_3x3", 3, 2),
        *(make.module(name, row) if len(row) == 4 else make.reduction(name, row) for name, row in MODULES.items()),
    )


def _drawn(hyperparams: Hyperparams, stddev: float) -> Hyperparams:
    return dataclasses.replace(hyperparams, initializer=keras.initializers.TruncatedNormal(stddev=stddev))


class _Modules:
    """Builds the layers for rows of `MODULES`."""

    def __init__(self, hyperparams: Hyperparams, depth: DepthRule) -> None:
        self.hyper, self.depth = hyperparams, depth

    def _reduce(self, filters: int) -> Conv:
        """Returns the 1x1 convolution in front of 3x3 ones."""
        return Conv("Conv2d_0a_1x1", self.depth(filters), 1, _drawn(self.hyper, BEFORE_3X3_STDDEV))

    def _conv3(self, name: str, filters: int, stride: int = 1) -> Conv:
        return Conv(name, self.depth(filters), 3, self.hyper, stride=stride)

    def module(self, name: str, row: tuple) -> Branches:
        """Returns a module: four branches of stride 1."""
        single, (reduce_1, once), (reduce_2, twice), pooled = row
        pool = MaxPool("MaxPool_0a_3x3", 3, 1) if name in MAX_POOLED else AvgPool("AvgPool_0a_3x3", 3, 1)
        after_pool = Conv("Conv2d_0b_1x1", self.depth(pooled), 1, _drawn(self.hyper, AFTER_POOL_STDDEV))
        branches = (
            (Conv("Conv2d_0a_1x1", self.depth(single), 1, self.hyper),),
            (self._reduce(reduce_1), self._conv3("Conv2d_0b_3x3", once)),
            (self._reduce(reduce_2), self._conv3("Conv2d_0b_3x3", twice), self._conv3("Conv2d_0c_3x3", twice)),
            (pool, after_pool),
        )
        return Branches(name, tuple(Chain(f"Branch_{i}", layers) for i, layers in enumerate(branches)))

    def reduction(self, name: str, row: tuple) -> Branches:
        """Returns a module that halves the map: three branches of stride 2."""
        (reduce_0, once), (reduce_1, twice) = row
        branches = (
            (self._reduce(reduce_0), self._conv3("Conv2d_1a_3x3", once, stride=2)),
            (
                self._reduce(reduce_1),
                self._conv3("Conv2d_0b_3x3", twice),
                self._conv3("Conv2d_1a_3x3", twice, stride=2),
            ),
            (MaxPool("MaxPool_1a_3x3", 3, 2),),
        )
        return Branches(name, tuple(Chain(f"Branch_{i}", layers) for i, layers in enumerate(branches)))


def _classifier(num_logits: int, depth_multiplier: float = 1.0) -> Classifier:
    hyper, depth = training_defaults(), depth_rule(depth_multiplier, MIN_DEPTH)
    head = (SpatialMean(), Dropout("Dropout_1b", DROPOUT_KEEP), Conv("Conv2d_1c_1x1", num_logits, 1, hyper.linear()))
    return Classifier(SCOPE, blocks(hyper, depth, plain_stem=True), (Chain("Logits", head),))


CLASSIFIERS = {
    "inception_v2": ClassifierSpec(
        make=_classifier, scale=scaling.to_unit_range, image_size=224, num_logits=1001, background=True
    )
}
