"""A model_dir belongs to one process at a time and to one config for good.

.train.lock       held while a process trains; the operating system lets go of it when the process dies, however it dies
.train.owner      who holds it, for the message that the next one gets
pipeline.config   the config as run, with all overrides, for people and for export; left alone where it is itself the
                  file the run was started with
.as_run.config    the same, which nobody edits; resuming with another one is refused
.evaluation_due   the step of the last checkpoint, where its evaluation is not over: a run that is killed meanwhile
                  makes up for it
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
# What may change between two runs: it does not touch what is learnt, or is not looked at again after the first step.
FREE_TO_CHANGE = (
    "eval_config",
    "eval_input_reader",
    "train_config.num_steps",
    "train_config.keep_checkpoint_every_n_hours",
    "train_config.fine_tune_checkpoint",
)


@contextlib.contextmanager
def claimed(model_dir: str | os.PathLike) -> Iterator[Path]:
    """Makes the folder, tries that it can be written, and holds it; removes what a killed process left of an unfinished
    save.

    Raises:
      ConfigError: it cannot be made or written.
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
            " correct its permissions"
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
        who = json_text.read_object(owner)
        return f"process {who['pid']} on {who['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def note_evaluation(model_dir: Path, step: int) -> None:
    """Before the checkpoint of a step that is to be evaluated is saved. Raises OSError."""
    write_text(model_dir / _DUE, f"{step}\n")


def forget_evaluation(model_dir: Path) -> None:
    """When it is over and its best checkpoint kept."""
    (model_dir / _DUE).unlink(missing_ok=True)


def evaluation_is_due(model_dir: Path, step: int | None) -> bool:
    """Whether the checkpoint of `step`, from which a run goes on, was to be evaluated and was not, or not to the end."""
    try:
        return step is not None and int((model_dir / _DUE).read_text(encoding="ascii")) == step
    except (OSError, ValueError):
        return False


def settle_config(model_dir: Path, text: str, resuming: bool, allow_change: bool, source: str | None = None) -> None:
    """Saves the config as run; when resuming, first compares it with the saved one.

    Args:
      source: the user's file. Where that is model_dir/pipeline.config, it is not written over.
      text: the config in text form, as `config.to_text` prints it; empty: there is none to save (a pipeline made in
          Python).

    Raises:
      ConfigError: a field differs that decides what is learnt; names the field and both values.
    """
    if not text:
        return
    path, own = model_dir / AS_RUN, model_dir / OWN_COPY
    before = own if own.exists() else path  # Folders of earlier versions have the one alone.
    if resuming and before.exists():
        changes = differences(before.read_text(encoding="utf-8"), text)
        if changes and not allow_change:
            more = f" (and {len(changes) - 1} more changes)" if len(changes) > 1 else ""
            raise ConfigError(
                f"{path}: {changes[0]}{more} since this model_dir was started; use another model_dir, or pass"
                " --allow_config_change"
            )
        for change in changes:
            logging.warning("%s: %s", path, change)
    write_text(own, text)
    if source is None or not (path.exists() and os.path.samefile(source, path)):
        write_text(path, text)


def differences(old: str, new: str) -> list[str]:
    """`field was X, is now Y` for every field that differs and is not free to change."""
    before, after = flatten(old), flatten(new)
    paths = [
        path for path in before | after if before.get(path) != after.get(path) and not path.startswith(FREE_TO_CHANGE)
    ]
    return [f"{path} was {before.get(path, 'not set')}, is now {after.get(path, 'not set')}" for path in paths]


def flatten(text: str) -> dict[str, str]:
    """Field path -> value of a config in printed text form; repeated fields are numbered from the second on."""
    values: dict[str, str] = {}
    stack: list[tuple[str, dict[str, int]]] = [("", {})]

    def child(name: str) -> str:
        prefix, seen = stack[-1]
        seen[name] = seen.get(name, 0) + 1
        number = f"[{seen[name] - 1}]" if seen[name] > 1 else ""
        return f"{prefix}.{name}{number}".lstrip(".")

    for line in map(str.strip, text.splitlines()):
        if line.endswith("{"):
            stack.append((child(line[:-1].rstrip(" :")), {}))
        elif line == "}":
            path, seen = stack.pop()
            if not seen:
                values[path] = "{}"
        elif line and not line.startswith("#"):
            name, _, value = line.partition(":")
            values[child(name.strip())] = value.strip()
    return values
