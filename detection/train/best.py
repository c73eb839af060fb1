"""Keeps the checkpoint with the best value of one metric in `<model_dir>/best/`, and decides on early stopping.

Rotation does not delete that checkpoint. The best value is the highest, or the lowest of a tag that begins with Loss/.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from absl import logging

from detection import files, json_text
from detection.checkpoints.checkpoint_files import DATA, INDEX
from detection.checkpoints.rotation import NAME, prefix_in
from detection.errors import ConfigError
from detection.evaluate.results import read_history
from detection.files import write_text

_NEW = ".new"  # suffix of a link that is being created
_STATE = "checkpoint"  # file that names the checkpoint for TensorFlow's tools
# Without --best_metric, the first of these that evaluation reports is used.
DEFAULT_METRICS = (
    "DetectionBoxes_Precision/mAP",
    "PascalBoxes_Precision/mAP@0.5IOU",
    "WeightedPascalBoxes_Precision/mAP@0.5IOU",
)


class Best:
    """Tracks one metric over the evaluations of a run, also across restarts.

    Args:
      model_dir: the folder that contains `best`.
      metric: a tag; None takes the first of DEFAULT_METRICS that is reported.
      patience: evaluations without a better value before `gives_up`; 0: never.
      resumed_at: for a resumed run, the last step whose evaluation was finished: evaluations after the best step and
          up to this one count towards the patience. None: a new run.
    """

    def __init__(
        self, model_dir: str | os.PathLike, metric: str | None = None, patience: int = 0, resumed_at: int | None = None
    ) -> None:
        self.folder = Path(model_dir) / "best"
        self.metric, self._patience = metric, patience
        self.value: float | None = None
        self.step: int | None = None
        self._read()
        best_step = -1 if self.step is None else self.step
        evaluated = read_history(model_dir) if patience and resumed_at is not None else ()
        self._num_without_improvement = sum(
            best_step < record["step"] <= resumed_at and self.metric in record["metrics"] for record in evaluated
        )

    def offer(self, step: int, metrics: Mapping[str, float], prefix: str | os.PathLike | None) -> bool:
        """Records an evaluation and keeps its checkpoint if the metric is the best so far.

        A value of -1 (no groundtruth) or NaN is never the best. The checkpoint is hard-linked if possible, so that it
        takes no space.

        Args:
          step: the evaluated step.
          metrics: tag -> value.
          prefix: the step's checkpoint; None if it could not be saved, and then it is not kept either.

        Returns:
          Whether the checkpoint was kept as the best.

        Raises:
          ConfigError: evaluation does not report the metric.
        """
        if self.metric is None:
            self.metric = next((tag for tag in DEFAULT_METRICS if tag in metrics), None)
        if self.metric is None:
            return False
        if self.metric not in metrics:
            raise ConfigError(
                f"--best_metric {self.metric}: evaluation reports no such metric; it reports"
                f" {', '.join(sorted(metrics))}"
            )
        value = float(metrics[self.metric])
        if not self._is_better(value):
            self._num_without_improvement += 1
            return False
        self._num_without_improvement = 0
        if prefix is None:
            return False
        try:
            self._keep(Path(prefix), step, value)
        except OSError as error:
            logging.error(
                "%s: the best checkpoint cannot be kept (%s); training continues", self.folder, files.reason(error)
            )
            return False
        self.value, self.step = value, step
        return True

    def _is_better(self, value: float) -> bool:
        if self.metric.startswith("Loss/"):
            return bool(np.isfinite(value)) and (self.value is None or value < self.value)
        return bool(np.isfinite(value)) and value >= 0 and (self.value is None or value > self.value)

    def gives_up(self) -> bool:
        """Whether `patience` evaluations have passed without a better value."""
        return 0 < self._patience <= self._num_without_improvement

    def _keep(self, prefix: Path, step: int, value: float) -> None:
        self.folder.mkdir(exist_ok=True)
        target = self.folder / prefix.name
        for suffix in (DATA, INDEX):
            _link(f"{prefix}{suffix}", f"{target}{suffix}")
        write_text(self.folder / "best.json", json.dumps({"metric": self.metric, "value": value, "step": step}) + "\n")
        self._keep_only(step)

    def _keep_only(self, step: int) -> None:
        """Makes the folder contain and name only the checkpoint of `step`, also after a process was killed."""
        name = prefix_in(self.folder, step).name
        state = f'model_checkpoint_path: "{name}"\nall_model_checkpoint_paths: "{name}"\n'
        path = self.folder / _STATE
        if not path.exists() or path.read_bytes() != state.encode():
            write_text(path, state)
        # The index is deleted first, as in rotation.
        for file in sorted(self.folder.glob(f"{NAME}-*"), key=lambda file: not file.name.endswith(INDEX)):
            if file.name not in (f"{name}{DATA}", f"{name}{INDEX}"):
                file.unlink(missing_ok=True)

    def _read(self) -> None:
        path = self.folder / "best.json"
        try:
            saved = json_text.read_object(path)
            if not (
                json_text.is_text(saved.get("metric"))
                and json_text.is_number(saved.get("value"))
                and type(saved.get("step")) is int
            ):
                raise ValueError("expected metric, value and step")
            if Path(f"{prefix_in(self.folder, int(saved['step']))}{INDEX}").exists():
                self._keep_only(int(saved["step"]))
            if self.metric in (None, saved["metric"]):
                self.metric, self.value, self.step = str(saved["metric"]), float(saved["value"]), int(saved["step"])
        except FileNotFoundError:
            for file in self.folder.glob(f"{NAME}-*{_NEW}"):
                file.unlink(missing_ok=True)
        except (OSError, ValueError) as error:
            logging.warning("%s: cannot be read (%s); the search for the best checkpoint starts again", path, error)


def _link(source: str, target: str) -> None:
    """Makes `target` a hard link to `source`, or a copy if links are not possible.

    A link is safe because checkpoints never change once written.
    """
    temporary = f"{target}{_NEW}"
    Path(temporary).unlink(missing_ok=True)
    try:
        os.link(source, temporary)
    except OSError:
        shutil.copyfile(source, temporary)
    os.replace(temporary, target)
