"""Builds object-based (TensorFlow 2) checkpoints from keys and values, as `tf.train.Checkpoint(model=...)` writes them.

The object graph in the file has a node for every part of a key, with the variables as leaves; restoring code finds a
variable by following attribute names. See `object_files` for the format of keys.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph

from detection.checkpoints import checkpoint_files
from detection.checkpoints.object_files import END, SLOT, VARIABLE, unescaped

SAVE_COUNTER = "save_counter"
Value = tf.Tensor | tf.Variable | np.ndarray | np.generic
STATE = "checkpoint"  # the text file that names the latest checkpoint of a folder


def tensors(values: Mapping[str, Value]) -> dict[str, Value | bytes]:
    """Returns the arrays to write with `checkpoint_files.write`, the object graph among them.

    Args:
        values: by key, without the suffix `/.ATTRIBUTES/VARIABLE_VALUE`; optimizer slots by
            `<key of the variable>/.OPTIMIZER_SLOT/<key of the optimizer>/<slot>`.
    """
    graph = _Graph()
    for key in sorted(key for key in values if SLOT not in key):
        graph.add(key)
    for key in sorted(key for key in values if SLOT in key):
        graph.add_slot(key)
    named = {f"{key}{END}": value for key, value in values.items()}
    return {**named, checkpoint_files.OBJECT_GRAPH: graph.proto.SerializeToString(deterministic=True)}


class _Graph:
    """Builds the object graph; nodes are numbered, and 0 is the root."""

    def __init__(self) -> None:
        self.proto = TrackableObjectGraph()
        self.proto.nodes.add()
        self._numbers: dict[str, int] = {"": 0}

    def add(self, key: str) -> None:
        """Adds a variable."""
        self._hold_value(self._number(key), key)

    def add_slot(self, key: str) -> None:
        """Adds an optimizer slot, which belongs to an optimizer and a variable."""
        variable, _, behind = key.partition(SLOT)
        optimizer, _, name = behind.rpartition("/")
        own = len(self.proto.nodes)
        self.proto.nodes.add()
        self._hold_value(own, key)
        self.proto.nodes[self._number(optimizer)].slot_variables.add(
            original_variable_node_id=self._numbers[variable], slot_name=name, slot_variable_node_id=own
        )

    def _number(self, path: str) -> int:
        if path not in self._numbers:
            parent, _, name = path.rpartition("/")
            above = self._number(parent)
            self._numbers[path] = len(self.proto.nodes)
            self.proto.nodes.add()
            self.proto.nodes[above].children.add(node_id=self._numbers[path], local_name=unescaped(name))
        return self._numbers[path]

    def _hold_value(self, number: int, key: str) -> None:
        self.proto.nodes[number].attributes.add(name=VARIABLE, full_name=key, checkpoint_key=f"{key}{END}")
