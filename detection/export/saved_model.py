"""Writes a frozen graph as a SavedModel for TensorFlow, TensorFlow Serving and `export.predictor`.

    <output_directory>/saved_model/        signature serving_default, tag serve, no variables; the label map in
                                           assets.extra
    <output_directory>/checkpoint/         the exported weights (`export.layouts`)
    <output_directory>/pipeline.config     the config of the model
    <output_directory>/label_map.pbtxt     the classes of the model

Everything is written to a hidden folder in the target and moved into place when it is complete: if an export fails or
is stopped, the previous one stays in place. If it is killed between the renames, a marker file remains, and readers
refuse the folder until it is exported again.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import tensorflow as tf
from absl import logging
from tensorflow.core.framework import graph_pb2

from detection import files
from detection.config import label_map
from detection.errors import ConfigError, DetectionError
from detection.export.freeze import FrozenGraph
from detection.export.stand_ins import put_back, set_aside
from detection.types import Category

LABEL_MAP = "label_map.pbtxt"
_PARTIAL = ".exporting-"
EXTRA = "assets.extra"  # the folder of a SavedModel for files that its graph does not read
# Constants above this size in bytes are captured by the served function instead of being part of it, since loading,
# optimising or saving a function copies its constants about ten times. (For CaffeNet's two matrices, 210 MB, loading
# and a first call take 0.9 instead of 4.2 GB, and 2.4 instead of 17 seconds.) No convolution has so many weights; their
# kernels stay constants, which lets TensorFlow store them in an optimised memory layout.
LARGE = 16 << 20


class _Served(tf.Module):
    """The object that `tf.saved_model.load` returns.

    Like models of the TF2 exporter it is callable, with its inputs by position or by their names in the signature.

    Args:
        frozen: the graph.
        large: tensors that the graph reads but does not contain, by their names in it.
        keys: names of the inputs in the signature, in order.
    """

    def __init__(self, frozen: FrozenGraph, large: Mapping[str, tf.Tensor], keys: Sequence[str]) -> None:
        super().__init__()

        def add() -> None:
            captured = {name: tf.identity(value) for name, value in large.items()}
            tf.graph_util.import_graph_def(frozen.graph, input_map=captured, name="")

        imported = tf.compat.v1.wrap_function(add, [])
        tensor = imported.graph.get_tensor_by_name
        pruned = imported.prune(
            [tensor(fed.name) for fed in frozen.inputs], {name: tensor(f"{name}:0") for name in frozen.outputs}
        )
        signature = [
            tf.TensorSpec(fed.shape, fed.dtype, name=key) for fed, key in zip(frozen.inputs, keys, strict=True)
        ]

        def serve(*inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            return pruned(*inputs)

        names = [inspect.Parameter(key, inspect.Parameter.POSITIONAL_OR_KEYWORD) for key in keys]
        serve.__signature__ = inspect.Signature(names)  # type: ignore[attr-defined]
        self.__call__ = tf.function(serve, input_signature=signature, autograph=False)


def _split_off_large_constants(graph: graph_pb2.GraphDef) -> tuple[graph_pb2.GraphDef, dict[str, tf.Tensor]]:
    """Returns the graph without its largest constants, and the constants by tensor name."""
    large = {f"{node.name}:0": node for node in graph.node if node.op == "Const" and node.ByteSize() > LARGE}
    rest = graph_pb2.GraphDef(versions=graph.versions, library=graph.library)
    rest.node.extend(node for node in graph.node if f"{node.name}:0" not in large)
    return rest, {name: tf.constant(tf.make_ndarray(node.attr["value"].tensor)) for name, node in large.items()}


def write_saved_model(frozen: FrozenGraph, keys: Sequence[str], categories: Iterable[Category], folder: Path) -> None:
    """Writes the SavedModel.

    Args:
        frozen: the graph.
        keys: names of the inputs in the signature, in order.
        categories: the label map.
        folder: must not exist.
    """
    graph, large = _split_off_large_constants(frozen.graph)
    light, values = set_aside(graph)
    module = _Served(frozen._replace(graph=light), large, keys)
    with _only_warnings():
        # Loop bodies that pool regions still contain ops with custom gradients, and custom gradients of frozen weights
        # cannot be saved.
        options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
        tf.saved_model.save(
            module,
            os.fspath(folder),
            signatures={"serving_default": module.__call__.get_concrete_function()},
            options=options,
        )
        put_back(folder, values)
    extra = folder / EXTRA
    extra.mkdir()
    (extra / LABEL_MAP).write_text(label_map.to_text(categories), encoding="utf-8")


@contextlib.contextmanager
def _only_warnings() -> Iterator[None]:
    """Suppresses TensorFlow's info messages about sharding and fingerprints."""
    before, tensorflow = logging.get_verbosity(), tf.get_logger()
    level = tensorflow.level
    try:
        logging.set_verbosity(min(before, logging.WARNING))
        tensorflow.setLevel("WARNING")
        yield
    finally:
        logging.set_verbosity(before)
        tensorflow.setLevel(level)


