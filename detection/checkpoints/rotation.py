"""Manages the checkpoints of a model_dir: `model.ckpt-<step>`, which are kept, and which one a run resumes from.

A run resumes from the newest checkpoint in the folder, not from the one named in the text file `checkpoint`: a trainer
that relies on that file starts again from step 0 if it is damaged. The file is written for TensorFlow's tools; a
resumed run reads from it only which checkpoints may be deleted and when one was last preserved. (A folder passed to
`load_into` is handled differently: there the file names the checkpoint if it is valid.)
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf
from absl import logging

from detection import files
from detection.checkpoints import checkpoint_files
from detection.checkpoints.checkpoint_files import DATA, INDEX, UnreadableCheckpointError
from detection.errors import ConfigError
from detection.files import write_text

NAME = "model.ckpt"
_STATE = "checkpoint"
_INTERIM = "# interim: "  # precedes a step in the state file; TensorFlow's tools skip such lines
_PATTERN = re.compile(rf"{re.escape(NAME)}-(\d+){re.escape(INDEX)}$")


class Checkpoints:
    """The checkpoints of one folder.

    Args:
        folder: the model_dir.
        keep: number of newest checkpoints to keep.
        keep_every_hours: besides, one checkpoint is preserved for every so many hours of training.
    """

    def __init__(self, folder: str | os.PathLike, keep: int = 5, keep_every_hours: float = 10_000.0) -> None:
        self.folder = Path(folder)
        self._keep = keep
        self._keep_every_seconds = keep_every_hours * 3600.0
        self._preserved: set[int] = set()
        self._interim: set[int] = set()
        self._last_preserved = time.time()
        self._read_state()

    def prefix(self, step: int) -> Path:
        """Returns the prefix of the checkpoint of a step."""
        return prefix_in(self.folder, step)

    def steps(self) -> list[int]:
        """Returns the steps that have a checkpoint, in ascending order."""
        return steps_in(self.folder)

    def save(self, step: int, tensors: Mapping[str, tf.Tensor | tf.Variable], interim: bool = False) -> Path:
        """Writes `model.ckpt-<step>`, then deletes checkpoints that are no longer kept.

        Args:
            step: the training step.
            tensors: values by name.
            interim: the checkpoint is saved only because the run was asked to stop. It does not count towards `keep`
                and is deleted at the next save, so that a stopped and resumed run ends with the same checkpoints as
                one that was never stopped.

        Returns:
            The prefix of the checkpoint.

        Raises:
            OSError: nothing was written; earlier checkpoints are untouched.
        """
        prefix = self.prefix(step)
        checkpoint_files.write(prefix, tensors)
        # The checkpoint is complete; a failure from here on must not be reported as a failed save.
        self._interim = {*self._interim, step} if interim else self._interim - {step}
        self._tidy(step, whole=not interim)
        return prefix

    def finish_rotation(self, newest: int) -> None:
        """Deletes what a killed run would have deleted: checkpoints no longer kept, and partly deleted ones.

        The caller must hold the lock of the folder.

        Args:
            newest: the step at which the run resumes.
        """
        for data in self.folder.glob(f"{NAME}-*{DATA}"):
            step = data.name[len(NAME) + 1 : -len(DATA)]
            if (
                step.isdecimal()
                and int(step) < newest
                and data.is_file()
                and not Path(f"{self.prefix(int(step))}{INDEX}").exists()
            ):
                data.unlink(missing_ok=True)
        self._tidy(newest, whole=newest not in self._interim)

    def _tidy(self, newest: int, whole: bool) -> None:
        for tidy in (self._drop_interim, self._rotate, self._write_state) if whole else (self._write_state,):
            try:
                tidy(newest=newest)
            except OSError as error:
                logging.warning(
                    "%s is saved, but old checkpoints or the checkpoint state file could not be updated (%s)",
                    self.prefix(newest),
                    files.explain(error) or error,
                )

    def _drop_interim(self, newest: int) -> None:
        for step in sorted(self._interim - {newest}):
            checkpoint_files.delete(self.prefix(step))
        self._interim &= {newest}

    def read_newest(self) -> tuple[int, dict[str, np.ndarray]] | None:
        """Reads the newest readable checkpoint, name-based or object-based; a warning lists those that were skipped.

        Returns:
            (step, values by name), or None if the folder has no checkpoint.

        Raises:
            ConfigError: no checkpoint in the folder can be read, or they are from another trainer. Training never
                restarts from step 0 silently.
        """
        bad: list[UnreadableCheckpointError] = []
        for step in reversed(self.steps()):
            try:
                values = checkpoint_files.read(self.prefix(step), checkpoint_files.raw_entries(self.prefix(step)))
            except UnreadableCheckpointError as error:
                bad.append(error)
                continue
            if bad:
                logging.warning("%s; going back to %s (%d newer skipped)", bad[0], self.prefix(step), len(bad))
            return step, values
        if bad:
            raise ConfigError(
                f"{bad[0]}; none of the {len(bad)} checkpoints of this model_dir can be read: move them away to start"
                " from step 0"
            )
        headless = sorted(self.folder.glob(f"{NAME}-*{DATA}")) if self.folder.is_dir() else []
        if headless:
            raise ConfigError(
                f"{headless[-1]}: its {INDEX} file is missing and no other checkpoint is left: move it away to start"
                " from step 0"
            )
        foreign = sorted(self.folder.glob(f"ckpt-*{INDEX}")) if self.folder.is_dir() else []
        if foreign:
            raise ConfigError(
                f"{foreign[-1]}: a checkpoint of another trainer (object-based, TensorFlow 2) cannot be resumed; use an"
                " empty model_dir"
            )
        return None

    def _rotate(self, newest: int) -> None:
        rotating = [step for step in self.steps() if step not in self._preserved | self._interim]
        for step in rotating[: -self._keep]:
            if step == newest:
                continue  # After resuming from an older step, this may not be the highest one.
            saved_at = os.path.getmtime(f"{self.prefix(step)}{INDEX}")
            if saved_at >= self._last_preserved + self._keep_every_seconds:
                self._last_preserved = saved_at
                self._preserved.add(step)
            else:
                checkpoint_files.delete(self.prefix(step))

    def _write_state(self, newest: int) -> None:
        steps = [step for step in self.steps() if step not in self._preserved and step != newest] + [newest]
        lines = [f'model_checkpoint_path: "{NAME}-{newest}"']
        lines += [f'all_model_checkpoint_paths: "{NAME}-{step}"' for step in steps]
        lines += [
            f"all_model_checkpoint_timestamps: {os.path.getmtime(f'{self.prefix(step)}{INDEX}')}" for step in steps
        ]
        lines += [f"last_preserved_timestamp: {self._last_preserved}"]
        lines += [f"{_INTERIM}{step}" for step in sorted(self._interim)]
        write_text(self.folder / _STATE, "\n".join(lines) + "\n")

    def _read_state(self) -> None:
        """Reads from the state file what is stored nowhere else.

        That is which checkpoints count towards `keep`, and when one was last preserved.
        """
        steps = self.steps()
        try:
            text = (self.folder / _STATE).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            text = ""
        listed = {
            int(step) for step in re.findall(rf'all_model_checkpoint_paths: "(?:.*/)?{re.escape(NAME)}-(\d+)"', text)
        }
        stamp = re.search(r"last_preserved_timestamp: ([0-9.e+]+)", text)
        if steps and not listed:
            logging.warning(
                "%s: missing or damaged; the checkpoints in its folder are found by their file names",
                self.folder / _STATE,
            )
            listed = set(steps[-self._keep :])
        # A checkpoint newer than the list was saved just before a kill; an older one that is not listed was preserved.
        self._preserved = {step for step in steps if step not in listed and step < max(listed)}
        self._interim = {int(step) for step in re.findall(rf"^{_INTERIM}(\d+)$", text, re.MULTILINE)} & set(steps)
        try:
            self._last_preserved = float(stamp[1]) if stamp else self._last_preserved
        except ValueError:
            logging.warning(
                "%s: last_preserved_timestamp %r is not a number; keep_checkpoint_every_n_hours counts from now",
                self.folder / _STATE,
                stamp[1],
            )


def prefix_in(folder: str | os.PathLike, step: int) -> Path:
    """Returns the prefix of the checkpoint of a step in a folder."""
    return Path(folder) / f"{NAME}-{step}"


def steps_in(folder: str | os.PathLike) -> list[int]:
    """Returns the steps that have a checkpoint in a folder, in ascending order; they may not be readable."""
    if not os.path.isdir(folder):
        return []
    return sorted(int(match[1]) for match in map(_PATTERN.match, os.listdir(folder)) if match)
