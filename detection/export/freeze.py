"""A traced function with its variables -> one graph of constants, with names to cut it at.

The graph keeps marks, identities which TensorFlow removes when it runs the graph and which cost nothing:

    served/network_input            what enters the first convolution
    served/network_output/<field>   what the network predicts, before decoding and suppression
    served/true_shapes              sizes of the images inside their padding
    served/features/<number>        in a detector of two stages, the maps that the second stage looks at
    served/proposal_boxes           and the boxes that it looks at there

so that a benchmark can run any part of exactly what is served.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import tensorflow as tf
from tensorflow.core.framework import graph_pb2, node_def_pb2

from detection.export.constants import fold_constants, split, subgraph
from detection.tools.tf_internals import ConcreteFunction, inlined


class GraphInput(NamedTuple):
    """A tensor that is fed."""

    name: str
    dtype: tf.DType
    shape: tf.TensorShape  # as declared


class FrozenGraph(NamedTuple):
    """A graph without variables."""

    graph: graph_pb2.GraphDef
    inputs: tuple[GraphInput, ...]  # in the order of the function's arguments
    outputs: tuple[str, ...]  # names of the nodes that hold them, which are their keys

    @property
    def input(self) -> str:
        """Name of the first input, the only one of most graphs."""
        return self.inputs[0].name


def freeze(function: ConcreteFunction) -> FrozenGraph:
    """Freezes a function of tensors that returns (outputs, marks), both dicts of tensors.

    Each output becomes a node called by its key. Each mark becomes a node, called by its key too, through which
    everything behind the marked tensor reads it; a mark on a tensor that turns out constant is left out. Of several
    marks on one tensor the last by name stands first.
    """
    graph, fed = inlined(function)
    _name_functions_apart(graph)
    outputs, marks = function.structured_outputs
    _forget_gradients(graph)
    tensors = [
        _behind_identities(graph, tensor.name) for tensor in function.outputs
    ]  # In the order in which tf.nest flattens (dict, dict).
    dtypes = dict(zip(tensors, (tensor.dtype for tensor in function.outputs), strict=True))
    output_names = dict(zip(sorted(outputs), tensors, strict=False))
    mark_names = dict(zip(sorted(marks), tensors[len(outputs) :], strict=True))
    inputs = tuple(GraphInput(tensor.name, tensor.dtype, tensor.shape) for tensor in fed)
    graph = fold_constants(graph, [*(tensor.name for tensor in fed), *tensors])
    for key, tensor in mark_names.items():
        _mark(graph, tensor, key, dtypes[tensor])
    marked = {tensor: f"{key}:0" for key, tensor in mark_names.items()}
    for key, tensor in output_names.items():
        _add_identity(graph, marked.get(tensor, tensor), key, dtypes[tensor])
    graph = subgraph(graph, [*(split(tensor.name)[0] for tensor in fed), *output_names])
    return FrozenGraph(graph, inputs, tuple(output_names))


def _name_functions_apart(graph: graph_pb2.GraphDef) -> None:
    """Adds to the name of each function of the library (loop bodies, branches) what tells this library from others.

    TensorFlow numbers them in each graph anew, but knows them by name in the whole process, which can then hold only
    one such graph.
    """
    suffix = hashlib.sha256(graph.library.SerializeToString(deterministic=True)).hexdigest()[:12]
    names = {function.signature.name: f"{function.signature.name}_{suffix}" for function in graph.library.function}
    for function in graph.library.function:
        function.signature.name = names[function.signature.name]
    for node in [*graph.node, *(node for function in graph.library.function for node in function.node_def)]:
        node.op = names.get(node.op, node.op)
        for value in node.attr.values():
            for called in [*value.list.func, *([value.func] if value.HasField("func") else [])]:
                called.name = names.get(called.name, called.name)


def batch_norms(graph: graph_pb2.GraphDef) -> list[str]:
    """Names of the batch norms that are still ops of their own."""
    return [node.name for node in graph.node if node.op.startswith("FusedBatchNorm")]


def variables(graph: graph_pb2.GraphDef) -> list[str]:
    """Names of the nodes, in the graph and the functions it calls, that read or hold a variable."""
    everywhere = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    return [
        node.name for node in everywhere if node.op in ("VarHandleOp", "ReadVariableOp", "VariableV2", "ResourceGather")
    ]


def _forget_gradients(graph: graph_pb2.GraphDef) -> None:
    """Takes what uses an IdentityN past it.

    `tf.custom_gradient` leaves one behind its result, for its gradients to hang on. In a served graph it would keep a
    convolution from its bias, and a SavedModel cannot hold the gradients of frozen weights.
    """
    nodes = {node.name: node for node in graph.node}
    for node in graph.node:
        for position, used in enumerate(node.input):
            if split(used)[1] >= 0 and nodes[split(used)[0]].op == "IdentityN":
                node.input[position] = _behind(nodes, used, "IdentityN")


def _behind_identities(graph: graph_pb2.GraphDef, name: str) -> str:
    """The tensor that `name` is a chain of identities of."""
    return _behind({node.name: node for node in graph.node}, name, "Identity", "IdentityN")


def _behind(nodes: dict[str, node_def_pb2.NodeDef], name: str, *kinds: str) -> str:
    """The tensor that `name` is once ops of these kinds, which hand their inputs on, are left out."""
    source, index = split(name)
    while nodes[source].op in kinds:
        source, index = split(nodes[source].input[index])
    return f"{source}:{index}"


def _add_identity(graph: graph_pb2.GraphDef, tensor: str, name: str, dtype: tf.DType) -> None:
    if any(node.name == name for node in graph.node):
        raise ValueError(f"the graph already has a node called {name}")
    node = graph.node.add(name=name, op="Identity", input=[tensor])
    node.attr["T"].type = dtype.as_datatype_enum


def _mark(graph: graph_pb2.GraphDef, tensor: str, mark: str, dtype: tf.DType) -> None:
    """Puts an identity called `mark` between a tensor and all that use it."""
    for node in graph.node:
        for position, used in enumerate(node.input):
            source, index = split(used)
            if index >= 0 and f"{source}:{index}" == tensor:
                node.input[position] = mark
    _add_identity(graph, tensor, mark, dtype)
