"""Weights out of the way while TensorFlow copies a graph about, and back into the file that it wrote.

Making a function of a graph, tracing calls of it, giving it a signature and saving it each copy all that it holds,
about forty times in all: of 200 MB of weights that is ten seconds, and gigabytes. So each larger constant changes
places with a stand-in of its type and shape that holds a single number and a mark; the mark survives every copy, and
tells in the saved file whose place it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from tensorflow.core.framework import graph_pb2, node_def_pb2, tensor_pb2, types_pb2
from tensorflow.core.protobuf import saved_model_pb2

from detection.tools.tf_internals import write_fingerprint

# bytes. What TensorFlow reads while it infers shapes, such as sizes and axes, is far smaller and stays where it is.
SMALL = 4096
_MARK = "_stands_for"  # Attributes with an underscore belong to nobody in TensorFlow, and are kept.

Values = list[tensor_pb2.TensorProto]


def set_aside(graph: graph_pb2.GraphDef) -> tuple[graph_pb2.GraphDef, Values]:
    """A copy of `graph` with stand-ins for its larger float constants, and what they stand for.

    Functions that it calls stay as they are, since TensorFlow knows them by their names: a loop is handed the weights
    that its body uses.
    """
    light = graph_pb2.GraphDef(versions=graph.versions, library=graph.library)
    values: Values = []
    light.node.extend(_lightened(graph.node, values))
    return light, values


def put_back(folder: Path, values: Values) -> None:
    """Gives the constants of the SavedModel in `folder` their values, and the folder a fingerprint of what it now
    holds.

    Raises:
        ValueError: a value has no place there: TensorFlow dropped what stood for it.
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
        # One number for all of the tensor is how TensorFlow writes what is constant.
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
