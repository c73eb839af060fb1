"""Bidirectional feature pyramid network (Tan et al. 2020, "EfficientDet", section 3).

    P_l    map of level l, of the network or of the previous iteration; above the network P_l = pool(P_l-1)
    T_l    top-down pass:     T_l = block(P_l, up(T_l+1)),            T_top = P_top
    P'_l   bottom-up pass:    P'_l = block(P_l, T_l, pool(P'_l-1)),   P'_top = block(P_top, pool(P'_top-1))
                                                                      P'_finest = T_finest

    block(x_1, ...) = batch norm(separable convolution(f(combine(x_1, ...))))           f: the activation
    combine         = sum of w_i x_i / (sum of w_i + 0.0001),  w_i = relu(a learnt weight)            (section 3.3)

up repeats pixels, pool is a max pool of 3x3 with stride 2. Each use of a map of the network has its own 1x1 convolution
with batch norm, without activation. Names: `bifpn/<iteration>_<dn|up>_lvl_<level>`, with iteration 0 for the levels
above the network; below each, `input_<n>`, `combine` and `post_combine`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import keras
import tensorflow as tf

from detection.feature_extractors.pyramids.extractor import PyramidExtractor
from detection.feature_extractors.pyramids.levels import Levels
from detection.feature_extractors.pyramids.upsampling import upsampled
from detection.feature_extractors.ssd_maps import SsdExtractorOptions
from detection.networks.blocks import Chain
from detection.networks.hyperparams import Hyperparams
from detection.networks.keras_layers import listed
from detection.networks.layers import Conv, SeparableConv

_EPSILON = 0.0001  # added to the sum by which weights are divided


class Node(NamedTuple):
    """A map computed by the pyramid."""

    name: str
    level: int
    inputs: tuple[int, ...]  # indices into all maps: those of the network, then those of the nodes, in order


def plan(taken: range, levels: range, iterations: int) -> Iterator[Node]:
    """Yields the nodes in the order in which they are computed; the last ones, one per level, are the pyramid's maps.

    Args:
        taken: levels of the network's maps.
        levels: levels of the pyramid.
        iterations: number of top-down and bottom-up passes.
    """
    current = {level: position for position, level in enumerate(taken)}  # level -> position of its newest P
    position = len(taken)
    for level in levels[len(taken) :]:
        yield Node(f"0_up_lvl_{level}", level, (position - 1,))
        current[level], position = position, position + 1
    for iteration in range(1, iterations + 1):
        down = {levels[-1]: current[levels[-1]]}
        for level in levels[-2::-1]:
            yield Node(f"{iteration}_dn_lvl_{level}", level, (current[level], down[level + 1]))
            down[level], position = position, position + 1
        before, current = current, {levels[0]: down[levels[0]]}
        for level in levels[1:]:
            inner = () if level == levels[-1] else (down[level],)
            yield Node(f"{iteration}_up_lvl_{level}", level, (before[level], *inner, current[level - 1]))
            current[level], position = position, position + 1


class Combine(keras.layers.Layer):
    """Weighted sum of maps of one shape.

    Args:
        method: fast_attention: as in the module docstring; weighted_sum: without normalisation of the weights; sum:
            without weights; attention: softmax of the weights. As in the TF Object Detection API, whose checkpoints
            were trained with it, this softmax is taken over each weight alone, so that all weights are 1.
    """

    def __init__(self, method: str) -> None:
        super().__init__(name="combine", autocast=False)
        self.method, self.factors = method, None

    def build(self, shape: list[tuple[int | None, ...]]) -> None:
        """Creates the weights, one per map."""
        if self.method != "sum":
            self.factors = self.add_weight(name="weights", shape=(len(shape), 1), initializer="ones")

    def call(self, maps: list[tf.Tensor]) -> tf.Tensor:
        """Maps float32 [B, h, w, c] each, of one shape -> their weighted sum, of the same shape."""
        if self.factors is None:
            return tf.add_n(maps)
        factors = tf.convert_to_tensor(self.factors)
        if self.method == "attention":
            factors = tf.nn.softmax(factors, axis=1)
        elif self.method == "fast_attention":
            positive = tf.nn.relu(factors)
            factors = positive / (tf.reduce_sum(positive) + _EPSILON)
        return tf.add_n([factor * features for factor, features in zip(tf.unstack(factors[:, 0]), maps, strict=True)])


class Fused(keras.layers.Layer):
    """The layer of a node; its inputs are at most one level away.

    Args:
        node: the node, which gives the name of the layer.
        steps: level of each input minus level of the node: 0, 1 or -1; 0 for the first of several inputs.
        raw: for each input, whether it is a map of the network.
        depth: channels of the pyramid.
        hyperparams: hyperparameters of the convolutions.
        method: see `Combine`.
    """

    def __init__(
        self,
        node: Node,
        steps: tuple[int, ...],
        raw: tuple[bool, ...],
        depth: int,
        hyperparams: Hyperparams,
        method: str,
    ) -> None:
        super().__init__(name=node.name, autocast=False)
        # Both kernels of a separable convolution have this initialiser and regulariser, in the Keras form too.
        linear = dataclasses.replace(hyperparams, activation=None, plain_pointwise=False)
        self.steps, self.activation = steps, hyperparams.activation
        self.projections = tuple(
            Conv(f"input_{n}", depth, 1, linear) if own else Chain(f"input_{n}", ()) for n, own in enumerate(raw)
        )
        several = len(steps) > 1
        self.combine = Combine(method) if several else None
        self.convolution = SeparableConv("post_combine", depth, 3, 1, linear) if several else None

    def build(self, shape: object) -> None:
        """Does nothing: the parts are built when first called, inside this layer's scope."""

    def call(self, maps: list[tf.Tensor], training: bool = False) -> tf.Tensor:
        """Maps of the inputs, float32 [B, h, w, c] each -> float32 [B, h', w', depth]."""
        inputs: list[tf.Tensor] = []
        for project, step, features in zip(self.projections, self.steps, maps, strict=True):
            features = project(features, training=training)
            if step == -1:
                features = tf.nn.max_pool2d(features, 3, 2, "SAME")
            inputs.append(upsampled(features, inputs[0]) if step == 1 else features)
        if self.combine is None or self.convolution is None:  # a level above the network
            return inputs[0]
        total = self.combine(inputs)
        total = total if self.activation is None else self.activation(total)
        return self.convolution(total, training=training)


