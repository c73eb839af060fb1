"""Where an export stores its weights, and under which names.

| layout | checkpoint | form | graph of constants |
|---|---|---|---|
| OWN | checkpoint/model.ckpt-STEP | by name | |
| TF2, as exporter_main_v2.py | checkpoint/ckpt-0 | object-based; by name if the model has no keys | |
| TF1, as export_inference_graph.py | model.ckpt | by name | frozen_inference_graph.pb |
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from tensorflow.core.framework import graph_pb2

from detection.checkpoints import checkpoint_files, loading, object_write, rotation
from detection.checkpoints.names import GLOBAL_STEP
from detection.export.freeze import FrozenGraph
from detection.files import write_text
from detection.pipeline import Detector


class Layout(NamedTuple):
    """A layout of the files of an export; see the table above."""

    checkpoint: str  # prefix relative to the output folder; {step} is replaced by the training step
    object_based: bool = False
    frozen_graph: str = ""  # name of the file with the frozen graph; "" for none


OWN = Layout(f"checkpoint/{rotation.NAME}-{{step}}")
TF2 = Layout("checkpoint/ckpt-0", object_based=True)
TF1 = Layout("model.ckpt", frozen_graph="frozen_inference_graph.pb")


def write_checkpoint(layout: Layout, folder: Path, detector: Detector, step: int) -> None:
    """Writes the checkpoint to `folder`, and the text file `checkpoint` that names it."""
    prefix = folder / layout.checkpoint.format(step=step)
    prefix.parent.mkdir(exist_ok=True)
    keys = detector.object_keys() if layout.object_based else {}
    if keys:
        values = {**keys, object_write.SAVE_COUNTER: np.int64(1)}
        checkpoint_files.write(prefix, object_write.tensors(values))
    else:
        checkpoint_files.write(prefix, {**loading.by_name(detector), GLOBAL_STEP: np.int64(step)})
    lines = f'model_checkpoint_path: "{prefix.name}"\nall_model_checkpoint_paths: "{prefix.name}"\n'
    write_text(prefix.with_name(object_write.STATE), lines)


def write_frozen_graph(path: Path, frozen: FrozenGraph, input_name: str) -> None:
    """Writes a frozen graph, with its first input renamed to `input_name`, for TF1 programs that feed it by name."""
    path.write_bytes(renamed(frozen.graph, frozen.input.partition(":")[0], input_name).SerializeToString())


def renamed(graph: graph_pb2.GraphDef, old: str, new: str) -> graph_pb2.GraphDef:
    """Returns a copy of the graph in which the node `old` is renamed to `new`."""
    copy = graph_pb2.GraphDef.FromString(graph.SerializeToString())
    names = {old: new, f"{old}:0": f"{new}:0", f"^{old}": f"^{new}"}
    for node in copy.node:
        node.name = names.get(node.name, node.name)
        inputs = [names.get(name, name) for name in node.input]
        del node.input[:]
        node.input.extend(inputs)
    return copy
