"""Freezes a traced function and its variables into one graph of constants with named intermediate tensors.

Named tensors are marked by Identity ops, which TensorFlow removes when it runs the graph, so they cost nothing. They
allow a benchmark to run any part of the served graph:

    served/network_input            input of the first convolution
    served/network_output/<field>   outputs of the network, before decoding and non-max suppression
    served/true_shapes              sizes of the images without padding
    served/features/<number>        two-stage detectors: feature maps that the second stage crops from
    served/proposal_boxes           two-stage detectors: boxes that it crops
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import tensorflow as tf
from tensorflow.core.framework import graph_pb2, node_def_pb2

from detection.export.constants import fold_constants, split, subgraph
from detection.tools.tf_internals import ConcreteFunction, inlined


class GraphInput(NamedTuple):
    """An input of a frozen graph."""

    name: str
    dtype: tf.DType
    shape: tf.TensorShape  # as declared


class FrozenGraph(NamedTuple):
    """A graph without variables."""

    graph: graph_pb2.GraphDef
    inputs: tuple[GraphInput, ...]  # in the order of the function's arguments
    outputs: tuple[str, ...]  # names of the output nodes, which are the keys of the outputs

    @property
    def input(self) -> str:
        """Name of the first input; most graphs have only one."""
        return self.inputs[0].name


def freeze(function: ConcreteFunction) -> FrozenGraph:
    """Freezes a function that returns (outputs, marks), both dicts of tensors.

    Each output becomes a node named by its key. Each mark becomes a node named by its key through which all consumers
    read the marked tensor; marks on constant tensors are dropped. If a tensor has several marks, they are chained in
    reverse order of their names.
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
    """Appends a hash of the library to the names of its functions (loop bodies, branches).

    TensorFlow numbers functions separately in each graph but registers them by name for the whole process, so that
    without the hash a process could load only one such graph.
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
    """Returns the names of batch norm ops that were not folded."""
    return [node.name for node in graph.node if node.op.startswith("FusedBatchNorm")]


def variables(graph: graph_pb2.GraphDef) -> list[str]:
    """Returns the names of nodes, in the graph and the functions it calls, that read or hold a variable."""
    everywhere = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    return [
        node.name for node in everywhere if node.op in ("VarHandleOp", "ReadVariableOp", "VariableV2", "ResourceGather")
    ]


def _forget_gradients(graph: graph_pb2.GraphDef) -> None:
    """Bypasses IdentityN ops.

    `tf.custom_gradient` adds one after its result to attach the gradient. In a served graph it would prevent the fusion
    of a convolution with its bias, and a SavedModel cannot store the gradients of frozen weights.
    """
    nodes = {node.name: node for node in graph.node}
    for node in graph.node:
        for position, used in enumerate(node.input):
            if split(used)[1] >= 0 and nodes[split(used)[0]].op == "IdentityN":
                node.input[position] = _behind(nodes, used, "IdentityN")


def _behind_identities(graph: graph_pb2.GraphDef, name: str) -> str:
    """Returns the tensor at the start of a chain of identities that ends in `name`."""
    return _behind({node.name: node for node in graph.node}, name, "Identity", "IdentityN")


def _behind(nodes: dict[str, node_def_pb2.NodeDef], name: str, *kinds: str) -> str:
    """Returns the tensor that `name` equals if ops of these kinds, which pass their inputs on, are skipped."""
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
    """Inserts an Identity named `mark` between a tensor and all its consumers."""
    for node in graph.node:
        for position, used in enumerate(node.input):
            source, index = split(used)
            if index >= 0 and f"{source}:{index}" == tensor:
                node.input[position] = mark
    _add_identity(graph, tensor, mark, dtype)
