"""The graph inside a SavedModel, cut at the marks that export left in it, so that what is measured is what is served.

    input -> (preprocess) -> network_input -> (network) -> network_output/... -> (postprocess) -> the outputs
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import graph_pb2
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from detection.errors import ConfigError
from detection.export.constants import subgraph
from detection.export.predictor import SIGNATURE, saved_model_folder
from detection.export.serving import MARKS, NETWORK_INPUT, NETWORK_OUTPUT, TRUE_SHAPES


class _Inlined(NamedTuple):
    """One graph without calls."""

    graph: graph_pb2.GraphDef
    input: str  # name of the node that is fed
    outputs: tuple[str, ...]  # names of tensors
    marks: dict[str, str]  # mark -> name of its node
    shapes: dict[str, tf.TensorShape]  # name of a mark's node -> what is known of its shape; a cut must not make TensorFlow know less


class ServedGraph:
    """A loaded SavedModel and functions over parts of its graph, which is copied when the first of them is asked for."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        """Raises ConfigError, naming the folder, if it is no SavedModel that serves."""
        self.folder = saved_model_folder(folder)
        self._loaded = tf.saved_model.load(os.fspath(self.folder))
        if SIGNATURE not in self._loaded.signatures:
            raise ConfigError(f"{self.folder}: has no signature {SIGNATURE}; give a SavedModel that export_saved_model.py wrote")
        self.signature = self._loaded.signatures[SIGNATURE]
        ((self.input_key, self.input_spec),) = self.signature.structured_input_signature[1].items()

    @functools.cached_property
    def _inlined(self) -> _Inlined:
        """Raises ConfigError if the marks of an export are not there."""
        inlined = convert_variables_to_constants_v2(self.signature, lower_control_flow=False)
        graph = inlined.graph.as_graph_def()
        marks = {node.name[node.name.index(f"{MARKS}/") :]: node.name for node in graph.node if _is_mark(node.name)}
        if NETWORK_INPUT not in marks:
            raise ConfigError(f"{self.folder}: has no node {NETWORK_INPUT}; give a SavedModel that export_saved_model.py wrote")
        shapes = {name: inlined.graph.get_tensor_by_name(f"{name}:0").shape for name in marks.values()}
        return _Inlined(graph, inlined.inputs[0].op.name, tuple(tensor.name for tensor in inlined.outputs), marks, shapes)

    network_input = NETWORK_INPUT

    @functools.cached_property
    def network_inputs(self) -> list[str]:
        """Marks of what the network takes: the scaled images, and the true shapes where it makes proposals, which lie inside them."""
        outputs = self._nodes(self.network_outputs)
        between = {node.name for node in self._subgraph(self._nodes([NETWORK_INPUT]), outputs).node}
        return [NETWORK_INPUT, *(mark for mark in (TRUE_SHAPES,) if self._inlined.marks.get(mark) in between)]

    @property
    def network_outputs(self) -> list[str]:
        """Marks of what the network hands to postprocessing: codes and logits, and anchors where they vary with the image."""
        return [mark for mark in sorted(self._inlined.marks) if mark.startswith(f"{NETWORK_OUTPUT}/")]

    def serve(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """End to end, as a client calls it."""
        return self.signature(**{self.input_key: images})

    def preprocess(self) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
        """input -> every mark that depends on the input alone: network_input, and true_shapes unless it is constant."""
        after = [mark for mark in sorted(self._inlined.marks) if not mark.startswith(f"{NETWORK_OUTPUT}/")]
        return self._cut([self._inlined.input], self._tensors(after))

    def network(self) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
        """Values of `network_inputs`, first of all scaled images float32 [B, H, W, 3] -> raw predictions."""
        return self._cut(self._nodes(self.network_inputs), self._tensors(self.network_outputs))

    def postprocess(self) -> tuple[list[str], Callable[..., dict[str, tf.Tensor]]]:
        """Marks that it takes, in order, and the function from their values to the outputs."""
        taken = [mark for mark in sorted(self._inlined.marks) if mark != NETWORK_INPUT]
        return taken, self._cut(self._nodes(taken), {str(number): name for number, name in enumerate(self._inlined.outputs)})

    def network_at(self, shape: tuple[int, ...]) -> tf.types.experimental.ConcreteFunction:
        """The network alone for images of one shape [B, H, W, 3], every size in it known: for counting operations."""
        entries, fetches = self._tensors(self.network_inputs), self._tensors(self.network_outputs)
        graph = self._subgraph(self._nodes(self.network_inputs), self._nodes(self.network_outputs))
        _settle_branches(graph, shape[0])

        def run(images: tf.Tensor) -> list[tf.Tensor]:
            whole = tf.constant([shape[1:3]] * shape[0], tf.int32)  # of images without padding
            values = {NETWORK_INPUT: images, TRUE_SHAPES: whole}
            feeds = {tensor: values[mark] for mark, tensor in entries.items()}
            return tf.graph_util.import_graph_def(graph, feeds, list(fetches.values()), name="")

        return tf.function(run, autograph=False).get_concrete_function(tf.TensorSpec(shape, tf.float32))

    def count_parameters(self) -> int:
        """Numbers in the network's constants; batch norm is folded, so fewer than the variables of training."""
        graph = self._subgraph(self._nodes(self.network_inputs), self._nodes(self.network_outputs))
        floating = [node.attr["value"].tensor for node in graph.node if node.op == "Const" and node.attr["dtype"].type == tf.float32.as_datatype_enum]
        return sum(int(np.prod([size.size for size in tensor.tensor_shape.dim], initial=1)) for tensor in floating)

    def _nodes(self, marks: list[str]) -> list[str]:
        return [self._inlined.marks[mark] for mark in marks]

    def _tensors(self, marks: list[str]) -> dict[str, str]:
        return {mark: f"{self._inlined.marks[mark]}:0" for mark in marks}

    def _subgraph(self, feeds: list[str], fetches: list[str]) -> graph_pb2.GraphDef:
        """What lies between: fed nodes become placeholders."""
        graph = graph_pb2.GraphDef()
        graph.CopyFrom(self._inlined.graph)
        for node in graph.node:
            if node.name in feeds and node.op != "Placeholder":
                dtype = node.attr["T"].type
                node.op = "Placeholder"
                node.ClearField("attr")
                node.attr["dtype"].type = dtype
                node.attr["shape"].shape.CopyFrom(self._inlined.shapes[node.name].as_proto())
                del node.input[:]
        return subgraph(graph, [*fetches, *feeds])

    def _cut(self, feeds: list[str], fetches: Mapping[str, str]) -> Callable[..., dict[str, tf.Tensor]]:
        graph = self._subgraph(feeds, [name.partition(":")[0] for name in fetches.values()])
        imported = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(graph, name=""), [])
        tensor = imported.graph.get_tensor_by_name
        return imported.prune([tensor(f"{name}:0") for name in feeds], {key: tensor(name) for key, name in fetches.items()})


def _settle_branches(graph: graph_pb2.GraphDef, batch: int) -> None:
    """Says that what conditionals put out has `batch` rows: they carry the shapes they were traced with, and TensorFlow looks no further."""
    for node in graph.node:
        if node.op in ("If", "StatelessIf"):
            for known in node.attr["output_shapes"].list.shape:
                if known.dim and known.dim[0].size == -1:
                    known.dim[0].size = batch


def _is_mark(name: str) -> bool:
    """Marks keep their name, perhaps behind that of a call that was inlined."""
    return name.startswith(f"{MARKS}/") or f"/{MARKS}/" in name
