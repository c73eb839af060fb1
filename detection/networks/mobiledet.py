"""MobileDet (Xiong et al. 2020): backbones found by architecture search, one for each kind of mobile processor.

There are no ImageNet classifiers of them, only detectors.

    IBN              project(se(depthwise(expand(x))))      inverted bottleneck (section 3.1)
    IBNNoExpansion   project(se(depthwise(x)))
    FusedConv        project(se(conv(x)))                   k x k convolution to the wide map instead of two layers
    TuckerConv       project(conv(squeeze(x)))              bottleneck around a k x k convolution (section 3.2)

`project` has no activation; only the CPU backbone has `se`. The first block of a stage changes the number of channels
and in most stages strides; the others add their input to their output. Names are numbered as in tf-slim: `Conv`, `IBN`,
`IBN_1`, `FusedConv`, ...; in a block `Conv`, `SeparableConv2d`, `SqueezeExcite`, `Conv_1`.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import keras
import tensorflow as tf

from detection.networks.activations import hard_swish
from detection.networks.blocks import Chain, Residual
from detection.networks.depths import DepthRule, nearest_eights
from detection.networks.hyperparams import BatchNormSettings, Hyperparams, l2_penalty
from detection.networks.layers import Conv, DepthwiseConv
from detection.networks.squeeze_excite import SLIM_NAMES, SqueezeExcite

SQUEEZE = 0.25  # channels of a squeezed map, as a fraction of those of its input
# Standard deviation of a normal distribution truncated at two standard deviations, relative to that of the normal.
TRUNCATED = 0.87962566103423978


class Block(NamedTuple):
    """A block of a stage."""

    kind: str  # one of the kinds in the module docstring
    expansion: int = 0  # channels of the wide map, as a multiple of the input's
    kernel: int = 3
    shares: tuple[float, float] = (0.25, 0.25)  # TuckerConv: channels, as fractions of those of input and output


class Stage(NamedTuple):
    """A sequence of blocks of one depth; the first of them strides."""

    filters: int
    stride: int
    blocks: tuple[Block, ...]


@dataclasses.dataclass(frozen=True)
class Version:
    """A backbone.

    Attributes:
        scope: the backbone's name in checkpoints.
        stem: channels of `Conv`, 3x3 of stride 2.
        stages: the stages behind `Conv`.
        activation: activation of all layers except `project`.
        squeeze: whether blocks have squeeze and excitation.
    """

    scope: str
    stem: int
    stages: tuple[Stage, ...]
    activation: Callable[[tf.Tensor], tf.Tensor] = tf.nn.relu6
    squeeze: bool = False


def _ibn(expansion: int, kernel: int = 3) -> Block:
    return Block("IBN", expansion, kernel)


def _fused(expansion: int, kernel: int = 3) -> Block:
    return Block("FusedConv", expansion, kernel)


def _tucker(from_input: float, of_output: float) -> Block:
    return Block("TuckerConv", shares=(from_input, of_output))


_NO_EXPANSION = Block("IBNNoExpansion")
VERSIONS = {
    "mobiledet_cpu": Version(
        scope="MobileDetCPU",
        stem=16,
        stages=(
            Stage(8, 1, (_NO_EXPANSION,)),
            Stage(16, 2, (_ibn(4),)),
            Stage(32, 2, (_ibn(8), *(_ibn(4),) * 3)),
            Stage(72, 2, (_ibn(8, 5), _ibn(8), _ibn(4, 5), _ibn(4))),
            Stage(72, 1, (_ibn(8),) * 4),
            Stage(104, 2, (_ibn(8, 5), _ibn(4, 5), _ibn(4, 5), _ibn(4))),
            Stage(144, 1, (_ibn(8),)),
        ),
        activation=hard_swish,
        squeeze=True,
    ),
    "mobiledet_dsp": Version(
        scope="MobileDetDSP",
        stem=32,
        stages=(
            Stage(24, 1, (_NO_EXPANSION,)),
            Stage(32, 2, (_fused(4), _fused(4), _ibn(4), _tucker(0.25, 0.75))),
            Stage(64, 2, (_fused(8), _ibn(4), _fused(4), _fused(4))),
            Stage(120, 2, (_fused(8), _ibn(4), _ibn(8), _ibn(8))),
            Stage(144, 1, (_fused(8), *(_ibn(8),) * 3)),
            Stage(160, 2, (_ibn(4), _ibn(4), _fused(4), _tucker(0.75, 0.75))),
            Stage(240, 1, (_ibn(8),)),
        ),
    ),
    "mobiledet_edgetpu": Version(
        scope="MobileDetEdgeTPU",
        stem=32,
        stages=(
            Stage(16, 1, (_tucker(0.25, 0.75),)),
            Stage(16, 2, (_fused(8), _fused(4), _fused(8), _fused(4))),
            Stage(40, 2, (_fused(8, 5), *(_fused(4),) * 3)),
            Stage(72, 2, (_ibn(8), _ibn(8), _fused(4), _fused(4))),
            Stage(96, 1, (_ibn(8, 5), _ibn(8, 5), _ibn(8), _ibn(8))),
            Stage(120, 2, (_ibn(8, 5), _ibn(8), _ibn(4, 5), _ibn(8))),
            Stage(384, 1, (_ibn(8, 5),)),
        ),
    ),
    "mobiledet_gpu": Version(
        scope="MobileDetGPU",
        stem=32,
        stages=(
            Stage(16, 1, (_tucker(0.25, 0.25),)),
            Stage(32, 2, (_fused(8), *(_tucker(0.25, 0.25),) * 3)),
            Stage(64, 2, (_fused(8), _fused(8), _fused(8), _fused(4))),
            Stage(128, 2, (_fused(8), *(_fused(4),) * 3)),
            Stage(128, 1, (_fused(8),) * 4),
            Stage(128, 2, (_fused(4),) * 4),
            Stage(384, 1, (_ibn(8),)),
        ),
    ),
}


def training_defaults() -> Hyperparams:
    """Returns the hyperparameters that the backbones are trained with; depthwise kernels are set by `_depthwise`."""
    return Hyperparams(
        initializer=keras.initializers.HeNormal(),
        regularizer=l2_penalty(0.00004),
        batch_norm=BatchNormSettings(decay=0.99, epsilon=0.01, center=True, scale=True),
        regularize_depthwise=True,
    )


def depth_rule(multiplier: float) -> DepthRule:
    """Returns the rule depth -> the multiple of eight nearest to depth * multiplier."""
    return lambda depth: nearest_eights(depth * multiplier)


def blocks(version: Version, hyperparams: Hyperparams, depth: DepthRule) -> tuple[keras.layers.Layer, ...]:
    """Returns `Conv` and the blocks; the last map has stride 32.

    Args:
        version: the backbone.
        hyperparams: hyperparameters of every convolution, except for activations, which are those of `version`, and
            initialisers of depthwise kernels, which depend on their size.
        depth: see `depth_rule`.
    """
    hyperparams = dataclasses.replace(hyperparams, activation=version.activation)
    inputs = depth(version.stem)
    layers: list[keras.layers.Layer] = [Conv("Conv", inputs, 3, hyperparams, stride=2)]
    names = iter(block_names(version))
    for stage in version.stages:
        filters = depth(stage.filters)
        for number, block in enumerate(stage.blocks):
            parts = _parts(block, inputs, filters, 1 if number else stage.stride, version.squeeze, hyperparams)
            layers.append((Residual if number else Chain)(next(names), parts))
            inputs = filters
    return tuple(layers)


def block_names(version: Version) -> tuple[str, ...]:
    """Returns the names of the blocks behind `Conv`, in order; each kind is numbered separately."""
    seen: collections.Counter[str] = collections.Counter()
    names = []
    for kind in (block.kind for stage in version.stages for block in stage.blocks):
        names.append(f"{kind}_{seen[kind]}" if seen[kind] else kind)
        seen[kind] += 1
    return tuple(names)


def endpoints(version: Version) -> dict[int, str]:
    """Returns a mapping from level l to the name of the last block of stride 2^l."""
    names, level, found = iter(block_names(version)), 1, {}
    for stage in version.stages:
        level += stage.stride == 2
        found[level] = [next(names) for _ in stage.blocks][-1]
    return found


def _parts(
    block: Block, inputs: int, filters: int, stride: int, squeeze: bool, hyperparams: Hyperparams
) -> tuple[keras.layers.Layer, ...]:
    """Returns the layers of a block: [B, h, w, inputs] -> [B, ceil(h / stride), ceil(w / stride), filters]."""
    wide = inputs * max(block.expansion, 1)
    depthwise = DepthwiseConv("SeparableConv2d", block.kernel, _depthwise(hyperparams, block.kernel), stride=stride)
    before: tuple[keras.layers.Layer, ...]
    if block.kind == "TuckerConv":
        small, smaller = (
            nearest_eights(each * share) for each, share in zip((inputs, filters), block.shares, strict=True)
        )
        before = (
            Conv("Conv", small, 1, hyperparams),
            Conv("Conv_1", smaller, block.kernel, hyperparams, stride=stride),
        )
    elif block.kind == "FusedConv":
        before = (Conv("Conv", wide, block.kernel, hyperparams, stride=stride),)
    elif block.kind == "IBN":
        before = (Conv("Conv", wide, 1, hyperparams), depthwise)
    else:
        before = (depthwise,)
    weighs: tuple[keras.layers.Layer, ...] = ()
    if squeeze:
        weighs = (SqueezeExcite(nearest_eights(wide * SQUEEZE), hyperparams, "SqueezeExcite", SLIM_NAMES),)
    convolutions = sum(isinstance(layer, Conv) for layer in before)
    name = f"Conv_{convolutions}" if convolutions else "Conv"
    return (*before, *weighs, Conv(name, filters, 1, dataclasses.replace(hyperparams, activation=None)))


def _depthwise(hyperparams: Hyperparams, kernel: int) -> Hyperparams:
    """Returns hyperparameters with He et al.'s initialiser for kernels that read one channel: variance 2 / k^2."""
    stddev = (2.0 / kernel**2) ** 0.5 / TRUNCATED
    return dataclasses.replace(hyperparams, initializer=keras.initializers.TruncatedNormal(stddev=stddev))
