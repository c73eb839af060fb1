"""NASNet-A large and PNASNet-5 large, networks of cells with two inputs: the outputs of the two cells before.

Zoph et al. 2018, "Learning Transferable Architectures for Scalable Image Recognition", Figure 4; Liu et al. 2018,
"Progressive Neural Architecture Search", Figure 1.

    h_0 = norm(1x1(relu(current))),   h_1 = previous, converted to the same size and depth
    h_i = operation(h_l) + operation(h_r),   i = 2 ... 6;   output: some of them, concatenated

A convolution is `norm(conv(relu(x)))`; separable convolutions come in pairs. Names are tf-slim's, in which the batch
norm of a convolution has a name of its own (`1x1`, `beginning_bn`). Two parts of the original are left out: dropping
paths in training, with a rate that rises from 0 at the first step to 0.3 or 0.4 at step 250,000, and the auxiliary
classifier.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import keras
import tensorflow as tf

from detection.networks.blocks import AvgPool, Chain, MaxPool
from detection.networks.depths import DepthRule
from detection.networks.hyperparams import BatchNormSettings, Hyperparams, l2_penalty
from detection.networks.layers import BatchNorm, Conv, SeparableConv

STEM_DEPTH, FIRST_KERNEL = 96, 3
SKIPPED, MAX, AVG = "none", "max", "avg"
Pair = tuple[tf.Tensor, tf.Tensor]  # outputs of the previous cell and of the current one


class Sum(NamedTuple):
    """left(h[l]) + right(h[r]); an operation is the size of separable kernels, a 3x3 pool, or nothing."""

    left: int | str
    l: int  # noqa: E741 - as in the formula
    right: int | str
    r: int


class Plan(NamedTuple):
    """The sums of a cell, and which h are its output."""

    sums: tuple[Sum, ...]
    joined: tuple[int, ...]


NORMAL = Plan(
    (Sum(5, 0, 3, 1), Sum(5, 1, 3, 1), Sum(AVG, 0, SKIPPED, 1), Sum(AVG, 1, AVG, 1), Sum(3, 0, SKIPPED, 0)),
    joined=(1, 2, 3, 4, 5, 6),
)
REDUCTION = Plan(
    (Sum(5, 0, 7, 1), Sum(MAX, 0, 7, 1), Sum(AVG, 0, 5, 1), Sum(SKIPPED, 3, AVG, 2), Sum(3, 2, MAX, 0)),
    joined=(3, 4, 5, 6),
)
PROGRESSIVE = Plan(
    (Sum(5, 1, MAX, 1), Sum(7, 0, MAX, 0), Sum(5, 0, 3, 0), Sum(3, 4, MAX, 0), Sum(3, 1, SKIPPED, 0)),
    joined=(2, 3, 4, 5, 6),
)


@dataclasses.dataclass(frozen=True)
class Design:
    """A network.

    Attributes:
        filters: of the cells of stride 8; doubled whenever the stride doubles.
        cells: number of numbered cells.
        halving: numbers of the cells at which the map is halved.
        normal: plan of the numbered cells.
        reduction: plan of the cells of the stem and of separate reduction cells.
        own_reduction: a separate cell `reduction_cell_<n>` halves the map, not the numbered cell itself.
        decay: weight of the L2 penalty.
    """

    filters: int
    cells: int
    halving: tuple[int, int]
    normal: Plan
    reduction: Plan
    own_reduction: bool
    decay: float


NASNET = Design(168, 18, (6, 12), NORMAL, REDUCTION, True, 0.00005)
PNASNET = Design(216, 12, (4, 8), PROGRESSIVE, PROGRESSIVE, False, 0.00004)


def training_defaults(design: Design) -> Hyperparams:
    """Returns what tf-slim trains the network with, unless a config overrides the hyperparameters of the network."""
    return Hyperparams(
        initializer=keras.initializers.VarianceScaling(2.0, "fan_out", "truncated_normal"),
        regularizer=l2_penalty(design.decay),
        activation=None,
        batch_norm=BatchNormSettings(decay=0.9997, epsilon=0.001, center=True, scale=True),
        regularize_depthwise=True,
    )


class _NormBeside(keras.layers.Layer):
    """Mixin of convolutions without biases whose batch norm, if any, is a sibling in checkpoints."""

    batch_norm: BatchNorm | None

    def _beside(self, norm: str, settings: BatchNormSettings | None, relu: bool) -> None:
        self.batch_norm, self.relu = BatchNorm(settings, norm) if norm and settings else None, relu

    def _add_bias(self, channels: int) -> None:
        self.bias = None

    def __call__(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Builds the batch norm in the caller's scope; the layer then calls it."""
        if self.batch_norm is not None and not self.batch_norm.built:
            self.batch_norm.build((None, None, None, self.filters))
        return super().__call__(tf.nn.relu(x) if self.relu else x, training=training)


