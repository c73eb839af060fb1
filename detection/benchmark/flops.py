"""Floating-point operations of a graph: two (a multiplication and an addition) for every product that enters a sum.

    convolution        2 * outputs * kernel height * kernel width * input channels
    depthwise          2 * outputs * kernel height * kernel width
    matrix product     2 * outputs * inner dimension

Everything else (biases, activations, resizing, suppression) is not counted, as in the numbers that papers give. Shapes
must be known: an op whose output is of unknown size is an error, not a zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from detection.tools.tf_internals import called

_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
_LOOPS = ("While", "StatelessWhile")


def count_flops(concrete_function: Any) -> int:
    """Operations of one call, twice the multiply-adds.

    Called functions are counted each time they are called, loops as often as they go round.

    Raises:
        ValueError: a convolution or matrix product has a shape that is not known, for example because height and width
            were left free; or stands in a loop, and how often that goes round is not known.
    """
    return _total(concrete_function.graph)


def _total(graph: tf.Graph) -> int:
    return sum(_loop(op) if op.type in _LOOPS else _flops(op) for op in _ops(graph))


def _ops(graph: tf.Graph) -> Iterator[tf.Operation]:
    for op in graph.get_operations():
        if op.type in _CALLS:
            yield from _ops(called(op, "f"))
        else:
            yield op


def _loop(op: tf.Operation) -> int:
    each = _total(called(op, "body"))
    return each * _trips(op) if each else 0


def _trips(op: tf.Operation) -> int:
    """Of a loop that counts from 0 up to a number which the graph holds."""
    condition = called(op, "cond")
    for less in (inner for inner in condition.get_operations() if inner.type == "Less"):
        limit = tf.get_static_value(less.inputs[1])
        places = [place for place, argument in enumerate(condition.inputs) if argument is less.inputs[1]]
        if limit is None and places:
            limit = tf.get_static_value(op.inputs[places[0]])
        if limit is not None:
            return int(limit)
    raise ValueError(f"{op.name} ({op.type}): how often it goes round is not known")


def _flops(op: tf.Operation) -> int:
    if op.type in ("Conv2D", "_FusedConv2D"):
        height, width, channels, _ = _shape(op, op.inputs[1])
        return 2 * _size(op, op.outputs[0]) * height * width * channels
    if op.type == "DepthwiseConv2dNative":
        height, width, _, _ = _shape(op, op.inputs[1])
        return 2 * _size(op, op.outputs[0]) * height * width
    if (
        op.type == "Conv2DBackpropInput"
    ):  # A transposed convolution: every pixel of its input meets the whole kernel once.
        height, width, channels, _ = _shape(op, op.inputs[1])
        return 2 * _size(op, op.inputs[2]) * height * width * channels
    if op.type in ("MatMul", "_FusedMatMul"):
        return 2 * _size(op, op.outputs[0]) * _shape(op, op.inputs[0])[0 if op.get_attr("transpose_a") else 1]
    if op.type == "BatchMatMulV2":
        return 2 * _size(op, op.outputs[0]) * _shape(op, op.inputs[0])[-2 if op.get_attr("adj_x") else -1]
    return 0


def _shape(op: tf.Operation, tensor: tf.Tensor) -> tuple[int, ...]:
    if not tensor.shape.is_fully_defined():
        raise ValueError(
            f"{op.name} ({op.type}): the shape {tensor.shape} is not known; trace the function for an image of known"
            " size"
        )
    return tuple(tensor.shape)


def _size(op: tf.Operation, tensor: tf.Tensor) -> int:
    size = 1
    for side in _shape(op, tensor):
        size *= side
    return size
