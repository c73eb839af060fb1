"""The model_dir of a training run: used by one process at a time and always with the same config.

.train.lock       held while a process trains; the operating system releases it when the process dies
.train.owner      the process that holds it, for the error message of a second process
pipeline.config   the config as run, with all overrides, for people and for export; not overwritten if the run was
                  started with this file
.as_run.config    a copy that users do not edit; resuming with a different config is an error
.evaluation_due   the step of the last checkpoint while its evaluation is not finished: if the run is killed, the
                  resumed run evaluates it
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from absl import logging

from detection import files, json_text
from detection.checkpoints import checkpoint_files
from detection.errors import ConfigError, ModelDirInUseError
from detection.files import write_text
from detection.tools import folder_lock

AS_RUN = "pipeline.config"
OWN_COPY = ".as_run.config"
_DUE = ".evaluation_due"
_PROBE = ".write-test-"
# Fields that may differ in a resumed run: they do not affect training, or are not read after the first step.
FREE_TO_CHANGE = (
    "eval_config",
    "eval_input_reader",
    "train_config.num_steps",
    "train_config.keep_checkpoint_every_n_hours",
    "train_config.fine_tune_checkpoint",
)


@contextlib.contextmanager
def claimed(model_dir: str | os.PathLike) -> Iterator[Path]:
    """Creates the folder, checks that it is writable and locks it while the block runs.

    Also removes what a killed process left of an unfinished checkpoint.

    Raises:
      ConfigError: the folder cannot be created or written.
      ModelDirInUseError: another process trains in it; the message names host and process.
    """
    folder = Path(model_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f"{_PROBE}{files.owner()}"
        probe.write_bytes(b"x")
        probe.unlink()
    except OSError as error:
        raise ConfigError(
            f"--model_dir {folder}: cannot be written ({files.reason(error)}); choose another folder, make room, or"
            " fix its permissions"
        ) from error
    owner = folder / ".train.owner"
    with folder_lock.held(
        folder / ".train.lock",
        lambda: ModelDirInUseError(
            f"--model_dir {folder}: {_holder(owner)} is training in it; wait for it, stop it, or choose another folder"
        ),
        f"{folder}: a second trainer in the same folder",
    ):
        try:
            for part in (folder, folder / "eval", folder / "best"):
                files.remove_leftovers(part)
            files.remove_leftovers(folder, _PROBE)
            write_text(owner, json.dumps({"host": socket.gethostname(), "pid": os.getpid()}) + "\n")
            if checkpoint_files.remove_leftovers(folder):
                logging.warning("%s: removed an unfinished checkpoint of a run that was killed", folder)
            yield folder
        finally:
            owner.unlink(missing_ok=True)


def _holder(owner: Path) -> str:
    try:
        holder = json_text.read_object(owner)
        return f"process {holder['pid']} on {holder['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def note_evaluation(model_dir: Path, step: int) -> None:
    """Records that `step` is to be evaluated; called before its checkpoint is saved.

    Raises:
      OSError: the file cannot be written.
    """
    write_text(model_dir / _DUE, f"{step}\n")


def forget_evaluation(model_dir: Path) -> None:
    """Removes the record of `note_evaluation`, once the evaluation is finished and the best checkpoint kept."""
    (model_dir / _DUE).unlink(missing_ok=True)


def evaluation_is_due(model_dir: Path, step: int | None) -> bool:
    """Whether the evaluation of the checkpoint of `step`, from which a run resumes, was not finished."""
    try:
        return step is not None and int((model_dir / _DUE).read_text(encoding="ascii")) == step
    except (OSError, ValueError):
        return False


def settle_config(model_dir: Path, text: str, resuming: bool, allow_change: bool, source: str | None = None) -> None:
    """Saves the config as run; when resuming, first compares it with the saved one.

    Args:
      model_dir: the folder of the run.
      text: the config in text form, as `config.to_text` prints it; empty if there is none to save (a pipeline made in
          Python).
      resuming: whether the run continues from a checkpoint of model_dir.
      allow_change: log differences instead of raising an error.
      source: the user's file. If that is model_dir/pipeline.config, it is not overwritten.

    Raises:
      ConfigError: a field that affects training differs; names the field and both values.
    """
    if not text:
        return
    path, own_copy = model_dir / AS_RUN, model_dir / OWN_COPY
    previous = own_copy if own_copy.exists() else path  # Folders of earlier versions have only pipeline.config.
    if resuming and previous.exists():
        changes = differences(previous.read_text(encoding="utf-8"), text)
        if changes and not allow_change:
            more = f" (and {len(changes) - 1} more changes)" if len(changes) > 1 else ""
            raise ConfigError(
                f"{path}: {changes[0]}{more} since this model_dir was started; use another model_dir, or pass"
                " --allow_config_change"
            )
        for change in changes:
            logging.warning("%s: %s", path, change)
    write_text(own_copy, text)
    if source is None or not (path.exists() and os.path.samefile(source, path)):
        write_text(path, text)


def differences(old: str, new: str) -> list[str]:
    """`field was X, is now Y` for every field that differs and is not in FREE_TO_CHANGE."""
    before, after = flatten(old), flatten(new)
    paths = [
        path for path in before | after if before.get(path) != after.get(path) and not path.startswith(FREE_TO_CHANGE)
    ]
    return [f"{path} was {before.get(path, 'not set')}, is now {after.get(path, 'not set')}" for path in paths]


def flatten(text: str) -> dict[str, str]:
    """Field path -> value of a config in text form; repeated fields are numbered from the second on."""
    values: dict[str, str] = {}
    stack: list[tuple[str, dict[str, int]]] = [("", {})]

    def child(name: str) -> str:
        prefix, counts = stack[-1]
        counts[name] = counts.get(name, 0) + 1
        number = f"[{counts[name] - 1}]" if counts[name] > 1 else ""
        return f"{prefix}.{name}{number}".lstrip(".")

    for line in map(str.strip, text.splitlines()):
        if line.endswith("{"):
            stack.append((child(line[:-1].rstrip(" :")), {}))
        elif line == "}":
            path, counts = stack.pop()
            if not counts:
                values[path] = "{}"
        elif line and not line.startswith("#"):
            name, _, value = line.partition(":")
            values[child(name.strip())] = value.strip()
    return values
