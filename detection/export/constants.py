"""Folds constants: evaluates the parts of a graph that depend on constants only.

A frozen graph still multiplies every kernel by its batch-norm scale, builds its anchors and reshapes its constants.
TensorFlow would repeat that each time a model is loaded; here it is done at export, so that the file holds one constant
per convolution kernel.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import graph_pb2, node_def_pb2, types_pb2

from detection.tools.tf_internals import op_definition

# A result larger than its operands is kept as ops, so that a broadcast does not make the file larger.
_GROWTH_LIMIT = 1 << 20  # bytes
_NEVER_FOLDED = frozenset({"Const", "Placeholder", "PlaceholderWithDefault", "NoOp", "Assert"})


def split(name: str) -> tuple[str, int]:
    """Splits a graph input `node`, `node:1` or `^node` into (node, output index); control inputs have index -1."""
    if name.startswith("^"):
        return name[1:], -1
    node, _, index = name.partition(":")
    return node, int(index or 0)


def subgraph(graph: graph_pb2.GraphDef, kept: Iterable[str]) -> graph_pb2.GraphDef:
    """Returns the nodes named in `kept` and all that they depend on, in the order of `graph`."""
    nodes = {node.name: node for node in graph.node}
    needed: set[str] = set()
    stack = list(kept)
    while stack:
        name = stack.pop()
        if name not in needed:
            needed.add(name)
            stack.extend(split(source)[0] for source in nodes[name].input)
    result = graph_pb2.GraphDef(versions=graph.versions, library=graph.library)
    result.node.extend(node for node in graph.node if node.name in needed)
    return result


def fold_constants(graph: graph_pb2.GraphDef, outputs: list[str]) -> graph_pb2.GraphDef:
    """Replaces every tensor that depends on no input by its value, and removes nodes that `outputs` do not need.

    Args:
        graph: has no variables. Functions that it calls (loop bodies) are left unchanged.
        outputs: names of tensors that must keep their names and stay computable.

    Returns:
        A new graph.
    """
    nodes = {node.name: node for node in graph.node}
    constant = _constant_nodes(nodes)
    kept = {split(name)[0] for name in outputs}
    to_evaluate: list[str] = []
    replaced: dict[str, str] = {}
    for node in graph.node:
        for name in node.input:
            source, index = split(name)
            if node.name not in constant and source in constant and index >= 0 and nodes[source].op != "Const":
                origin = _behind_identities(source, nodes)
                if nodes[origin].op == "Const":  # An unchanged weight; evaluating it would copy it several times.
                    replaced[f"{source}:{index}"] = origin
                else:
                    to_evaluate.append(f"{source}:{index}")
    to_evaluate = list(dict.fromkeys(to_evaluate))
    result = graph_pb2.GraphDef(versions=graph.versions, library=graph.library)
    for name, value in zip(to_evaluate, _evaluate(graph, to_evaluate), strict=True):
        source, index = split(name)
        if isinstance(value, bytes):  # A single string; folding it gains nothing.
            continue
        if value.nbytes > _GROWTH_LIMIT and value.nbytes > _constant_bytes(source, nodes):
            continue
        replaced[name] = f"{source}/folded_{index}" if index else f"{source}/folded"
        result.node.append(_const(replaced[name], value))
    for node in graph.node:
        copy = result.node.add()
        copy.CopyFrom(node)
        del copy.input[:]
        for name in node.input:
            source, index = split(name)
            if index < 0 and source in constant:
                continue  # A control dependency on a constant has no effect.
            copy.input.append(
                name if index < 0 else replaced.get(f"{source}:{index}", name) if node.name not in constant else name
            )
    return subgraph(result, kept)


def _behind_identities(name: str, nodes: dict[str, node_def_pb2.NodeDef]) -> str:
    """Returns the node at the start of a chain of Identity ops, or `name` if it is not an Identity."""
    while nodes[name].op == "Identity":
        source, index = split(nodes[name].input[0])
        if index:
            return name
        name = source
    return name


def _constant_nodes(nodes: dict[str, node_def_pb2.NodeDef]) -> set[str]:
    """Returns the names of nodes that depend on constants and stateless ops only."""
    verdicts: dict[str, bool] = {}
    for start in nodes:
        stack = [start]
        while stack:  # Depth-first search without recursion, since graphs are deeper than Python's stack.
            name = stack[-1]
            if name in verdicts:
                stack.pop()
                continue
            node = nodes[name]
            sources = [split(source)[0] for source in node.input]
            if not _foldable(node):
                verdicts[name] = node.op == "Const"
            elif any(verdicts.get(source) is False for source in sources):
                verdicts[name] = False
            elif waiting := [source for source in sources if source not in verdicts]:
                stack.extend(waiting)
                continue
            else:
                verdicts[name] = True
            stack.pop()
    return {name for name, verdict in verdicts.items() if verdict}


def _foldable(node: node_def_pb2.NodeDef) -> bool:
    if node.op in _NEVER_FOLDED:
        return False
    definition = op_definition(node.op)
    if definition is None or definition.is_stateful:
        return False
    # Tensor lists, which loops write to, cannot be stored as constants.
    return not any(output.type == types_pb2.DT_VARIANT for output in definition.output_arg)


def _constant_bytes(name: str, nodes: dict[str, node_def_pb2.NodeDef]) -> int:
    """Returns the total size in bytes of all constants that a node depends on."""
    seen, stack, total = set(), [name], 0
    while stack:
        node = nodes[stack.pop()]
        if node.name in seen:
            continue
        seen.add(node.name)
        if node.op == "Const":
            total += node.attr["value"].tensor.ByteSize()
        stack.extend(split(source)[0] for source in node.input)
    return total


def _evaluate(graph: graph_pb2.GraphDef, names: list[str]) -> list[np.ndarray]:
    """Evaluates tensors that need no input."""
    if not names:
        return []
    # Without graph optimisation, which would copy every weight a dozen times.
    options = tf.compat.v1.ConfigProto(device_count={"GPU": 0})
    options.graph_options.rewrite_options.disable_meta_optimizer = True
    options.graph_options.optimizer_options.opt_level = tf.compat.v1.OptimizerOptions.L0
    with tf.Graph().as_default() as constants:
        tf.graph_util.import_graph_def(subgraph(graph, [split(name)[0] for name in names]), name="")
        with tf.compat.v1.Session(graph=constants, config=options) as session:
            return session.run(names)


def _const(name: str, value: np.ndarray) -> node_def_pb2.NodeDef:
    proto = tf.make_tensor_proto(value)
    node = node_def_pb2.NodeDef(name=name, op="Const")
    node.attr["dtype"].type = proto.dtype
    node.attr["value"].tensor.CopyFrom(proto)
    return node