class Bifpn(keras.layers.Layer):
    """A bidirectional feature pyramid network.

    Args:
        taken: levels of the network's maps.
        levels: levels of the pyramid, which begin with the first of `taken`.
        iterations: number of top-down and bottom-up passes.
        depth: channels of every map of the pyramid.
        hyperparams: hyperparameters of every convolution; projections are linear.
        method: see `Combine`.
    """

    def __init__(
        self, taken: range, levels: range, iterations: int, depth: int, hyperparams: Hyperparams, method: str
    ) -> None:
        super().__init__(name="bifpn", autocast=False)
        self.plan = tuple(plan(taken, levels, iterations))
        self.num_maps = len(levels)
        of_maps = [*taken, *(node.level for node in self.plan)]
        self.nodes = tuple(
            Fused(
                node,
                tuple(of_maps[number] - node.level for number in node.inputs),
                tuple(number < len(taken) for number in node.inputs),
                depth,
                hyperparams,
                method,
            )
            for node in self.plan
        )

    def build(self, shape: object) -> None:
        """Does nothing: the nodes are built when first called, inside this layer's scope."""

    def call(self, maps: tuple[tf.Tensor, ...], training: bool = False) -> tuple[tf.Tensor, ...]:
        """Maps of the network, float32 [B, h, w, c] each, from fine to coarse -> maps of the pyramid, likewise."""
        everything = list(maps)
        for node, layer in zip(self.plan, self.nodes, strict=True):
            everything.append(layer([everything[number] for number in node.inputs], training=training))
        return tuple(everything[-self.num_maps :])

    def object_keys(self) -> dict[str, keras.Variable]:
        """Returns the variables, keyed by their path below the extractor in an object-based checkpoint.

        There, nodes are numbered, and the activation is counted before the separable convolution.
        """
        keys: dict[str, keras.Variable] = {}
        for number, node in enumerate(self.nodes):
            parts = {
                f"node_input_blocks/{number}/{n}/1": listed((conv,))
                for n, conv in enumerate(node.projections)
                if isinstance(conv, Conv)
            }
            if node.convolution is not None:
                parts[f"node_post_combine_block/{number}"] = listed((node.convolution,), 1)
            if node.combine is not None and node.combine.factors is not None:
                parts[f"node_combine_op/{number}"] = {"bifpn_combine_weights": node.combine.factors}
            keys |= {f"_bifpn_stage/{path}/{key}": each for path, part in parts.items() for key, each in part.items()}
        return keys


def ssd(options: SsdExtractorOptions, levels: Levels, keras_form: bool = False) -> PyramidExtractor:
    """Returns the SSD extractor with a bidirectional feature pyramid on the network that `levels` returns."""
    options = options.as_keras() if keras_form else options
    below = levels(options)
    given = options.bifpn or below.bifpn
    taken = range(given.min_level, min(given.max_level, max(below.endpoints)) + 1)
    pyramid = Bifpn(
        taken,
        range(given.min_level, given.max_level + 1),
        iterations=given.iterations or below.bifpn.iterations,
        depth=below.depth(given.depth or below.bifpn.depth),
        hyperparams=options.hyperparams,
        method=given.combine,
    )
    return PyramidExtractor(below, taken, pyramid, options)
