"""Cuts the graph of a SavedModel at the marks that the exporter left in it, to measure the parts of the served graph.

    input -> (preprocess) -> network_input -> (network) -> network_output/... -> (postprocess) -> the outputs

and, for a detector with two stages:

    network_input -> (first stage) -> features/..., proposal_boxes -> (second stage) -> box codes and class logits of
        every proposal

The first stage is the network up to the map from which regions are cropped, with the region proposal network and its
suppression; cropping and everything after it is the second stage. Given proposals are an input like the images, so
preprocessing converts them to pixels.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import graph_pb2, node_def_pb2

from detection.errors import ConfigError
from detection.export.constants import split
from detection.export.predictor import SIGNATURE, load_graph, saved_model_folder
from detection.export.serving import MARKS, NETWORK_INPUT, NETWORK_OUTPUT, TRUE_SHAPES
from detection.proposals.serving_input import KEY as PROPOSALS
from detection.tools.tf_internals import function_graph

_FEATURES, _PROPOSAL_BOXES = f"{MARKS}/features/", f"{MARKS}/proposal_boxes"
_REGION_LOGITS = f"{NETWORK_OUTPUT}/class_logits"


class Part(NamedTuple):
    """A part of the graph: `run` takes the values of the marks `takes`, in order, and returns values by mark."""

    takes: tuple[str, ...]
    run: Callable[..., dict[str, tf.Tensor]]


class _MarkedGraph(NamedTuple):
    """The exported graph with its marks."""

    graph: graph_pb2.GraphDef
    inputs: tuple[str, ...]  # names of the nodes that are fed, in the order of `ServedGraph.input_keys`
    outputs: tuple[str, ...]  # names of tensors
    marks: dict[str, tf.TensorShape]  # name of a mark -> its static shape, which a cut must preserve


class ServedGraph:
    """A loaded SavedModel and functions for parts of its graph; the graph is copied when the first is requested."""

    network_input = NETWORK_INPUT

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        """Raises ConfigError, naming the folder, if it is not a SavedModel with a serving signature."""
        self.folder = saved_model_folder(folder)
        self._loaded = load_graph(self.folder)
        if SIGNATURE not in self._loaded.signatures:
            raise ConfigError(
                f"{self.folder}: has no signature {SIGNATURE}; give a SavedModel that `detection export` wrote"
            )
        self.signature = self._loaded.signatures[SIGNATURE]
        self._specs: dict[str, tf.TensorSpec] = self.signature.structured_input_signature[1]
        images = [key for key in self._specs if key != PROPOSALS]
        if len(images) != 1:
            raise ConfigError(
                f"{self.folder}: takes {', '.join(sorted(self._specs)) or 'nothing'}; give a SavedModel that takes"
                " images"
            )
        self.input_keys = (images[0], *(key for key in self._specs if key == PROPOSALS))

    @property
    def input_spec(self) -> tf.TensorSpec:
        """Spec of the images."""
        return self._specs[self.input_keys[0]]

    @property
    def proposals_spec(self) -> tf.TensorSpec | None:
        """Spec of given proposals, float32 [B, P, 4]; None if the detector makes its own."""
        return self._specs.get(PROPOSALS)

    @functools.cached_property
    def _marked(self) -> _MarkedGraph:
        """The function that contains the marks; a SavedModel wraps the exported function in several calls.

        Raises:
            ConfigError: no function contains marks.
        """
        graph = self.signature.graph
        constants = {
            inner.name: value for value, inner in graph.captures
        }  # constants too large to be stored in a function
        while not any(_is_mark(op.name) for op in graph.get_operations()):
            calls = [op for op in graph.get_operations() if op.type in ("PartitionedCall", "StatefulPartitionedCall")]
            if len(calls) != 1:
                raise ConfigError(
                    f"{self.folder}: has no node {NETWORK_INPUT}; give a SavedModel that `detection export` wrote"
                )
            graph = function_graph(calls[0], "f")
            constants = {
                inner.name: constants[outer.name]
                for outer, inner in zip(calls[0].inputs, graph.inputs, strict=True)
                if outer.name in constants
            }
        marks = {op.name: op.outputs[0].shape for op in graph.get_operations() if _is_mark(op.name)}
        # The calls may have renamed the inputs; only proposals have rank 3.
        inputs = sorted(
            (tensor for tensor in graph.inputs if tensor.name not in constants),
            key=lambda tensor: tensor.shape.rank == 3,
        )
        definition = graph.as_graph_def()
        for node in definition.node:
            if f"{node.name}:0" in constants:
                _replace_by_constant(node, constants[f"{node.name}:0"])
        return _MarkedGraph(
            definition,
            tuple(tensor.op.name for tensor in inputs),
            tuple(tensor.name for tensor in graph.outputs),
            marks,
        )

    @functools.cached_property
    def _before_network(self) -> tuple[str, ...]:
        """Marks that do not depend on the network: the scaled images, true shapes, given proposals."""
        return tuple(
            mark
            for mark in sorted(self._marked.marks)
            if mark == NETWORK_INPUT or not self._depends(mark, NETWORK_INPUT)
        )

    @functools.cached_property
    def network_outputs(self) -> tuple[str, ...]:
        """Marks of the network's outputs: codes and logits, and anchors or proposals if they depend on the image."""
        return tuple(
            mark
            for mark in sorted(self._marked.marks)
            if mark.startswith(f"{NETWORK_OUTPUT}/") and mark not in self._before_network
        )

    @functools.cached_property
    def network_inputs(self) -> tuple[str, ...]:
        """Marks of the network's inputs: the scaled images first, then true shapes and given proposals if used."""
        return self._needed([NETWORK_INPUT, *self._without_aliases(self._before_network)], self.network_outputs)

    @functools.cached_property
    def second_stage_inputs(self) -> tuple[str, ...]:
        """Marks of the first stage's outputs that the second stage uses; empty for a single stage."""
        marks = self._marked.marks
        maps = [mark for mark in sorted(marks) if mark.startswith(_FEATURES)]
        proposals = [
            mark for mark in sorted(marks) if mark == _PROPOSAL_BOXES or mark.startswith(f"{NETWORK_OUTPUT}/proposal_")
        ]
        if not maps or _REGION_LOGITS not in marks:
            return ()
        # A detector that only makes proposals has these marks too, but no second stage uses the map.
        return (*maps, *proposals) if set(maps) & set(self._needed([*maps, *proposals], [_REGION_LOGITS])) else ()

    def serve(self, images: tf.Tensor, proposals: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        """Calls the signature like a client.

        Args:
            images: as `input_spec` says.
            proposals: float32 [B, P, 4] as fractions of the image, for a detector with given proposals.

        Returns:
            The outputs by name.
        """
        values = (images,) if proposals is None else (images, proposals)
        return self.signature(**dict(zip(self.input_keys, values, strict=True)))

    def preprocess(self) -> Part:
        """Maps the inputs, in the order of `input_keys`, to the marks before the network.

        They are network_input, true_shapes and given proposals.
        """
        return Part(
            self.input_keys, self._cut(self._marked.inputs, {mark: f"{mark}:0" for mark in self._before_network})
        )

    def network(self) -> Part:
        """Both stages: maps the values of `network_inputs` to raw predictions."""
        return self._part(self.network_inputs, self.network_outputs)

    def first_stage(self) -> Part:
        """Maps the network's inputs to `second_stage_inputs`, without marks that exist before the network.

        Only for a detector with two stages.
        """
        outputs = [mark for mark in self.second_stage_inputs if mark not in self._before_network]
        return self._part(self._needed(self.network_inputs, outputs), outputs)

    def second_stage(self) -> Part:
        """Maps `second_stage_inputs` to codes and logits."""
        outputs = [mark for mark in self.network_outputs if mark not in self.second_stage_inputs]
        candidates = [
            *self.second_stage_inputs,
            *(mark for mark in self._before_network if mark not in self.second_stage_inputs),
        ]
        return self._part(self._needed(self._without_aliases(candidates), outputs), outputs)

    def postprocess(self) -> Part:
        """Maps raw predictions, and true shapes if they vary, to the outputs, which are named by number."""
        inputs = self._postprocessed
        return Part(inputs, self._cut(inputs, {str(number): name for number, name in enumerate(self._marked.outputs)}))

    def without_postprocess(self) -> Part:
        """Maps the inputs, in the order of `input_keys`, to the inputs of postprocessing."""
        return Part(
            self.input_keys, self._cut(self._marked.inputs, {mark: f"{mark}:0" for mark in self._postprocessed})
        )

    @property
    def _postprocessed(self) -> tuple[str, ...]:
        return tuple(
            mark for mark in sorted(self._marked.marks) if mark == TRUE_SHAPES or mark.startswith(f"{NETWORK_OUTPUT}/")
        )

    def network_at(self, shapes: Mapping[str, tuple[int, ...]]) -> tf.types.experimental.ConcreteFunction:
        """The network for fixed input shapes, so that all sizes are static and operations can be counted.

        Args:
            shapes: by mark of `network_inputs`.
        """
        graph = self._subgraph(self.network_inputs, self.network_outputs)
        batch, *size = shapes[NETWORK_INPUT][:3]
        _set_batch_size_of_conditionals(graph, batch)
        specs = {mark: tf.TensorSpec(shapes[mark], tf.float32) for mark in self.network_inputs if mark != TRUE_SHAPES}

        def run(values: dict[str, tf.Tensor]) -> list[tf.Tensor]:
            values = {**values, TRUE_SHAPES: tf.constant([size] * batch, tf.int32)}  # of images without padding
            feeds = {f"{mark}:0": values[mark] for mark in self.network_inputs}
            return tf.graph_util.import_graph_def(graph, feeds, [f"{mark}:0" for mark in self.network_outputs], name="")

        return tf.function(run, autograph=False).get_concrete_function(specs)

    def count_parameters(self) -> int:
        """Number of parameters in the network's constants; fewer than in training, as batch norm is folded."""
        graph = self._subgraph(self.network_inputs, self.network_outputs)
        return sum(_count_numbers(node) for node in _with_called(graph))

    def _part(self, takes: tuple[str, ...], gives: Collection[str]) -> Part:
        """Cuts out a part of the graph.

        Raises ConfigError for an export of an older version, whose network also reads the size of the original image.
        """
        if set(self._marked.inputs) & self._nodes_between(takes, gives):
            raise ConfigError(f"{self.folder}: the network reads values before {NETWORK_INPUT}; export it again")
        return Part(takes, self._cut(takes, {mark: f"{mark}:0" for mark in gives}))

    @functools.cached_property
    def _sources(self) -> dict[str, list[str]]:
        """Name of a node -> names of its inputs, including control inputs."""
        return {node.name: [split(name)[0] for name in node.input] for node in self._marked.graph.node}

    def _depends(self, name: str, source: str) -> bool:
        """Whether node `source` is an ancestor of node `name`."""
        return source in self._nodes_between((), [name])

    def _needed(self, feeds: Iterable[str], fetches: Iterable[str]) -> tuple[str, ...]:
        """The marks of `feeds` that are used to compute `fetches`; a fed mark hides the nodes before it."""
        feeds = tuple(dict.fromkeys(feeds))
        used = self._nodes_between(feeds, fetches)
        return tuple(mark for mark in feeds if mark in used)

    def _nodes_between(self, feeds: Collection[str], fetches: Iterable[str]) -> set[str]:
        """Names of the nodes that are run to compute `fetches` from `feeds`, with the feeds that are used."""
        names: set[str] = set()
        stack = list(fetches)
        while stack:
            name = stack.pop()
            if name not in names:
                names.add(name)
                stack += () if name in feeds else self._sources[name]
        return names

    def _without_aliases(self, marks: Iterable[str]) -> list[str]:
        """One mark for each tensor: several marks of one tensor form a chain, and feeding the first feeds all."""
        marks = list(marks)
        return [mark for mark in marks if self._sources[mark][0] not in marks]

    def _subgraph(self, feeds: Collection[str], fetches: Iterable[str]) -> graph_pb2.GraphDef:
        """The subgraph from `feeds` to `fetches`; fed nodes become placeholders."""
        full_graph, names = self._marked.graph, {*self._nodes_between(feeds, fetches), *feeds}
        graph = graph_pb2.GraphDef(versions=full_graph.versions, library=full_graph.library)
        for node in full_graph.node:
            if node.name in feeds and node.op != "Placeholder":
                placeholder = graph.node.add(name=node.name, op="Placeholder")
                placeholder.attr["dtype"].type = node.attr["T"].type
                placeholder.attr["shape"].shape.CopyFrom(self._marked.marks[node.name].as_proto())
            elif node.name in names:
                graph.node.add().CopyFrom(node)
        return graph

    def _cut(self, feeds: Collection[str], fetches: Mapping[str, str]) -> Callable[..., dict[str, tf.Tensor]]:
        graph = self._subgraph(feeds, [name.partition(":")[0] for name in fetches.values()])
        attributes = {node.name: node.attr for node in graph.node if node.name in feeds}
        specs = [
            tf.TensorSpec(tf.TensorShape(attributes[name]["shape"].shape), attributes[name]["dtype"].type)
            for name in feeds
        ]

        def run(*values: tf.Tensor) -> dict[str, tf.Tensor]:
            values_by_tensor = {f"{name}:0": value for name, value in zip(feeds, values, strict=True)}
            return dict(
                zip(
                    fetches,
                    tf.graph_util.import_graph_def(graph, values_by_tensor, list(fetches.values()), name=""),
                    strict=True,
                )
            )

        return tf.function(run, autograph=False).get_concrete_function(*specs)


def _set_batch_size_of_conditionals(graph: graph_pb2.GraphDef, batch: int) -> None:
    """Sets the batch size in the output shapes of conditionals.

    They have the shapes with which they were traced, and TensorFlow does not infer them again.
    """
    for node in graph.node:
        if node.op in ("If", "StatelessIf"):
            for shape in node.attr["output_shapes"].list.shape:
                if shape.dim and shape.dim[0].size == -1:
                    shape.dim[0].size = batch


def _with_called(graph: graph_pb2.GraphDef) -> Iterator[node_def_pb2.NodeDef]:
    """Yields the nodes of a graph and of the functions that they call, each function once.

    A loop over regions contains the weights that it uses.
    """
    library = {function.signature.name: function for function in graph.library.function}
    seen: set[str] = set()
    stack = list(graph.node)
    while stack:
        node = stack.pop()
        yield node
        for attr in node.attr.values():
            for name in (attr.func.name, *(function.name for function in attr.list.func)):
                if name in library and name not in seen:
                    seen.add(name)
                    stack += library[name].node_def


def _replace_by_constant(node: node_def_pb2.NodeDef, value: tf.Tensor) -> None:
    """Turns a placeholder into a constant with its value."""
    node.op = "Const"
    node.attr.clear()
    node.attr["dtype"].type = value.dtype.as_datatype_enum
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))


def _count_numbers(node: node_def_pb2.NodeDef) -> int:
    """Number of values in a float32 constant; 0 for other nodes."""
    if node.op != "Const" or node.attr["dtype"].type != tf.float32.as_datatype_enum:
        return 0
    return int(np.prod([size.size for size in node.attr["value"].tensor.tensor_shape.dim], initial=1))


def _is_mark(name: str) -> bool:
    return name.startswith(f"{MARKS}/")