def _bare(hyperparams: Hyperparams) -> Hyperparams:
    return dataclasses.replace(hyperparams, batch_norm=None, activation=None)


class NormedConv(_NormBeside, Conv):
    """norm(conv(relu(x))): float32 [B, h, w, c] -> float32 [B, h', w', filters].

    `norm` is the name of the batch norm; "" if there is none.
    """

    def __init__(
        self,
        name: str,
        norm: str,
        filters: int,
        hyperparams: Hyperparams,
        kernel: int = 1,
        stride: int = 1,
        padding: str = "SAME",
        relu: bool = True,
    ) -> None:
        super().__init__(name, filters, kernel, _bare(hyperparams), stride=stride, padding=padding)
        self._beside(norm, hyperparams.batch_norm, relu)


class NormedSeparable(_NormBeside, SeparableConv):
    """The same with a separable convolution."""

    def __init__(
        self, name: str, norm: str, filters: int, kernel: int, hyperparams: Hyperparams, stride: int = 1
    ) -> None:
        super().__init__(name, filters, kernel, 1, _bare(hyperparams), stride=stride)
        self._beside(norm, hyperparams.batch_norm, relu=True)


class Combination(keras.layers.Layer):
    """left(a) + right(b): float32 [B, h, w, c] each."""

    def __init__(self, name: str, left: Chain, right: Chain) -> None:
        super().__init__(name=name, autocast=False)
        self.left, self.right = left, right

    def build(self, shape: object) -> None:
        """Does nothing: the operations are built in their first call, inside this layer's scope."""

    def call(self, inputs: Pair, training: bool = False) -> tf.Tensor:
        """Returns the sum, float32 [B, h', w', filters]."""
        return self.left(inputs[0], training=training) + self.right(inputs[1], training=training)


