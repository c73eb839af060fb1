"""MnasFPN (Chen et al. 2020, "MnasFPN: Learning Latency-aware Pyramid Architecture for Object Detection on Mobile
Devices", section 3): a pyramid that a search found for phones, four equal cells one after the other.

    block   SepConv(relu6(resize(x_1) + resize(x_2)))       over two maps of any levels
    resize  up:   Conv1x1, then pixels repeated             (section 3.2: whichever order is cheaper)
            down: max pool 3x3, then Conv1x1
    cell    five blocks; the last four are the maps of levels 3 to 6, and + the cell's input where shapes agree

C_6 is a pooled C_5 behind a 1x1 convolution. Every convolution has batch norm, none but the network's an activation.
Names: `MnasFPN/C6_Conv1x1`, `MnasFPN/cell_<n>/block_<n>/input_<n>/Conv1x1`, `MnasFPN/cell_<n>/block_<n>/SepConv`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import keras
import tensorflow as tf

from detection.feature_extractors.pyramids.extractor import PyramidExtractor
from detection.feature_extractors.pyramids.levels import Levels
from detection.feature_extractors.pyramids.upsampling import upsampled
from detection.feature_extractors.ssd_maps import FpnOptions, SsdExtractorOptions
from detection.networks.blocks import Chain
from detection.networks.depths import DepthRule, divisible_depth_rule
from detection.networks.hyperparams import BatchNormSettings, Hyperparams, l2_penalty
from detection.networks.layers import Conv, SeparableConv

LEVELS = range(3, 7)
CELLS = 4
DEPTH = 48  # of every map, at depth multiplier 1
LAST_OF_NETWORK = "expanded_conv_16"  # of MobileNet v2, in place of `Conv_1`
DEPTHWISE_STDDEV = 0.536  # He's for a channel that sees 3x3 pixels, made good for the truncation
NORM = BatchNormSettings(decay=0.99, epsilon=0.01, center=True, scale=True)


class Plan(NamedTuple):
    """A block of a cell, at depth multiplier 1."""

    inputs: tuple[int, int]  # positions among the maps of the cell's input and the blocks before it
    level: int
    kernel: int
    expansion: int  # channels of the sum


CELL = (
    Plan((1, 2), 4, 3, 256),
    Plan((0, 4), 3, 3, 128),
    Plan((5, 4), 4, 3, 128),
    Plan((4, 3), 5, 5, 128),
    Plan((4, 3), 6, 3, 96),
)


class HeInitializer(keras.initializers.Initializer):
    """He's initial values; depthwise kernels [k, k, c, 1], whose channels see one channel only, have a larger
    variance."""

    def __call__(self, shape: Sequence[int], dtype: object = None) -> tf.Tensor:
        depthwise = shape[0] > 1 and shape[-1] == 1
        chosen = (
            keras.initializers.TruncatedNormal(stddev=DEPTHWISE_STDDEV) if depthwise else keras.initializers.HeNormal()
        )
        return chosen(shape, dtype)


def training_defaults(penalty: float) -> Hyperparams:
    """What network and pyramid are trained with, whatever the config says.

    Args:
        penalty: weight of the L2 penalty: 0.00004 of the network, 0.0001 of the pyramid.
    """
    return Hyperparams(
        initializer=HeInitializer(),
        regularizer=l2_penalty(penalty),
        activation=tf.nn.relu6,
        batch_norm=NORM,
        regularize_depthwise=True,
    )


class Block(keras.layers.Layer):
    """Two maps -> one of `plan.level`.

    Args:
        name: of the block.
        plan: what it does.
        above: levels of its inputs minus its own.
        depth: a table depth -> number of channels.
        hyperparams: of its convolutions.
    """

    def __init__(
        self, name: str, plan: Plan, above: tuple[int, ...], depth: DepthRule, hyperparams: Hyperparams
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.above = above
        self.inputs = tuple(
            Chain(f"input_{number}", (Conv("Conv1x1", depth(plan.expansion), 1, hyperparams),))
            for number in range(len(above))
        )
        drawn = keras.initializers.TruncatedNormal(stddev=DEPTHWISE_STDDEV)
        separable = dataclasses.replace(hyperparams, initializer=drawn)
        self.convolution = SeparableConv("SepConv", depth(DEPTH), plan.kernel, 1, separable)

    def build(self, shape: object) -> None:
        """The convolutions build themselves when first called, inside this layer's scope."""

    def call(self, maps: tuple[tf.Tensor, ...], like: tf.Tensor, training: bool = False) -> tf.Tensor:
        """`like`: any map of the block's level."""
        total: tf.Tensor | None = None
        for convolve, above, features in zip(self.inputs, self.above, maps, strict=True):
            if above < 0:
                features = tf.nn.max_pool2d(features, 3, 2**-above, "SAME")
            features = convolve(features, training=training)
            if above > 0:
                features = upsampled(features, like)
            total = features if total is None else total + features
        return self.convolution(tf.nn.relu6(total), training=training)


