"""Counts the floating-point operations of a graph: two (a multiplication and an addition) for every multiply-add.

    convolution        2 * outputs * kernel height * kernel width * input channels
    depthwise          2 * outputs * kernel height * kernel width
    matrix product     2 * outputs * inner dimension

Everything else (biases, activations, resizing, suppression) is not counted, as is usual in papers. Shapes must be
static: an op whose output has an unknown size is an error, not a zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from detection.tools.tf_internals import function_graph

_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
_LOOPS = ("While", "StatelessWhile")


def count_flops(concrete_function: Any) -> int:
    """Counts the operations of one call, twice the multiply-adds.

    Functions are counted each time they are called, loop bodies once per iteration.

    Args:
        concrete_function: the traced function.

    Raises:
        ValueError: the shape of a convolution or matrix product is unknown, for example because height and width are
            dynamic; or it is in a loop with an unknown number of iterations.
    """
    return _total(concrete_function.graph)


def _total(graph: tf.Graph) -> int:
    return sum(_loop(op) if op.type in _LOOPS else _flops(op) for op in _ops(graph))


def _ops(graph: tf.Graph) -> Iterator[tf.Operation]:
    for op in graph.get_operations():
        if op.type in _CALLS:
            yield from _ops(function_graph(op, "f"))
        else:
            yield op


def _loop(op: tf.Operation) -> int:
    flops = _total(function_graph(op, "body"))
    return flops * _num_iterations(op) if flops else 0


def _num_iterations(op: tf.Operation) -> int:
    """Number of iterations of a loop that counts from 0 to a constant of the graph."""
    condition = function_graph(op, "cond")
    for comparison in (inner for inner in condition.get_operations() if inner.type == "Less"):
        limit = tf.get_static_value(comparison.inputs[1])
        positions = [position for position, argument in enumerate(condition.inputs) if argument is comparison.inputs[1]]
        if limit is None and positions:
            limit = tf.get_static_value(op.inputs[positions[0]])
        if limit is not None:
            return int(limit)
    raise ValueError(f"{op.name} ({op.type}): the number of iterations is unknown")


def _flops(op: tf.Operation) -> int:
    if op.type in ("Conv2D", "_FusedConv2D"):
        height, width, channels, _ = _shape(op, op.inputs[1])
        return 2 * _size(op, op.outputs[0]) * height * width * channels
    if op.type == "DepthwiseConv2dNative":
        height, width, _, _ = _shape(op, op.inputs[1])
        return 2 * _size(op, op.outputs[0]) * height * width
    # A transposed convolution: every pixel of its input is multiplied with the whole kernel once.
    if op.type == "Conv2DBackpropInput":
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
            f"{op.name} ({op.type}): the shape {tensor.shape} is not static; trace the function for an image of fixed"
            " size"
        )
    return tuple(tensor.shape)


def _size(op: tf.Operation, tensor: tf.Tensor) -> int:
    size = 1
    for side in _shape(op, tensor):
        size *= side
    return size
