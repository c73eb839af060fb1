"""Replaces large constants by placeholders while TensorFlow saves a graph, and restores them in the saved file.

Creating a function from a graph, tracing it, adding a signature and saving it copy all constants about forty times in
all; with 200 MB of weights that takes ten seconds and gigabytes. So each large constant is replaced by a placeholder
constant of the same type and shape that stores a single value, with an attribute that identifies the original. The
attribute survives all copies and shows in the saved file which value to insert.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from tensorflow.core.framework import graph_pb2, node_def_pb2, tensor_pb2, types_pb2
from tensorflow.core.protobuf import saved_model_pb2

from detection.tools.tf_internals import write_fingerprint

# In bytes. Constants that TensorFlow reads for shape inference, such as sizes and axes, are far smaller and are kept.
SMALL = 4096
_MARK = "_stands_for"  # TensorFlow ignores and keeps attributes that start with an underscore.

Values = list[tensor_pb2.TensorProto]


def set_aside(graph: graph_pb2.GraphDef) -> tuple[graph_pb2.GraphDef, Values]:
    """Returns a copy of `graph` with placeholders for its large float constants, and the values of the constants.

    Functions that the graph calls are left unchanged, since TensorFlow registers them by name; the weights used in a
    loop body are inputs of the loop anyway.
    """
    light = graph_pb2.GraphDef(versions=graph.versions, library=graph.library)
    values: Values = []
    light.node.extend(_lightened(graph.node, values))
    return light, values


def put_back(folder: Path, values: Values) -> None:
    """Inserts the values of the constants into the SavedModel in `folder`, and updates its fingerprint.

    Raises:
        ValueError: TensorFlow dropped a placeholder.
    """
    path = folder / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    placed = set()
    for node in _nodes(saved):
        if _MARK in node.attr:
            number = node.attr[_MARK].i
            del node.attr[_MARK]
            node.attr["value"].tensor.CopyFrom(values[number])
            placed.add(number)
    if len(placed) != len(values):
        raise ValueError(
            f"{path}: {len(values) - len(placed)} of {len(values)} constants were lost while it was written"
        )
    path.write_bytes(saved.SerializeToString(deterministic=True))
    write_fingerprint(folder)


def _lightened(nodes: Iterable[node_def_pb2.NodeDef], values: Values) -> Iterator[node_def_pb2.NodeDef]:
    for node in nodes:
        if node.op != "Const" or node.attr["dtype"].type != types_pb2.DT_FLOAT or node.ByteSize() <= SMALL:
            yield node
            continue
        value = node.attr["value"].tensor
        stand_in = node_def_pb2.NodeDef(name=node.name, op="Const", input=node.input, device=node.device)
        for name, attr in node.attr.items():
            if name != "value":
                stand_in.attr[name].CopyFrom(attr)
        # A tensor proto with a single value stands for a tensor filled with that value.
        stand_in.attr["value"].tensor.CopyFrom(
            tensor_pb2.TensorProto(dtype=value.dtype, tensor_shape=value.tensor_shape, float_val=[0.0])
        )
        stand_in.attr[_MARK].i = len(values)
        values.append(value)
        yield stand_in


def _nodes(saved: saved_model_pb2.SavedModel) -> Iterator[node_def_pb2.NodeDef]:
    for meta_graph in saved.meta_graphs:
        yield from meta_graph.graph_def.node
        for function in meta_graph.graph_def.library.function:
            yield from function.node_def
