"""The Keras layers that correspond to this project's layers, for keys of object-based (TensorFlow 2) checkpoints.

In these checkpoints the variables of a functional Keras model are `layer_with_weights-<n>/<attribute>`, where n counts
the layers that have variables. A convolution and its batch norm are one layer here and two layers there.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence

import keras

from detection.networks.blocks import Branches, Chain
from detection.networks.dense import CropDense, Dense
from detection.networks.group_norm import GroupNorm
from detection.networks.layers import BatchNorm, Conv, DepthwiseConv, SeparableConv, TransposedConv

KerasLayer = dict[str, keras.Variable]  # by the name of the attribute that holds it


@functools.singledispatch
def keras_layers(layer: keras.layers.Layer) -> Iterator[KerasLayer]:
    """Yields the Keras layers with variables that correspond to a built `layer`, in the order of a functional model.

    A layer whose parts are not a simple sequence registers its own order.

    Raises:
        TypeError: the layer has variables, and no corresponding Keras layers are registered.
    """
    if layer.weights:
        raise TypeError(f"{type(layer).__name__} {layer.name}: its form in Keras is not known")
    return iter(())


def layers_of(parts: Iterable[keras.layers.Layer]) -> Iterator[KerasLayer]:
    """Yields the Keras layers of a sequence of layers."""
    for part in parts:
        yield from keras_layers(part)


@keras_layers.register(Conv)
@keras_layers.register(DepthwiseConv)
@keras_layers.register(SeparableConv)
@keras_layers.register(TransposedConv)
def _(layer: Conv | DepthwiseConv | SeparableConv | TransposedConv) -> Iterator[KerasLayer]:
    yield kernel_variables(layer)
    if layer.batch_norm is not None:
        yield norm_variables(layer.batch_norm)
    if layer.group_norm is not None:
        yield group_norm_variables(layer.group_norm)


@keras_layers.register
def _(layer: BatchNorm) -> Iterator[KerasLayer]:
    yield norm_variables(layer)


@keras_layers.register
def _(layer: Chain) -> Iterator[KerasLayer]:
    return layers_of(layer.parts)


@keras_layers.register
def _(layer: Branches) -> Iterator[KerasLayer]:
    return side_by_side([branch.parts for branch in layer.branches])


@keras_layers.register
def _(layer: CropDense) -> Iterator[KerasLayer]:
    if layer.batch_norm is not None:
        yield norm_variables(layer.batch_norm)
    yield _dense_variables(layer)


@keras_layers.register
def _(layer: Dense) -> Iterator[KerasLayer]:
    yield _dense_variables(layer)


def _dense_variables(layer: Dense) -> KerasLayer:
    """The TF Object Detection API knows no compressed layers, so the key of the right factor is ours."""
    factors = {"right_kernel": layer.right} if layer.rank else {}
    return {"kernel": layer.kernel, **factors, "bias": layer.bias}


Fork = tuple[Conv, ...]  # convolutions of one input, whose outputs are concatenated


def side_by_side(branches: Iterable[Sequence[keras.layers.Layer | Fork]]) -> Iterator[KerasLayer]:
    """Yields the Keras layers of branches whose ends are joined.

    Keras orders layers by their distance from the output, and layers of the same distance by branch: the last
    convolutions of all branches come last, first their kernels and then their batch norms. Layers without variables may
    only be in front of a branch's convolutions.
    """
    rows = [row for branch in branches for row in _by_distance(branch)]
    yield from (variables for _, variables in sorted(rows, key=lambda row: -row[0]))


def _by_distance(branch: Sequence[keras.layers.Layer | Fork], distance: int = 0) -> Iterator[tuple[int, KerasLayer]]:
    """Yields (distance from the output, variables) of every Keras layer of a branch, from its end.

    A convolution, its batch norm and its activation are three layers; the concatenation of a fork is one.

    Args:
        branch: layers in order.
        distance: of the branch's own end.
    """
    for part in reversed(branch):
        if isinstance(part, tuple):
            for tine in part:
                yield from _by_distance((tine,), distance + 1)
            distance += 4
        elif part.weights:
            yield distance + 2, kernel_variables(part)
            if part.batch_norm is not None:
                yield distance + 1, norm_variables(part.batch_norm)
            if part.group_norm is not None:
                yield distance + 1, group_norm_variables(part.group_norm)
            distance += 3


def kernel_variables(layer: Conv | DepthwiseConv | SeparableConv | TransposedConv) -> KerasLayer:
    """Returns kernels and bias of a convolution, without its batch norm."""
    if isinstance(layer, SeparableConv):
        variables = {"depthwise_kernel": layer.depthwise_kernel, "pointwise_kernel": layer.kernel}
    else:
        variables = {"depthwise_kernel" if isinstance(layer, DepthwiseConv) else "kernel": layer.kernel}
    return variables if layer.bias is None else {**variables, "bias": layer.bias}


def norm_variables(layer: BatchNorm) -> KerasLayer:
    """Returns the variables of a batch norm, which may lack gamma or beta."""
    variables = {
        "gamma": layer.gamma,
        "beta": layer.beta,
        "moving_mean": layer.moving_mean,
        "moving_variance": layer.moving_variance,
    }
    return {attribute: variable for attribute, variable in variables.items() if variable is not None}


def group_norm_variables(layer: GroupNorm) -> KerasLayer:
    """Variables of a group norm."""
    return {"gamma": layer.gamma, "beta": layer.beta}


def listed(layers: Iterable[keras.layers.Layer], first: int = 0) -> dict[str, keras.Variable]:
    """Returns {`<index>/<attribute>`: variable} of a Python list of Keras layers.

    A convolution with batch norm is followed by the norm and the activation, so it takes three places in the list.

    Args:
        layers: the layers.
        first: index of the first one; there are as many layers without variables before it.
    """
    variables, position = {}, first
    for layer in layers:
        parts = list(keras_layers(layer))
        variables |= {f"{position + n}/{name}": each for n, part in enumerate(parts) for name, each in part.items()}
        position += 3 if len(parts) > 1 else 1
    return variables


def numbered(parts: Iterable[keras.layers.Layer], first: int = 0) -> dict[str, keras.Variable]:
    """Returns {`layer_with_weights-<n>/<attribute>`: variable} of a functional model that is a sequence of `parts`.

    Args:
        parts: the layers.
        first: number of layers with variables in front of them.
    """
    return {
        f"layer_with_weights-{number}/{attribute}": variable
        for number, layer in enumerate(layers_of(parts), first)
        for attribute, variable in layer.items()
    }
