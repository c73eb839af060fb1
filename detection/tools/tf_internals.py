"""Every use of TensorFlow's private interface, in one place.

None of it is guaranteed to stay. When a new version of TensorFlow breaks something, this is the file to fix;
tests/tools/test_tf_internals.py states what each function must do.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import keras
import tensorflow as tf
from tensorflow.core.framework import graph_pb2, op_def_pb2
from tensorflow.python.eager.polymorphic_function.concrete_function import ConcreteFunction
from tensorflow.python.framework import convert_to_constants, op_def_registry
from tensorflow.python.framework.function_def_to_graph import function_def_to_graph
from tensorflow.python.saved_model import fingerprinting_utils

__all__ = ["ConcreteFunction", "Inlined", "function_graph", "inlined", "op_definition", "rename", "write_fingerprint"]


class Inlined(NamedTuple):
    """A function as one graph without variables."""

    graph: graph_pb2.GraphDef
    inputs: list[tf.Tensor]  # the remaining inputs, without captured variables


def inlined(function: ConcreteFunction) -> Inlined:
    """The inlined graph of a function with its variables replaced by constants.

    The public converter (`convert_variables_to_constants_v2`) would wrap the graph in a function again, which copies
    all weights a dozen times.
    """
    data = convert_to_constants._FunctionConverterDataInEager(
        function, lower_control_flow=False, aggressive_inlining=False
    )
    graph, converted = convert_to_constants._replace_variables_by_constants(data)
    captured = {tensor.name for number, tensor in enumerate(function.graph.internal_captures) if number in converted}
    return Inlined(graph, [tensor for tensor in function.inputs if tensor.name not in captured])


def function_graph(op: tf.Operation, attribute: str) -> tf.Graph:
    """The graph of the function that an attribute of an op names.

    In an imported graph only the function's definition exists; its graph is then built with the input shapes of `op`.
    """
    function = op.graph._get_function(op.get_attr(attribute).name)
    if hasattr(function, "graph"):
        return function.graph
    with op.graph.as_default():
        return function_def_to_graph(function.definition, input_shapes=[tensor.shape for tensor in op.inputs])


def op_definition(name: str) -> op_def_pb2.OpDef | None:
    """The definition of the op type `name`, or None if it does not exist."""
    return op_def_registry.get(name)


def rename(variable: keras.Variable, name: str) -> None:
    """Gives a variable of Keras another `name`; its `path`, which checkpoints go by, stays."""
    variable._name = name


def write_fingerprint(folder: Path) -> None:
    """Writes the fingerprint of the SavedModel in `folder` as it is now."""
    fingerprinting_utils.write_fingerprint(str(folder))