class Cell(keras.layers.Layer):
    """Maps of levels 3 to 6, float32 [B, h, w, c] -> maps of the same levels."""

    def __init__(self, name: str, depth: DepthRule, hyperparams: Hyperparams) -> None:
        super().__init__(name=name, autocast=False)
        levels = [*LEVELS, *(plan.level for plan in CELL)]
        self.blocks = tuple(
            Block(f"block_{number}", plan, tuple(levels[each] - plan.level for each in plan.inputs), depth, hyperparams)
            for number, plan in enumerate(CELL)
        )

    def build(self, shape: object) -> None:
        """The blocks build themselves when first called, inside this layer's scope."""

    def call(self, maps: tuple[tf.Tensor, ...], training: bool = False) -> tuple[tf.Tensor, ...]:
        features = list(maps)
        for plan, block in zip(CELL, self.blocks, strict=True):
            chosen = tuple(features[each] for each in plan.inputs)
            features.append(block(chosen, like=maps[plan.level - LEVELS[0]], training=training))
        made = features[-len(maps) :]
        return tuple(y + x if y.shape[-1] == x.shape[-1] else y for x, y in zip(maps, made, strict=True))


class MnasFpn(keras.layers.Layer):
    """Maps of levels 3 to 5 of the network, float32 [B, h, w, c] -> maps of levels 3 to 6, of one depth.

    Args:
        depth: a table depth -> number of channels.
        hyperparams: of every convolution, which has no activation.
    """

    def __init__(self, depth: DepthRule, hyperparams: Hyperparams) -> None:
        super().__init__(name="MnasFPN", autocast=False)
        linear = dataclasses.replace(hyperparams, activation=None)
        self.coarse = Conv("C6_Conv1x1", depth(DEPTH), 1, dataclasses.replace(linear, regularizer=None))
        self.cells = tuple(Cell(f"cell_{number}", depth, linear) for number in range(CELLS))
        self.num_maps = len(LEVELS)

    def build(self, shape: object) -> None:
        """The parts build themselves when first called, inside this layer's scope."""

    def call(self, maps: tuple[tf.Tensor, ...], training: bool = False) -> tuple[tf.Tensor, ...]:
        pooled = tf.nn.max_pool2d(maps[-1], 3, 2, "SAME")
        pyramid = (*maps, self.coarse(pooled, training=training))
        for cell in self.cells:
            pyramid = cell(pyramid, training=training)
        return pyramid

    def object_keys(self) -> dict[str, keras.Variable]:
        """Object-based checkpoints of the TF Object Detection API hold no such pyramid."""
        return {}


def ssd(options: SsdExtractorOptions, levels: Levels) -> PyramidExtractor:
    """The extractor of SSD with MnasFPN on MobileNet v2, which `levels` makes. Both are always made as published:
    `options` decide on depths, and on batch norm that is frozen."""
    below = levels(
        dataclasses.replace(options, hyperparams=training_defaults(0.00004), override_base=True, depthwise=False)
    )
    cut = [block.name for block in below.network].index(LAST_OF_NETWORK) + 1
    endpoints = {**below.endpoints, LEVELS[-2]: LAST_OF_NETWORK}
    below = dataclasses.replace(below, network=below.network[:cut], endpoints=endpoints)
    made = training_defaults(0.0001)
    depth = divisible_depth_rule(options.depth_multiplier, options.min_depth)
    scaled = _of_depth(depth, (options.fpn or FpnOptions(depth=DEPTH)).depth)
    pyramid = MnasFpn(scaled, made.frozen() if options.freeze_batch_norm else made)
    return PyramidExtractor(below, LEVELS[:-1], pyramid, options, own_scope=True)


def _of_depth(depth: DepthRule, given: int) -> DepthRule:
    """The same rule, with another depth for the maps than the published one."""
    return lambda table: depth(given if table == DEPTH else table)
