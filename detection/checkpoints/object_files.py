"""One object-based (TensorFlow 2) checkpoint, as `tf.train.Checkpoint` writes it, read without the code that wrote it.

Such a file holds arrays and the graph of the Python objects they were attributes of. An array's key is the path of
attributes to its variable, `model/_box_predictor/.../bias/.ATTRIBUTES/VARIABLE_VALUE`; here keys are written without
that end. What an optimizer keeps for a variable has the variable's key with `/.OPTIMIZER_SLOT/<optimizer>/<slot>`
behind it. An object that two paths lead to has its key by one of them; the graph knows the others.
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
STEP = "step"  # of the training that wrote the checkpoint, beside its model


class Contents(NamedTuple):
    """What a checkpoint holds, by key."""

    prefix: str
    entries: dict[str, Entry]  # variables and what belongs to the run, without slots
    slots: dict[str, Entry]  # of optimizers
    graph: TrackableObjectGraph

    def find(self, path: str) -> str | None:
        """The key of the variable that a path of attributes leads to; None where there is none."""
        return path if path in self.entries else self._walk(path)

    def _walk(self, path: str) -> str | None:
        node = self.graph.nodes[0] if self.graph.nodes else None
        for name in path.split("/"):
            wanted = unescaped(name)
            child = next((child for child in node.children if child.local_name == wanted), None) if node else None
            node = self.graph.nodes[child.node_id] if child is not None else None
        keys = (value.checkpoint_key for value in node.attributes if value.name == VARIABLE) if node else ()
        key = next(iter(keys), "").removesuffix(END)
        return key if key in self.entries else None

    def step(self) -> int:
        """Of the training that wrote the checkpoint; 0 where it does not say."""
        return int(read(self.prefix, [STEP])[STEP]) if STEP in self.entries else 0


def is_object_based(prefix: str | os.PathLike) -> bool:
    """Whether a checkpoint is an object-based one. Raises UnreadableCheckpointError where it cannot be read."""
    return checkpoint_files.OBJECT_GRAPH in checkpoint_files.raw_entries(prefix)


def contents(prefix: str | os.PathLike) -> Contents:
    """Keys, shapes and types of an object-based checkpoint, without its values.

    Raises:
        UnreadableCheckpointError: missing or damaged.
    """
    prefix = os.fspath(prefix)
    found = {
        name.removesuffix(END): entry
        for name, entry in checkpoint_files.raw_entries(prefix).items()
        if name.endswith(END)
    }
    with checkpoint_files.readable(prefix):
        text = checkpoint_files.opened(prefix).get_tensor(checkpoint_files.OBJECT_GRAPH)
        graph = TrackableObjectGraph.FromString(text)
    slots = {key: entry for key, entry in found.items() if SLOT in key}
    return Contents(prefix, {key: entry for key, entry in found.items() if key not in slots}, slots, graph)


def read(prefix: str | os.PathLike, keys: Iterable[str]) -> dict[str, np.ndarray]:
    """Values by key, with their checksums verified. Raises UnreadableCheckpointError where one is cut or damaged."""
    values = checkpoint_files.read(prefix, [f"{key}{END}" for key in set(keys)])
    return {name.removesuffix(END): value for name, value in values.items()}


def average(key: str, slots: Mapping[str, Entry]) -> str | None:
    """The key of a variable's moving average, which an optimizer keeps; None where there is none."""
    return next((slot for slot in slots if slot.startswith(f"{key}{SLOT}") and slot.endswith("/average")), None)


def unescaped(name: str) -> str:
    """An attribute's name from its part of a key, where `.S` stands for a slash and `..` for a dot."""
    return re.sub(r"\.(.)", lambda match: "/" if match[1] == "S" else match[1], name)
