"""Reads object-based (TensorFlow 2) checkpoints, as `tf.train.Checkpoint` writes them, without the original code.

Such a file holds arrays and the graph of the Python objects that owned them. The key of an array is the path of
attributes to its variable, `model/_box_predictor/.../bias/.ATTRIBUTES/VARIABLE_VALUE`; this package omits that suffix.
An optimizer slot has the key of its variable followed by `/.OPTIMIZER_SLOT/<optimizer>/<slot>`. An object that can be
reached by several paths is stored under one of them; the object graph has the others.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph

from detection.checkpoints import checkpoint_files
from detection.checkpoints.checkpoint_files import Entry

END = "/.ATTRIBUTES/VARIABLE_VALUE"
SLOT = "/.OPTIMIZER_SLOT/"
VARIABLE = "VARIABLE_VALUE"
STEP = "step"  # key of the training step, stored beside the model


class Contents(NamedTuple):
    """Shapes and types of the arrays in a checkpoint, by key, and its object graph."""

    prefix: str
    entries: dict[str, Entry]  # model variables and training state, without optimizer slots
    slots: dict[str, Entry]  # optimizer slots
    graph: TrackableObjectGraph

    def find(self, path: str) -> str | None:
        """Returns the key of the variable at a path of attributes, or None if there is no such variable."""
        return path if path in self.entries else self._walk(path)

    def _walk(self, path: str) -> str | None:
        node = self.graph.nodes[0] if self.graph.nodes else None
        for name in path.split("/"):
            local_name = unescaped(name)
            child = next((child for child in node.children if child.local_name == local_name), None) if node else None
            node = self.graph.nodes[child.node_id] if child is not None else None
        keys = (value.checkpoint_key for value in node.attributes if value.name == VARIABLE) if node else ()
        key = next(iter(keys), "").removesuffix(END)
        return key if key in self.entries else None

    def step(self) -> int:
        """Returns the training step at which the checkpoint was written, or 0 if it is not stored."""
        return int(read(self.prefix, [STEP])[STEP]) if STEP in self.entries else 0


def is_object_based(prefix: str | os.PathLike) -> bool:
    """Returns whether a checkpoint is object-based.

    Raises:
        UnreadableCheckpointError: the checkpoint is missing or damaged.
    """
    return checkpoint_files.OBJECT_GRAPH in checkpoint_files.raw_entries(prefix)


def contents(prefix: str | os.PathLike) -> Contents:
    """Reads keys, shapes and types of an object-based checkpoint, without the values.

    Raises:
        UnreadableCheckpointError: the checkpoint is missing or damaged.
    """
    prefix = os.fspath(prefix)
    found = {
        name.removesuffix(END): entry
        for name, entry in checkpoint_files.raw_entries(prefix).items()
        if name.endswith(END)
    }
    with checkpoint_files.reporting_errors(prefix):
        text = checkpoint_files.reader(prefix).get_tensor(checkpoint_files.OBJECT_GRAPH)
        graph = TrackableObjectGraph.FromString(text)
    slots = {key: entry for key, entry in found.items() if SLOT in key}
    return Contents(prefix, {key: entry for key, entry in found.items() if key not in slots}, slots, graph)


def read(prefix: str | os.PathLike, keys: Iterable[str]) -> dict[str, np.ndarray]:
    """Reads values by key and verifies their checksums.

    Raises:
        UnreadableCheckpointError: a value is truncated or damaged.
    """
    values = checkpoint_files.read(prefix, [f"{key}{END}" for key in set(keys)])
    return {name.removesuffix(END): value for name, value in values.items()}


def average(key: str, slots: Mapping[str, Entry]) -> str | None:
    """Returns the key of the moving average that an optimizer stored for the variable `key`, or None."""
    return next((slot for slot in slots if slot.startswith(f"{key}{SLOT}") and slot.endswith("/average")), None)


def unescaped(name: str) -> str:
    """Decodes an attribute name from one part of a key, in which `.S` encodes a slash and `..` a dot."""
    return re.sub(r"\.(.)", lambda match: "/" if match[1] == "S" else match[1], name)
