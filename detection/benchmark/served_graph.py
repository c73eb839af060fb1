"""The graph inside a SavedModel, cut at the marks that export left in it, so that what is measured is what is served.

    input -> (preprocess) -> network_input -> (network) -> network_output/... -> (postprocess) -> the outputs

and, where there are two stages, the network in two:

    network_input -> (first stage) -> features/..., proposal_boxes -> (second stage) -> box codes and class logits of
        every proposal

The first stage is the network up to the map on which regions are classified, with the region proposal network and its
suppression; cropping regions and everything behind is the second. Given proposals enter with the images, so
preprocessing brings them to pixels.
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
from detection.tools.tf_internals import called

_FEATURES, _PROPOSAL_BOXES = f"{MARKS}/features/", f"{MARKS}/proposal_boxes"
_OF_REGIONS = f"{NETWORK_OUTPUT}/class_logits"


class Part(NamedTuple):
    """A piece of the graph: the marks whose values `run` takes, in order, and those whose values it returns by name."""

    takes: tuple[str, ...]
    run: Callable[..., dict[str, tf.Tensor]]


class _Marked(NamedTuple):
    """The graph that was exported."""

    graph: graph_pb2.GraphDef
    inputs: tuple[str, ...]  # names of the nodes that are fed, in the order of `ServedGraph.input_keys`
    outputs: tuple[str, ...]  # names of tensors
    marks: dict[
        str, tf.TensorShape
    ]  # name of a mark -> what is known of its shape; a cut must not make TensorFlow know less


class ServedGraph:
    """A loaded SavedModel and functions over parts of its graph, which is copied when the first of them is asked for."""

    network_input = NETWORK_INPUT

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        """Raises ConfigError, naming the folder, if it is no SavedModel that serves."""
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
        """Of the images."""
        return self._specs[self.input_keys[0]]

    @property
    def proposals_spec(self) -> tf.TensorSpec | None:
        """Of given proposals, float32 [B, P, 4]; None where the detector finds its own."""
        return self._specs.get(PROPOSALS)

    @functools.cached_property
    def _marked(self) -> _Marked:
        """The function that holds the marks: a SavedModel wraps what was exported in calls that pass everything on.

        Raises:
            ConfigError: there is none.
        """
        graph = self.signature.graph
        held = {inner.name: value for value, inner in graph.captures}  # constants too large to lie in a function
        while not any(_is_mark(op.name) for op in graph.get_operations()):
            calls = [op for op in graph.get_operations() if op.type in ("PartitionedCall", "StatefulPartitionedCall")]
            if len(calls) != 1:
                raise ConfigError(
                    f"{self.folder}: has no node {NETWORK_INPUT}; give a SavedModel that `detection export` wrote"
                )
            graph = called(calls[0], "f")
            held = {
                inner.name: held[outer.name]
                for outer, inner in zip(calls[0].inputs, graph.inputs, strict=True)
                if outer.name in held
            }
        marks = {op.name: op.outputs[0].shape for op in graph.get_operations() if _is_mark(op.name)}
        # Of the inputs, which the calls may have renamed, proposals alone are of rank 3.
        fed = sorted(
            (tensor for tensor in graph.inputs if tensor.name not in held), key=lambda tensor: tensor.shape.rank == 3
        )
        definition = graph.as_graph_def()
        for node in definition.node:
            if f"{node.name}:0" in held:
                _become_constant(node, held[f"{node.name}:0"])
        return _Marked(
            definition, tuple(tensor.op.name for tensor in fed), tuple(tensor.name for tensor in graph.outputs), marks
        )

    @functools.cached_property
    def _before_network(self) -> tuple[str, ...]:
        """Marks of what does not depend on the network: the scaled images, true shapes, given proposals."""
        return tuple(
            mark
            for mark in sorted(self._marked.marks)
            if mark == NETWORK_INPUT or not self._depends(mark, NETWORK_INPUT)
        )

    @functools.cached_property
    def network_outputs(self) -> tuple[str, ...]:
        """Marks of what the network hands to postprocessing: codes and logits, and anchors or proposals where they vary
        with the image.
        """
        return tuple(
            mark
            for mark in sorted(self._marked.marks)
            if mark.startswith(f"{NETWORK_OUTPUT}/") and mark not in self._before_network
        )

    @functools.cached_property
    def network_inputs(self) -> tuple[str, ...]:
        """Marks of what the network takes: first of all the scaled images, then true shapes and given proposals where
        it looks at them.
        """
        return self._needed([NETWORK_INPUT, *self._without_aliases(self._before_network)], self.network_outputs)

    @functools.cached_property
    def border(self) -> tuple[str, ...]:
        """Marks of what the first of two stages hands on; none where there is one stage."""
        marks = self._marked.marks
        maps = [mark for mark in sorted(marks) if mark.startswith(_FEATURES)]
        found = [
            mark for mark in sorted(marks) if mark == _PROPOSAL_BOXES or mark.startswith(f"{NETWORK_OUTPUT}/proposal_")
        ]
        if not maps or _OF_REGIONS not in marks:
            return ()
        # A detector that stops at its proposals has marks too, but nothing behind them looks at the map.
        return (*maps, *found) if set(maps) & set(self._needed([*maps, *found], [_OF_REGIONS])) else ()

    def serve(self, images: tf.Tensor, proposals: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        """End to end, as a client calls it; with proposals float32 [B, P, 4], normalised, where they are given."""
        values = (images,) if proposals is None else (images, proposals)
        return self.signature(**dict(zip(self.input_keys, values, strict=True)))

    def preprocess(self) -> Part:
        """The inputs, in the order of `input_keys` -> every mark that depends on them alone: network_input,
        true_shapes, given proposals.
        """
        return Part(
            self.input_keys, self._cut(self._marked.inputs, {mark: f"{mark}:0" for mark in self._before_network})
        )

    def network(self) -> Part:
        """Both stages: values of `network_inputs` -> raw predictions."""
        return self._part(self.network_inputs, self.network_outputs)

    def first_stage(self) -> Part:
        """What `network` takes -> the border of the stages, less what was there before.

        Only where there is a border.
        """
        made = [mark for mark in self.border if mark not in self._before_network]
        return self._part(self._needed(self.network_inputs, made), made)

    def second_stage(self) -> Part:
        """The border -> codes and logits."""
        made = [mark for mark in self.network_outputs if mark not in self.border]
        candidates = [*self.border, *(mark for mark in self._before_network if mark not in self.border)]
        return self._part(self._needed(self._without_aliases(candidates), made), made)

    def postprocess(self) -> Part:
        """Raw predictions, and true shapes where they vary -> the outputs, numbered."""
        taken = self._postprocessed
        return Part(taken, self._cut(taken, {str(number): name for number, name in enumerate(self._marked.outputs)}))

    def without_postprocess(self) -> Part:
        """All before it: the inputs, in the order of `input_keys` -> what postprocessing takes."""
        return Part(
            self.input_keys, self._cut(self._marked.inputs, {mark: f"{mark}:0" for mark in self._postprocessed})
        )

    @property
    def _postprocessed(self) -> tuple[str, ...]:
        return tuple(
            mark for mark in sorted(self._marked.marks) if mark == TRUE_SHAPES or mark.startswith(f"{NETWORK_OUTPUT}/")
        )

    def network_at(self, shapes: Mapping[str, tuple[int, ...]]) -> tf.types.experimental.ConcreteFunction:
        """The network alone for values of these shapes, by mark of `network_inputs`, every size in it known: for
        counting operations.
        """
        graph = self._subgraph(self.network_inputs, self.network_outputs)
        batch, *size = shapes[NETWORK_INPUT][:3]
        _settle_branches(graph, batch)
        specs = {mark: tf.TensorSpec(shapes[mark], tf.float32) for mark in self.network_inputs if mark != TRUE_SHAPES}

        def run(values: dict[str, tf.Tensor]) -> list[tf.Tensor]:
            values = {**values, TRUE_SHAPES: tf.constant([size] * batch, tf.int32)}  # of images without padding
            feeds = {f"{mark}:0": values[mark] for mark in self.network_inputs}
            return tf.graph_util.import_graph_def(graph, feeds, [f"{mark}:0" for mark in self.network_outputs], name="")

        return tf.function(run, autograph=False).get_concrete_function(specs)

    def count_parameters(self) -> int:
        """Numbers in the network's constants; batch norm is folded, so fewer than the variables of training."""
        graph = self._subgraph(self.network_inputs, self.network_outputs)
        return sum(_count_numbers(node) for node in _with_called(graph))

    def _part(self, takes: tuple[str, ...], gives: Collection[str]) -> Part:
        """Raises ConfigError for what older versions exported, where sizes were read off the image before it was
        scaled.
        """
        if set(self._marked.inputs) & self._between(takes, gives):
            raise ConfigError(f"{self.folder}: the network looks past the mark {NETWORK_INPUT}; export it again")
        return Part(takes, self._cut(takes, {mark: f"{mark}:0" for mark in gives}))

    @functools.cached_property
    def _sources(self) -> dict[str, list[str]]:
        """Name of a node -> names of those that it reads or waits for."""
        return {node.name: [split(name)[0] for name in node.input] for node in self._marked.graph.node}

    def _depends(self, name: str, source: str) -> bool:
        """Whether a node has another, by name, among its ancestors."""
        return source in self._between((), [name])

    def _needed(self, feeds: Iterable[str], fetches: Iterable[str]) -> tuple[str, ...]:
        """Those marks of `feeds` whose values are used on the way to `fetches`; a fed mark hides what lies before it."""
        feeds = tuple(dict.fromkeys(feeds))
        used = self._between(feeds, fetches)
        return tuple(mark for mark in feeds if mark in used)

    def _between(self, feeds: Collection[str], fetches: Iterable[str]) -> set[str]:
        """Names of the nodes that are run for `fetches` when `feeds` are given; of feeds those that are looked at."""
        found: set[str] = set()
        stack = list(fetches)
        while stack:
            name = stack.pop()
            if name not in found:
                found.add(name)
                stack += () if name in feeds else self._sources[name]
        return found

    def _without_aliases(self, marks: Iterable[str]) -> list[str]:
        """One mark of a tensor: several marks on one tensor stand in a chain, and to feed its first is to feed all."""
        marks = list(marks)
        return [mark for mark in marks if self._sources[mark][0] not in marks]

    def _subgraph(self, feeds: Collection[str], fetches: Iterable[str]) -> graph_pb2.GraphDef:
        """What lies between: fed nodes become placeholders."""
        whole, names = self._marked.graph, {*self._between(feeds, fetches), *feeds}
        graph = graph_pb2.GraphDef(versions=whole.versions, library=whole.library)
        for node in whole.node:
            if node.name in feeds and node.op != "Placeholder":
                placeholder = graph.node.add(name=node.name, op="Placeholder")
                placeholder.attr["dtype"].type = node.attr["T"].type
                placeholder.attr["shape"].shape.CopyFrom(self._marked.marks[node.name].as_proto())
            elif node.name in names:
                graph.node.add().CopyFrom(node)
        return graph

    def _cut(self, feeds: Collection[str], fetches: Mapping[str, str]) -> Callable[..., dict[str, tf.Tensor]]:
        graph = self._subgraph(feeds, [name.partition(":")[0] for name in fetches.values()])
        fed = {node.name: node.attr for node in graph.node if node.name in feeds}
        specs = [tf.TensorSpec(tf.TensorShape(fed[name]["shape"].shape), fed[name]["dtype"].type) for name in feeds]

        def run(*values: tf.Tensor) -> dict[str, tf.Tensor]:
            given = {f"{name}:0": value for name, value in zip(feeds, values, strict=True)}
            return dict(
                zip(fetches, tf.graph_util.import_graph_def(graph, given, list(fetches.values()), name=""), strict=True)
            )

        return tf.function(run, autograph=False).get_concrete_function(*specs)


