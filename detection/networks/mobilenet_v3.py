"""MobileNet v3 large and small (Howard et al. 2019, Tables 1 and 2), and MobileNet EdgeTPU.

tf-slim builds MobileNet EdgeTPU from the same blocks.

    block:  y = project(se(depthwise(expand(x)))), plus x where y has the shape of x
            1x1 to a wider map, k x k depthwise, squeeze and excitation in some blocks, 1x1 without activation
    fused:  y = project(expand(x)), expand k x k and strided, without depthwise convolution (EdgeTPU's first blocks)

Block names are tf-slim's: `Conv`, `expanded_conv`, `expanded_conv_1`, ..., `Conv_1`; in a block `expand`, `depthwise`,
`squeeze_excite` and `project`. Detectors halve the channels of the last stride (section 6.3 of the paper).
"""

from __future__ import annotations

import dataclasses
import functools
from typing import NamedTuple

import keras
import tensorflow as tf

from detection.networks import scaling
from detection.networks.activations import hard_swish
from detection.networks.blocks import Chain, Dropout, Residual, SpatialMean
from detection.networks.classifier import Classifier, ClassifierSpec
from detection.networks.depths import DepthRule, divisible, divisible_depth_rule
from detection.networks.hyperparams import BatchNormSettings, Hyperparams, l2_penalty
from detection.networks.layers import Conv, DepthwiseConv
from detection.networks.squeeze_excite import SLIM_NAMES, SqueezeExcite

DROPOUT_KEEP = 0.8
SQUEEZE = 0.25  # channels of a squeezed map, as a fraction of those of its input


class Block(NamedTuple):
    """A block: a row of the paper's tables, at depth multiplier 1."""

    filters: int  # channels of the output
    kernel: int = 3
    expansion: float = 1  # channels of the wide map, as a multiple of the input's; 1: there is no `expand`
    stride: int = 1
    squeeze: bool = False  # has squeeze and excitation
    swish: bool = True  # hard swish, otherwise ReLU
    fused: bool = False
    residual: bool = True  # add the input where its shape allows it


@dataclasses.dataclass(frozen=True)
class Version:
    """A network.

    Attributes:
        scope: the network's name in checkpoints.
        stem: channels of `Conv`, which has stride 2.
        blocks: the blocks between `Conv` and `Conv_1`.
        last: channels of `Conv_1`.
        swish: whether `Conv` and `Conv_1` have hard swish, otherwise ReLU.
        features: channels of the layer behind the mean, in a classifier; 0: there is no such layer.
        halved: number of the first block whose channels detectors halve, as well as those of all blocks behind it.
    """

    scope: str
    stem: int
    blocks: tuple[Block, ...]
    last: int
    swish: bool = True
    features: int = 0
    halved: int | None = None


LARGE = Version(
    scope="MobilenetV3",
    stem=16,
    blocks=(
        Block(16, swish=False),
        Block(24, expansion=4, stride=2, swish=False),
        Block(24, expansion=3, swish=False),
        Block(40, 5, 3, 2, squeeze=True, swish=False),
        *(Block(40, 5, 3, squeeze=True, swish=False),) * 2,
        Block(80, expansion=6, stride=2),
        Block(80, expansion=2.5),
        *(Block(80, expansion=184 / 80),) * 2,
        *(Block(112, expansion=6, squeeze=True),) * 2,
        Block(160, 5, 6, 2, squeeze=True),
        *(Block(160, 5, 6, squeeze=True),) * 2,
    ),
    last=960,
    features=1280,
    halved=12,
)
SMALL = Version(
    scope="MobilenetV3",
    stem=16,
    blocks=(
        Block(16, stride=2, squeeze=True, swish=False),
        Block(24, expansion=72 / 16, stride=2, swish=False),
        Block(24, expansion=88 / 24, swish=False),
        Block(40, 5, 4, 2, squeeze=True),
        *(Block(40, 5, 6, squeeze=True),) * 2,
        *(Block(48, 5, 3, squeeze=True),) * 2,
        Block(96, 5, 6, 2, squeeze=True),
        *(Block(96, 5, 6, squeeze=True),) * 2,
    ),
    last=576,
    features=1024,
    halved=8,
)


def _relu(filters: int, expansion: float, kernel: int = 3, stride: int = 1, **more: bool) -> Block:
    return Block(filters, kernel, expansion, stride, swish=False, **more)


EDGETPU = Version(
    scope="MobilenetEdgeTPU",
    stem=32,
    blocks=(
        _relu(16, 1, fused=True),
        _relu(32, 8, stride=2, fused=True),
        *(_relu(32, 4, fused=True),) * 3,
        _relu(48, 8, stride=2, fused=True),
        *(_relu(48, 4, fused=True),) * 3,
        _relu(96, 8, stride=2),
        *(_relu(96, 4),) * 3,
        _relu(96, 8, residual=False),
        *(_relu(96, 4),) * 3,
        _relu(160, 8, 5, stride=2),
        *(_relu(160, 4, 5),) * 3,
        _relu(192, 8),
    ),
    last=1280,
    swish=False,
)
VERSIONS = {"mobilenet_edgetpu": EDGETPU, "mobilenet_v3_large": LARGE, "mobilenet_v3_small": SMALL}