class Cell(keras.layers.Layer):
    """A pair of maps -> the next pair.

    Args:
        name: of the cell.
        plan: the sums, and which of them are the output.
        filters: channels of all operations.
        hyperparams: of every convolution.
        stride: of the operations on the two inputs.
        previous: how the previous map is converted: `projected`, `halved` (it is twice as large), or `kept` unchanged,
            by the first cell, both of whose inputs are the same map.
        raw: channels of that map; only with `kept`.
        stays: the next pair has the same previous map, instead of the current one of this pair.
    """

    def __init__(
        self,
        name: str,
        plan: Plan,
        filters: int,
        hyperparams: Hyperparams,
        stride: int = 1,
        previous: str = "projected",
        raw: int | None = None,
        stays: bool = False,
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.plan, self.stays = plan, stays
        self.first = NormedConv("1x1", "beginning_bn", filters, hyperparams)
        self.projection = NormedConv("prev_1x1", "prev_bn", filters, hyperparams) if previous == "projected" else None
        halves = previous == "halved"
        half = (NormedConv(f"path{n}_conv", "", filters // 2, hyperparams, relu=False) for n in (1, 2))
        self.paths = tuple(half) if halves else ()
        self.joined_norm = BatchNorm(hyperparams.batch_norm, "final_path_bn") if halves else None

        def operation(side: str, kind: int | str, source: int) -> Chain:
            alike = raw is None or source != 1 or raw == filters
            own_stride = stride if source < 2 else 1
            return Chain(side, _operation(kind, filters, hyperparams, own_stride, alike))

        self.combinations = tuple(
            Combination(
                f"comb_iter_{number}", operation("left", each.left, each.l), operation("right", each.right, each.r)
            )
            for number, each in enumerate(plan.sums)
        )

    def build(self, shape: object) -> None:
        """Does nothing: the parts are built in their first call, inside this layer's scope."""

    def call(self, x: tf.Tensor | Pair, training: bool = False) -> Pair:
        """A pair of maps, or the one map of the first cell, -> the next pair."""
        previous, current = x if isinstance(x, tuple | list) else (x, x)
        states = [self.first(current, training=training), self._alike(previous, training)]
        for each, combination in zip(self.plan.sums, self.combinations, strict=True):
            states.append(combination((states[each.l], states[each.r]), training=training))
        return (previous if self.stays else current), tf.concat([states[number] for number in self.plan.joined], axis=3)

    def _alike(self, previous: tf.Tensor, training: bool) -> tf.Tensor:
        if self.projection is not None:
            return self.projection(previous, training=training)
        if self.joined_norm is None:
            return previous
        # Every other pixel, starting at the first one and at the second one; the map is extended by a row of zeros.
        x = tf.nn.relu(previous)
        shifted = tf.pad(x, [[0, 0], [0, 1], [0, 1], [0, 0]])[:, 1:, 1:]
        halves = [
            path(each[:, ::2, ::2], training=training) for path, each in zip(self.paths, (x, shifted), strict=True)
        ]
        return self.joined_norm(tf.concat(halves, axis=3), training=training)


def _operation(
    kind: int | str, filters: int, hyperparams: Hyperparams, stride: int, alike: bool
) -> tuple[keras.layers.Layer, ...]:
    """Returns the layers of an operation; `alike`: the input has `filters` channels already."""
    if isinstance(kind, int):
        return tuple(
            NormedSeparable(
                f"separable_{kind}x{kind}_{n}",
                f"bn_sep_{kind}x{kind}_{n}",
                filters,
                kind,
                hyperparams,
                stride=stride if n == 1 else 1,
            )
            for n in (1, 2)
        )
    if kind == SKIPPED:
        return () if stride == 1 and alike else (NormedConv("1x1", "bn_1", filters, hyperparams, stride=stride),)
    pool = (MaxPool if kind == MAX else AvgPool)("pool", 3, stride)
    return (pool,) if alike else (pool, NormedConv("1x1", "bn_1", filters, hyperparams, relu=False))


class Joined(keras.layers.Layer):
    """Concatenates the maps of a pair, the previous one first."""

    def call(self, x: Pair, training: bool = False) -> tf.Tensor:
        """Two maps float32 [B, h, w, c] -> float32 [B, h, w, 2c]."""
        return tf.concat(x, axis=3)


class Parted(keras.layers.Layer):
    """Splits such a map into a pair again."""

    def call(self, x: tf.Tensor, training: bool = False) -> Pair:
        """One map float32 [B, h, w, 2c] -> two maps float32 [B, h, w, c]."""
        previous, current = tf.split(x, 2, axis=3)
        return previous, current


class Last(keras.layers.Layer):
    """The ReLU behind the last cell."""

    def call(self, x: Pair, training: bool = False) -> tf.Tensor:
        """A pair of maps -> the ReLU of the current one."""
        return tf.nn.relu(x[1])


def blocks(design: Design, hyperparams: Hyperparams, depth: DepthRule) -> tuple[keras.layers.Layer, ...]:
    """Builds `conv0` (unpadded), the stem's two cells and the numbered cells, whose last map has stride 32.

    All blocks but the first take and return pairs of maps.

    Args:
        design: NASNET or PNASNET.
        hyperparams: of every convolution.
        depth: a table depth -> number of channels, even ones.
    """
    raw = depth(STEM_DEPTH)
    stem = {"hyperparams": hyperparams, "stride": 2}
    layers: list[keras.layers.Layer] = [
        NormedConv("conv0", "conv0_bn", raw, hyperparams, kernel=FIRST_KERNEL, stride=2, padding="VALID", relu=False),
        Cell("cell_stem_0", design.reduction, depth(design.filters / 4), previous="kept", raw=raw, **stem),
        Cell("cell_stem_1", design.reduction, depth(design.filters / 2), previous="halved", **stem),
    ]
    halved = True  # the current map, against the previous one
    for number in range(design.cells):
        halves = number in design.halving
        filters = depth(design.filters * 2 ** sum(number >= at for at in design.halving))
        if halves and design.own_reduction:
            name = f"reduction_cell_{design.halving.index(number)}"
            layers.append(Cell(name, design.reduction, filters, hyperparams, stride=2, stays=True))
            halved = True
        previous = "halved" if halved else "projected"
        stride = 2 if halves and not design.own_reduction else 1
        layers.append(Cell(f"cell_{number}", design.normal, filters, hyperparams, stride, previous))
        halved = stride == 2
    return tuple(layers)
