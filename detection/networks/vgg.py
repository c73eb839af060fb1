"""VGG16 (Simonyan and Zisserman 2015, Table 1, column D).

Five stages of 3x3 convolutions, each followed by a 2x2 max pool, then fc6, fc7 and fc8.

Block names are tf-slim's: `conv1` ... `conv5` (each a chain, `conv4/conv4_3`), `pool1` ... `pool5`, `fc6`, `dropout6`,
`fc7`, `dropout7`. There is no batch norm. Three forms share the weights of the stages:

    classifier   pools drop an odd last row and column, as in tf-slim
    two stages   pools keep them (Caffe's rounding, as in all published detectors with VGG16): a map has ceil(H /
                 stride) rows; fc6 and fc7 on crops
    SSD          fc6 and fc7 as atrous convolutions on the map of stride 16, with a quarter of the channels; `decimate`
                 computes their weights
"""

from __future__ import annotations

import re

import keras
import numpy as np

from detection.networks import fully_connected, scaling
from detection.networks.blocks import Chain, MaxPool
from detection.networks.classifier import Classifier, ClassifierSpec
from detection.networks.depths import DepthRule, depth_rule
from detection.networks.hyperparams import Hyperparams, l2_penalty
from detection.networks.layers import Conv

SCOPE = "vgg_16"
STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # (depth, number of convolutions)
FC_KERNEL = 7
FC_DEPTHS = (4096, 4096)
ATROUS_DEPTHS = (1024, 1024)
ATROUS_RATE = 6
MIN_DEPTH = 8  # of classifiers with a depth multiplier below 1, none of which is published

_DECIMATED = re.compile(rf"(?:.*/)?{SCOPE}/(fc6|fc7)/(weights|biases)")


def training_defaults() -> Hyperparams:
    """Returns the hyperparameters that tf-slim trains the network with, the default for base networks."""
    return Hyperparams(initializer=keras.initializers.GlorotUniform(), regularizer=l2_penalty(0.0005))


def blocks(
    hyperparams: Hyperparams, depth: DepthRule, last_pool: bool = False, pool_padding: str = "SAME"
) -> tuple[keras.layers.Layer, ...]:
    """Returns `conv1`, `pool1`, ... `conv5` (stride 16), and `pool5` (stride 32) if requested.

    Args:
        hyperparams: hyperparameters of every convolution.
        depth: channels at depth multiplier 1 -> number of channels.
        last_pool: whether to include `pool5`.
        pool_padding: SAME keeps an odd last row or column of a map, VALID drops it.
    """
    layers: list[keras.layers.Layer] = []
    for number, (filters, count) in enumerate(STAGES, start=1):
        convolutions = tuple(Conv(f"conv{number}_{i}", depth(filters), 3, hyperparams) for i in range(1, count + 1))
        layers += [Chain(f"conv{number}", convolutions), MaxPool(f"pool{number}", 2, 2, pool_padding)]
    return tuple(layers if last_pool else layers[:-1])


def tail(hyperparams: Hyperparams, depth: DepthRule, whole_map: bool = False) -> tuple[keras.layers.Layer, ...]:
    """Returns fc6 and fc7 with dropout: 7x7 crops become one cell, or (`whole_map`) a map keeps its size."""
    return fully_connected.tail(FC_KERNEL, FC_DEPTHS, hyperparams, depth, whole_map)


def atrous_tail(hyperparams: Hyperparams, depth: DepthRule) -> tuple[keras.layers.Layer, ...]:
    """Returns `pool5` with stride 1, and `fc6` and `fc7` as atrous convolutions on the map of stride 16.

    Liu et al. 2016, section 3, after Chen et al. 2015 (DeepLab). Three taps, 6 cells of stride 16 apart, cover the same
    pixels as every third of fc6's seven taps on the map of stride 32. There is no dropout, as in that section.
    """
    return (
        MaxPool("pool5", 3, 1),
        Conv("fc6", depth(ATROUS_DEPTHS[0]), 3, hyperparams, rate=ATROUS_RATE),
        Conv("fc7", depth(ATROUS_DEPTHS[1]), 1, hyperparams),
    )


def classifier(num_logits: int, depth_multiplier: float = 1.0) -> Classifier:
    """Returns the ImageNet classifier: images float32 [B, 224, 224, 3] minus the channel means -> logits."""
    hyperparams, depth = training_defaults(), depth_rule(depth_multiplier, MIN_DEPTH)
    head = (*tail(hyperparams, depth), fully_connected.logits(num_logits, hyperparams))
    return Classifier(SCOPE, blocks(hyperparams, depth, last_pool=True, pool_padding="VALID"), head)


CLASSIFIERS = {
    SCOPE: ClassifierSpec(classifier, scaling.subtract_vgg_means, image_size=224, num_logits=1000, background=False)
}


def can_decimate(name: str, source: tuple[int, ...], target: tuple[int, ...]) -> bool:
    """Returns whether `decimate` can convert the array `name` of a checkpoint; true for fc6 and fc7 of VGG16 only.

    Args:
        name: name of the array in the checkpoint.
        source: shape of the array.
        target: shape of the variable that it is loaded into.
    """
    return _decimation(name, tuple(source), tuple(target)) is not None


def decimate(name: str, value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Converts weights of the classifier's fc6 or fc7 to the atrous form by subsampling (Liu et al. 2016, section 3).

    Every third of fc6's 7x7 taps is kept, including the first and the last: 3x3. Every fourth of 4096 channels is kept:
    1024; likewise for the inputs of fc7 and the biases. The steps are derived from the two shapes, so that any depth
    multiplier works: `source // target` for channels, beginning with the first one.

    Args:
        name: name of the array in the checkpoint, `[.../]vgg_16/{fc6,fc7}/{weights,biases}`.
        value: weights [k, k, in, out] or biases [out].
        shape: shape of the variable that they are loaded into.

    Raises:
        ValueError: another name, or shapes for which there are no such steps.
    """
    steps = _decimation(name, value.shape, tuple(shape))
    if steps is None:
        raise ValueError(f"{name}: an array of shape {list(value.shape)} cannot be decimated to {list(shape)}")
    kept = [np.arange(size) * step for size, step in zip(shape, steps, strict=True)]
    return value[np.ix_(*kept)]


def _decimation(name: str, source: tuple[int, ...], target: tuple[int, ...]) -> tuple[int, ...] | None:
    """Returns the step along each axis; None if there are no such steps."""
    match = _DECIMATED.fullmatch(name)
    axes = {"weights": 4, "biases": 1}[match[2]] if match else 0
    if match is None or len(source) != axes or len(target) != axes or min(target) < 1:
        return None
    spatial = [_tap_step(*sizes) for sizes in zip(source[:-2], target[:-2], strict=True)]
    # fc6 reads the stages, whose channels are not subsampled; fc7 reads the remaining channels of fc6.
    inputs = [int(s == t) if match[1] == "fc6" else s // t for s, t in zip(source[-2:-1], target[-2:-1], strict=True)]
    steps = (*spatial, *inputs, source[-1] // target[-1])
    return steps if all(steps) else None


def _tap_step(source: int, target: int) -> int:
    """Returns the step that keeps both ends; 0 if there is none."""
    if source == target:
        return 1
    return (source - 1) // (target - 1) if 1 < target < source and (source - 1) % (target - 1) == 0 else 0
