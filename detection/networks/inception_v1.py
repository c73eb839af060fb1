"""Inception v1, GoogLeNet (Szegedy et al. 2015, "Going Deeper with Convolutions", Table 1), as in tf-slim.

A stem of three convolutions, then nine Inception modules:

    stem (stride 8)  ->  3b 3c (8)  ->  4b ... 4f (16)  ->  5b 5c (32)

A module concatenates four branches (1x1; 1x1, 3x3; 1x1, 3x3; pool, 1x1). Like tf-slim, and unlike the paper, it has
batch norm, 3x3 convolutions instead of 5x5 ones, and no auxiliary classifiers. Block names are tf-slim's endpoints. All
layers are padded SAME, so a map has ceil(size / stride) rows and columns.
"""

from __future__ import annotations

import keras

from detection.networks import scaling
from detection.networks.blocks import Branches, Chain, Dropout, MaxPool, SpatialMean
from detection.networks.classifier import Classifier, ClassifierSpec
from detection.networks.depths import DepthRule, depth_rule
from detection.networks.hyperparams import BatchNormSettings, Hyperparams, l2_penalty
from detection.networks.layers import Conv

SCOPE = "InceptionV1"
# Channels of (1x1), (1x1, 3x3), (1x1, 3x3) and of the 1x1 behind the pool.
MODULES = {
    "Mixed_3b": (64, (96, 128), (16, 32), 32),
    "Mixed_3c": (128, (128, 192), (32, 96), 64),
    "Mixed_4b": (192, (96, 208), (16, 48), 64),
    "Mixed_4c": (160, (112, 224), (24, 64), 64),
    "Mixed_4d": (128, (128, 256), (24, 64), 64),
    "Mixed_4e": (112, (144, 288), (32, 64), 64),
    "Mixed_4f": (256, (160, 320), (32, 128), 128),
    "Mixed_5b": (256, (160, 320), (32, 128), 128),
    "Mixed_5c": (384, (192, 384), (48, 128), 128),
}
# Pools in front of a module: name and size.
POOLS = {"Mixed_3b": ("MaxPool_3a_3x3", 3), "Mixed_4b": ("MaxPool_4a_3x3", 3), "Mixed_5b": ("MaxPool_5a_2x2", 2)}
SECOND_3X3 = {"Mixed_5b": "Conv2d_0a_3x3"}  # names in the third branch that differ in tf-slim
DROPOUT_KEEP = 0.8
MIN_DEPTH = 16  # of classifiers


def training_defaults() -> Hyperparams:
    """Returns the hyperparameters that tf-slim trains the network with, the default for base networks."""
    return Hyperparams(
        initializer=keras.initializers.TruncatedNormal(stddev=0.01),
        regularizer=l2_penalty(0.00004),
        batch_norm=BatchNormSettings(decay=0.9997, epsilon=0.001, center=True, scale=False),
    )


def blocks(hyperparams: Hyperparams, depth: DepthRule) -> tuple[keras.layers.Layer, ...]:
    """Returns the 16 blocks up to and including `Mixed_5c` (stride 32).

    Args:
        hyperparams: hyperparameters of every convolution.
        depth: channels at depth multiplier 1 -> number of channels (`depth_rule`).
    """
    made: list[keras.layers.Layer] = [
        Conv("Conv2d_1a_7x7", depth(64), 7, hyperparams, stride=2),
        MaxPool("MaxPool_2a_3x3", 3, 2),
        Conv("Conv2d_2b_1x1", depth(64), 1, hyperparams),
        Conv("Conv2d_2c_3x3", depth(192), 3, hyperparams),
    ]
    for name, row in MODULES.items():
        if name in POOLS:
            pool, size = POOLS[name]
            made.append(MaxPool(pool, size, 2))
        made.append(_module(name, row, hyperparams, depth))
    return tuple(made)


def _module(name: str, row: tuple, hyperparams: Hyperparams, depth: DepthRule) -> Branches:
    single, (reduce_1, wide_1), (reduce_2, wide_2), pooled = row

    def conv(scope: str, filters: int, size: int) -> Conv:
        return Conv(scope, depth(filters), size, hyperparams)

    branches = (
        (conv("Conv2d_0a_1x1", single, 1),),
        (conv("Conv2d_0a_1x1", reduce_1, 1), conv("Conv2d_0b_3x3", wide_1, 3)),
        (conv("Conv2d_0a_1x1", reduce_2, 1), conv(SECOND_3X3.get(name, "Conv2d_0b_3x3"), wide_2, 3)),
        (MaxPool("MaxPool_0a_3x3", 3, 1), conv("Conv2d_0b_1x1", pooled, 1)),
    )
    return Branches(name, tuple(Chain(f"Branch_{i}", layers) for i, layers in enumerate(branches)))


def _classifier(num_logits: int, depth_multiplier: float = 1.0) -> Classifier:
    hyper, depth = training_defaults(), depth_rule(depth_multiplier, MIN_DEPTH)
    head = (SpatialMean(), Dropout("Dropout_0b", DROPOUT_KEEP), Conv("Conv2d_0c_1x1", num_logits, 1, hyper.linear()))
    return Classifier(SCOPE, blocks(hyper, depth), (Chain("Logits", head),))


CLASSIFIERS = {
    "inception_v1": ClassifierSpec(
        make=_classifier, scale=scaling.to_unit_range, image_size=224, num_logits=1001, background=True
    )
}