def write_atomically(output_directory: Path, write: Callable[[Path], None]) -> None:
    """Calls `write` with a hidden folder in `output_directory`, then moves what it wrote into place, entry by entry.

    The hidden folder is inside `output_directory`, which may be a mounted volume, because files cannot be renamed
    across file systems. Each entry is exchanged with the existing one, atomically if the file system supports it. Until
    all are exchanged, a marker file makes readers refuse the folder (`files.interrupted_export`), since it may contain
    parts of two exports. Other files in `output_directory` are kept; leftovers of killed exports are removed.

    Args:
        output_directory: created if it does not exist.
        write: writes the export into the folder that it is given.

    Raises:
        ConfigError: the folder cannot be written; the previous export is still in place.
    """
    output_directory = output_directory.absolute()
    partial = output_directory / f"{_PARTIAL}{files.owner()}"
    is_new = not output_directory.exists()
    try:
        files.remove_leftovers(output_directory, _PARTIAL)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        write(partial)
        _flush(partial)
        with files.deferred_signals():
            _publish(partial, output_directory)
    except DetectionError:
        raise
    except (OSError, tf.errors.OpError) as error:
        raise ConfigError(
            f"--output_directory={output_directory}: cannot write the export: {files.reason(error)}; check the path and"
            " the free space"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        if is_new and output_directory.is_dir() and not any(output_directory.iterdir()):
            output_directory.rmdir()


def _flush(folder: Path) -> None:
    """Flushes all files to disk; a file renamed before that may be empty after a power failure."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as stream:
                os.fsync(stream.fileno())


def _publish(partial: Path, target: Path) -> None:
    """Moves every entry of `partial` to `target`; after an OSError all moves are undone."""
    entries, done, marker = sorted(partial.iterdir()), [], target / files.PUBLISHING
    mixed = marker.exists()  # An earlier export was killed here, so undoing the moves leaves parts of two exports.
    files.write_text(marker, f"{files.owner()}\n")
    try:
        for entry in entries:
            _replace(entry, target / entry.name)
            done.append(entry)
    except OSError:
        for entry in reversed(done):
            _put_back(entry, target / entry.name)
        if not mixed:
            marker.unlink()
        raise
    marker.unlink()


def _replace(new: Path, target: Path) -> None:
    """Moves `new` to `target`; an existing `target` is kept as `<new>.old`, or as `new` after an exchange."""
    if not target.exists():
        new.rename(target)
        return
    if files.exchange(new, target):
        return
    old = new.with_name(f"{new.name}.old")
    target.rename(old)
    try:
        new.rename(target)
    except OSError:
        old.rename(target)
        raise


def _put_back(new: Path, target: Path) -> None:
    """Undoes `_replace`."""
    if new.exists():
        files.exchange(new, target)
        return
    target.rename(new)
    old = new.with_name(f"{new.name}.old")
    if old.exists():
        old.rename(target)
