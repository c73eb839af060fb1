"""MnasFPN (Chen et al. 2020, section 3): a pyramid found by architecture search, made of four equal cells.

The paper is "MnasFPN: Learning Latency-aware Pyramid Architecture for Object Detection on Mobile Devices".

    block   SepConv(relu6(resize(x_1) + resize(x_2)))       of two maps of any levels
    resize  up:   Conv1x1, then pixels repeated             (section 3.2: the cheaper order)
            down: max pool 3x3, then Conv1x1
    cell    five blocks; the last four are the maps of levels 3 to 6, plus the cell's input where shapes agree

C_6 is C_5 after a max pool and a 1x1 convolution. All convolutions have batch norm; only those of the network have an
activation.
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
DEPTH = 48  # channels of every map, at depth multiplier 1
LAST_OF_NETWORK = "expanded_conv_16"  # of MobileNet v2, instead of `Conv_1`
DEPTHWISE_STDDEV = 0.536  # He et al.'s for a channel with 9 inputs (3x3), corrected for the truncation
NORM = BatchNormSettings(decay=0.99, epsilon=0.01, center=True, scale=True)


class Plan(NamedTuple):
    """A block of a cell, at depth multiplier 1."""

    inputs: tuple[int, int]  # indices into the maps: those of the cell's input, then those of the blocks before it
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
    """He et al.'s initialiser, with a larger variance for depthwise kernels [k, k, c, 1].

    Each output channel of these reads one channel only.
    """

    def __call__(self, shape: Sequence[int], dtype: object = None) -> tf.Tensor:
        """Returns initial values of the given shape."""
        depthwise = shape[0] > 1 and shape[-1] == 1
        chosen = (
            keras.initializers.TruncatedNormal(stddev=DEPTHWISE_STDDEV) if depthwise else keras.initializers.HeNormal()
        )
        return chosen(shape, dtype)


def training_defaults(penalty: float) -> Hyperparams:
    """Returns the hyperparameters that network and pyramid always have, whatever the config says.

    Args:
        penalty: weight of the L2 penalty: 0.00004 for the network, 0.0001 for the pyramid.
    """
    return Hyperparams(
        initializer=HeInitializer(),
        regularizer=l2_penalty(penalty),
        activation=tf.nn.relu6,
        batch_norm=NORM,
        regularize_depthwise=True,
    )


class Block(keras.layers.Layer):
    """A block of a cell: two maps -> one of `plan.level`.

    Args:
        name: name of the block.
        plan: inputs, level and size of the block.
        above: levels of its inputs minus its own.
        depth: channels at depth multiplier 1 -> number of channels.
        hyperparams: hyperparameters of its convolutions.
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
        """Does nothing: the convolutions are built when first called, inside this layer's scope."""

    def call(self, maps: tuple[tf.Tensor, ...], like: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Combines two maps.

        Args:
            maps: the inputs, float32 [B, h, w, c] each.
            like: any map of the block's level, which gives the size of the output.
            training: whether batch norm runs in training mode.

        Returns:
            float32 [B, h', w', depth].
        """
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
    """A cell of five blocks."""

    def __init__(self, name: str, depth: DepthRule, hyperparams: Hyperparams) -> None:
        super().__init__(name=name, autocast=False)
        levels = [*LEVELS, *(plan.level for plan in CELL)]
        self.blocks = tuple(
            Block(f"block_{number}", plan, tuple(levels[each] - plan.level for each in plan.inputs), depth, hyperparams)
            for number, plan in enumerate(CELL)
        )

    def build(self, shape: object) -> None:
        """Does nothing: the blocks are built when first called, inside this layer's scope."""

    def call(self, maps: tuple[tf.Tensor, ...], training: bool = False) -> tuple[tf.Tensor, ...]:
        """Maps of levels 3 to 6, float32 [B, h, w, c] each, from fine to coarse -> maps of the same levels."""
        features = list(maps)
        for plan, block in zip(CELL, self.blocks, strict=True):
            chosen = tuple(features[each] for each in plan.inputs)
            features.append(block(chosen, like=maps[plan.level - LEVELS[0]], training=training))
        made = features[-len(maps) :]
        return tuple(y + x if y.shape[-1] == x.shape[-1] else y for x, y in zip(maps, made, strict=True))


class MnasFpn(keras.layers.Layer):
    """MnasFPN: maps of levels 3 to 5 of the network -> maps of levels 3 to 6, of one depth.

    Args:
        depth: channels at depth multiplier 1 -> number of channels.
        hyperparams: hyperparameters of every convolution, except for the activation: there is none.
    """

    def __init__(self, depth: DepthRule, hyperparams: Hyperparams) -> None:
        super().__init__(name="MnasFPN", autocast=False)
        linear = dataclasses.replace(hyperparams, activation=None)
        self.coarse = Conv("C6_Conv1x1", depth(DEPTH), 1, dataclasses.replace(linear, regularizer=None))
        self.cells = tuple(Cell(f"cell_{number}", depth, linear) for number in range(CELLS))
        self.num_maps = len(LEVELS)

    def build(self, shape: object) -> None:
        """Does nothing: the parts are built when first called, inside this layer's scope."""

    def call(self, maps: tuple[tf.Tensor, ...], training: bool = False) -> tuple[tf.Tensor, ...]:
        """Maps of levels 3 to 5, float32 [B, h, w, c] each, from fine to coarse -> maps of levels 3 to 6."""
        pooled = tf.nn.max_pool2d(maps[-1], 3, 2, "SAME")
        pyramid = (*maps, self.coarse(pooled, training=training))
        for cell in self.cells:
            pyramid = cell(pyramid, training=training)
        return pyramid

    def object_keys(self) -> dict[str, keras.Variable]:
        """Returns an empty dict: no object-based checkpoint of the TF Object Detection API has this pyramid."""
        return {}


def ssd(options: SsdExtractorOptions, levels: Levels) -> PyramidExtractor:
    """Returns the SSD extractor with MnasFPN on MobileNet v2, which `levels` returns.

    Both have the published hyperparameters; of `options`, only depths and `freeze_batch_norm` matter.
    """
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
    """Returns the rule `depth`, with `given` instead of the published depth of the maps."""
    return lambda table: depth(given if table == DEPTH else table)