def _settle_branches(graph: graph_pb2.GraphDef, batch: int) -> None:
    """Says that what conditionals put out has `batch` rows: they carry the shapes they were traced with, and TensorFlow
    looks no further.
    """
    for node in graph.node:
        if node.op in ("If", "StatelessIf"):
            for known in node.attr["output_shapes"].list.shape:
                if known.dim and known.dim[0].size == -1:
                    known.dim[0].size = batch


def _with_called(graph: graph_pb2.GraphDef) -> Iterator[node_def_pb2.NodeDef]:
    """The nodes of a graph and of the functions that they call, each function once: a loop over regions holds the
    weights that it uses.
    """
    library = {function.signature.name: function for function in graph.library.function}
    found: set[str] = set()
    stack = list(graph.node)
    while stack:
        node = stack.pop()
        yield node
        for attr in node.attr.values():
            for name in (attr.func.name, *(function.name for function in attr.list.func)):
                if name in library and name not in found:
                    found.add(name)
                    stack += library[name].node_def


def _become_constant(node: node_def_pb2.NodeDef, value: tf.Tensor) -> None:
    """A placeholder becomes what it stands for."""
    node.op = "Const"
    node.attr.clear()
    node.attr["dtype"].type = value.dtype.as_datatype_enum
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))


def _count_numbers(node: node_def_pb2.NodeDef) -> int:
    """Of a constant of float32."""
    if node.op != "Const" or node.attr["dtype"].type != tf.float32.as_datatype_enum:
        return 0
    return int(np.prod([size.size for size in node.attr["value"].tensor.tensor_shape.dim], initial=1))


def _is_mark(name: str) -> bool:
    return name.startswith(f"{MARKS}/")
