"""Scalars by step: TensorBoard events, or lines of JSON if TensorBoard is not installed."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Mapping
from pathlib import Path

import tensorflow as tf
from absl import logging

from detection import files


class Summaries:
    """Writes to one folder; opens no file before the first number.

    If the disk is full, a warning is logged and no more summaries are written; the run continues.

    Attributes:
      writer: TensorBoard's writer, also used for images; None if TensorBoard is not installed or summaries are off.
    """

    def __init__(self, folder: str | os.PathLike, enabled: bool = True) -> None:
        self.folder, self._enabled = Path(folder), enabled
        self.writer: tf.summary.SummaryWriter | None = None
        if enabled and importlib.util.find_spec("tensorboard") is not None:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                self.writer = tf.summary.create_file_writer(str(self.folder))
            except (OSError, tf.errors.OpError) as error:
                self._give_up(error)
        elif enabled:
            logging.warning(
                "tensorboard is not installed (pip install tensorboard); scalars go to %s instead",
                self.folder / "scalars.jsonl",
            )

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Writes values by tag."""
        if not self._enabled:
            return
        try:
            if self.writer is None:
                self.folder.mkdir(parents=True, exist_ok=True)
                with open(self.folder / "scalars.jsonl", "a", encoding="utf-8") as file:
                    file.write(json.dumps({"step": step, **values}) + "\n")
                return
            with self.writer.as_default(step=step):
                for tag, value in values.items():
                    tf.summary.scalar(tag, value)
            self.writer.flush()
        except (OSError, tf.errors.OpError) as error:
            self._give_up(error)

    def close(self) -> None:
        """Closes the event file."""
        if self.writer is not None:
            try:
                self.writer.close()
            except (OSError, tf.errors.OpError) as error:
                self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self._enabled, self.writer = False, None
        logging.warning("%s: cannot write summaries (%s); continuing without", self.folder, files.reason(error))