def training_defaults(decay: float = 0.997) -> Hyperparams:
    """Returns the hyperparameters that tf-slim trains the network with, the default for base networks.

    Args:
        decay: decay of batch norm's moving averages.
    """
    return Hyperparams(
        initializer=keras.initializers.TruncatedNormal(stddev=0.09),
        regularizer=l2_penalty(0.00004),
        batch_norm=BatchNormSettings(decay=decay, epsilon=0.001, center=True, scale=True),
    )


def gate(x: tf.Tensor) -> tf.Tensor:
    """The hard sigmoid, relu6(x + 3) / 6, with 1/6 rounded to five digits as in tf-slim."""
    return tf.nn.relu6(x + 3.0) * 0.16667


def blocks(
    version: Version, hyperparams: Hyperparams, depth: DepthRule, detector: bool = False
) -> tuple[keras.layers.Layer, ...]:
    """Returns the layers from `Conv` to `Conv_1`.

    Args:
        version: the network.
        hyperparams: hyperparameters of every convolution, except for activations, which are those of `version`.
        depth: channels at depth multiplier 1 -> number of channels (`divisible_depth_rule`).
        detector: whether to halve the channels of the last stride.
    """
    relu = dataclasses.replace(hyperparams, activation=tf.nn.relu)
    swish = dataclasses.replace(hyperparams, activation=hard_swish)
    halved = version.halved if detector and version.halved is not None else len(version.blocks) + 1
    own = swish if version.swish else relu
    inputs = depth(version.stem)
    layers: list[keras.layers.Layer] = [Conv("Conv", inputs, 3, own, stride=2)]
    for number, block in enumerate(version.blocks):
        filters = depth(block.filters / 2 if number >= halved else block.filters)
        name = f"expanded_conv_{number}" if number else "expanded_conv"
        layers.append(_block(name, inputs, filters, block, swish if block.swish else relu))
        inputs = filters
    last = version.last / 2 if halved < len(version.blocks) else version.last
    return (*layers, Conv("Conv_1", depth(last), 1, own))


def _block(name: str, inputs: int, filters: int, block: Block, hyperparams: Hyperparams) -> Chain:
    """Returns the block: float32 [B, h, w, inputs] -> float32 [B, ceil(h / stride), ceil(w / stride), filters]."""
    inner = divisible(block.expansion * inputs)
    parts: list[keras.layers.Layer] = []
    if inner > inputs:
        kernel, stride = (block.kernel, block.stride) if block.fused else (1, 1)
        parts.append(Conv("expand", inner, kernel, hyperparams, stride=stride))
    if not block.fused:
        parts.append(DepthwiseConv("depthwise", block.kernel, hyperparams, stride=block.stride))
    if block.squeeze:
        relu = dataclasses.replace(hyperparams, activation=tf.nn.relu)
        parts.append(SqueezeExcite(divisible(SQUEEZE * inner), relu, "squeeze_excite", SLIM_NAMES, gate))
    parts.append(Conv("project", filters, 1, dataclasses.replace(hyperparams, activation=None)))
    adds = block.residual and block.stride == 1 and inputs == filters
    return (Residual if adds else Chain)(name, tuple(parts))


def _classifier(version: Version, num_logits: int, depth_multiplier: float = 1.0) -> Classifier:
    """Returns a classifier; with a depth multiplier below 1, its last layer before the logits keeps its full depth."""
    hyperparams, depth = training_defaults(), divisible_depth_rule(depth_multiplier)
    unthinned = divisible_depth_rule(max(depth_multiplier, 1.0))
    network = blocks(version, hyperparams, depth)
    features: tuple[keras.layers.Layer, ...] = ()
    if version.features:
        biased = dataclasses.replace(hyperparams, batch_norm=None, activation=hard_swish)
        features = (SpatialMean(), Conv("Conv_2", unthinned(version.features), 1, biased))
    else:
        network = (*network[:-1], Conv("Conv_1", unthinned(version.last), 1, network[-1].hyperparams))
    head = (SpatialMean(), Dropout("Dropout", DROPOUT_KEEP), Conv("Conv2d_1c_1x1", num_logits, 1, hyperparams.linear()))
    return Classifier(version.scope, network, (*features, Chain("Logits", head)))


CLASSIFIERS = {
    name: ClassifierSpec(
        make=functools.partial(_classifier, version),
        scale=scaling.to_unit_range,
        image_size=224,
        num_logits=1001,
        background=True,
    )
    for name, version in VERSIONS.items()
}
