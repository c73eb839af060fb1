"""Reads and writes TensorFlow checkpoints: `<prefix>.index` and `<prefix>.data-00000-of-00001`, holding {name: array}.

Any tool that reads TensorFlow 1 checkpoints reads these. Writing is atomic: both files are written in a hidden folder
beside the target, flushed to disk and renamed, the index last; a checkpoint exists exactly when its index does.
Reading verifies TensorFlow's checksums, so a damaged file is an error and never gives wrong weights.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from detection import files
from detection.checkpoints import index_check
from detection.errors import ConfigError, first_line

INDEX = ".index"
DATA = ".data-00000-of-00001"
TEMPORARY = ".saving-"
OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
_STEP = re.compile(rf"-(\d+){re.escape(INDEX)}$")


class UnreadableCheckpointError(ConfigError):
    """A checkpoint is missing, truncated, damaged or of another kind; the message names its file."""


class Entry(NamedTuple):
    """Shape and type of one array in a checkpoint."""

    shape: tuple[int, ...]
    dtype: tf.DType


def write(prefix: str | os.PathLike, tensors: Mapping[str, tf.Tensor | tf.Variable | np.ndarray]) -> None:
    """Writes a checkpoint, replacing an existing one. After an error nothing is changed and no files are left behind.

    Args:
        prefix: path of the checkpoint without the suffixes of its files.
        tensors: values by name.

    Raises:
        OSError: the disk is full, the folder cannot be written, or a file is too large.
    """
    prefix = Path(prefix)
    folder = prefix.parent / f"{TEMPORARY}{files.owner()}"
    try:
        folder.mkdir(exist_ok=True)
        temporary = folder / prefix.name
        names = sorted(tensors)
        values = [tf.convert_to_tensor(tensors[name]) for name in names]
        with tf.device("CPU:0"):
            tf.raw_ops.SaveV2(
                prefix=str(temporary), tensor_names=names, shape_and_slices=[""] * len(names), tensors=values
            )
        for suffix in (DATA, INDEX):
            _flush(f"{temporary}{suffix}")
        for suffix in (DATA, INDEX):
            os.replace(f"{temporary}{suffix}", f"{prefix}{suffix}")
    except (tf.errors.OpError, OSError) as error:
        raise OSError(f"{prefix}: cannot be saved: {files.reason(error)}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _flush(path: str) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def remove_leftovers(folder: str | os.PathLike) -> int:
    """Deletes temporary folders of saves that were interrupted by a kill. The caller must hold the lock of the folder.

    If only the data file of a checkpoint had been renamed, the save is completed: both files were complete before the
    first was renamed.

    Returns:
        The number of temporary folders.
    """
    leftovers = list(Path(folder).glob(f"{TEMPORARY}*"))
    for leftover in leftovers:
        for index in leftover.glob(f"*{INDEX}"):
            data = index.name.removesuffix(INDEX) + DATA
            if not (leftover / data).exists() and (Path(folder) / data).exists():
                os.replace(index, Path(folder) / index.name)
        shutil.rmtree(leftover, ignore_errors=True)
    return len(leftovers)


def delete(prefix: str | os.PathLike) -> None:
    """Deletes a checkpoint, the index first, so that an interrupted deletion leaves no damaged checkpoint."""
    for suffix in (INDEX, DATA):
        Path(f"{prefix}{suffix}").unlink(missing_ok=True)


def locate(path: str | os.PathLike) -> str:
    """Returns the prefix of the checkpoint at `path`.

    Args:
        path: a prefix, one of the files of a checkpoint, a V1 file, or a folder (its latest checkpoint).

    Raises:
        UnreadableCheckpointError: there is no checkpoint.
    """
    path = os.fspath(path)
    for folder in (
        path,
        os.path.dirname(path),
        os.path.dirname(os.path.dirname(path)),
    ):  # An export holds its checkpoint in a folder of its own.
        if (unusable := files.interrupted_export(folder)) is not None:
            raise UnreadableCheckpointError(unusable)
    if os.path.isdir(path):
        latest = _named_by_state_file(path) or _newest_in(path)
        held = sorted(str(file).removesuffix(INDEX) for file in Path(path).glob(f"*{INDEX}"))
        if latest is None and len(held) != 1:
            what = (
                f"several checkpoints without step numbers; name one: {', '.join(held[:4])}"
                if held
                else "no checkpoint"
            )
            raise UnreadableCheckpointError(f"{path}: the folder holds {what}")
        return latest or held[0]
    stem = path.split(".data-")[0].removesuffix(INDEX).removesuffix(".meta")
    for candidate in (path, stem):
        if os.path.exists(candidate + INDEX) or (
            os.path.isfile(candidate) and not candidate.endswith((INDEX, ".meta")) and ".data-" not in candidate
        ):
            return candidate
    folder = Path(path).parent
    nearby = sorted(str(found).removesuffix(INDEX) for found in folder.glob(f"*{INDEX}"))[:3] if folder.is_dir() else []
    hint = (
        f"; that folder holds {', '.join(nearby)}"
        if nearby
        else "; the folder does not exist"
        if not folder.is_dir()
        else ""
    )
    raise UnreadableCheckpointError(f"{path}: no such checkpoint (looked for {stem}{INDEX}){hint}")


def _named_by_state_file(folder: str) -> str | None:
    try:
        return tf.train.latest_checkpoint(folder)
    except ValueError:  # The state file is empty; any other invalid content gives None.
        return None


def _newest_in(folder: str) -> str | None:
    """Returns the prefix of the checkpoint with the highest step.

    Used if the state file of the folder is missing, invalid, or names a checkpoint that no longer exists.
    """
    steps = {
        int(match[1]): str(file).removesuffix(INDEX)
        for file in Path(folder).glob(f"*{INDEX}")
        if (match := _STEP.search(file.name))
    }
    return steps[max(steps)] if steps else None


def entries(prefix: str | os.PathLike) -> dict[str, Entry]:
    """Reads names, shapes and types of a name-based checkpoint, without the values.

    Raises:
        UnreadableCheckpointError: the checkpoint is missing, damaged, or object-based (its names are then paths through
            Python objects, not variable names).
    """
    prefix = os.fspath(prefix)
    found = raw_entries(prefix)
    if OBJECT_GRAPH in found:
        raise UnreadableCheckpointError(
            f"{prefix}: this is an object-based (TensorFlow 2) checkpoint; only name-based checkpoints can be used"
            " here: those of this project, of the TensorFlow 1 detection zoo and of tf-slim"
        )
    return found


def raw_entries(prefix: str | os.PathLike) -> dict[str, Entry]:
    """Reads names, shapes and types of a checkpoint, name-based or object-based.

    Raises:
        UnreadableCheckpointError: the checkpoint is missing or damaged.
    """
    prefix = os.fspath(prefix)
    with reporting_errors(prefix):
        checkpoint = reader(prefix)
        types, shapes = checkpoint.get_variable_to_dtype_map(), checkpoint.get_variable_to_shape_map()
        return {name: Entry(tuple(shape), types[name]) for name, shape in shapes.items()}


def read(prefix: str | os.PathLike, names: Iterable[str] | None = None) -> dict[str, np.ndarray]:
    """Reads values by name and verifies their checksums.

    Args:
        prefix: prefix of the checkpoint.
        names: which values to read; None reads all of a name-based checkpoint.

    Raises:
        UnreadableCheckpointError: as for `entries`, or a value is truncated or damaged.
    """
    prefix = os.fspath(prefix)
    requested = sorted(entries(prefix) if names is None else names)
    with reporting_errors(prefix):
        checkpoint = reader(prefix)
        return {name: checkpoint.get_tensor(name) for name in requested}


def reader(prefix: str) -> Any:  # tf.train.CheckpointReader, whose type has no public name
    """Opens a checkpoint with TensorFlow's reader, after checking that TensorFlow can read the index safely."""
    index_check.check(prefix)
    return tf.train.load_checkpoint(prefix)


class reporting_errors:
    """Context manager that turns TensorFlow's errors about a bad checkpoint into UnreadableCheckpointError.

    TensorFlow raises several types, IndexError among them; the error raised here always names the file.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def __enter__(self) -> None:
        if not os.path.exists(self._prefix + INDEX) and not os.path.isfile(self._prefix):
            raise UnreadableCheckpointError(f"{self._prefix}{INDEX}: the file is missing")

    def __exit__(self, kind, error, traceback) -> None:
        if isinstance(error, (tf.errors.OpError, IndexError, ValueError, RuntimeError, OSError)) and not isinstance(
            error, ConfigError
        ):
            raise UnreadableCheckpointError(
                f"{self._prefix}: cannot be read, truncated or damaged ({first_line(error)[:200]})"
            ) from error
