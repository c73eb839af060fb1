"""Checks the losses of past steps without making the accelerator wait after every step.

The compiled step does not update the weights when its loss or gradient is not finite (in half precision a gradient can
overflow while the loss is finite), so checking every few steps is enough. A single non-finite step (an unusual image)
is logged, counted and skipped; several in a row mean that training has diverged.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from absl import logging

from detection import files
from detection.errors import DivergedError, number_of
from detection.files import write_text
from detection.train.step import StepResult


class _NonFiniteStep(NamedTuple):
    step: int
    values: dict[str, float]
    source_ids: list[str]


class LossesWatch:
    """Collects the results of steps, checks them and computes their means.

    Args:
      tags: returns the names of StepResult.values; called when first needed.
      limit: consecutive non-finite steps at which the run ends.
      folder: where diverged.json is written.
      local_ids: maps the source ids of a step's example to tensors with this host's part of them.
    """

    def __init__(
        self,
        tags: Callable[[], tuple[str, ...]],
        limit: int,
        folder: Path,
        local_ids: Callable[[object], tuple[tf.Tensor, ...]],
    ) -> None:
        self._tags, self._limit, self._folder, self._local_ids = tags, limit, folder, local_ids
        self._pending: list[tuple[int, StepResult, object]] = []
        self._good: list[np.ndarray] = []
        self._bad: list[_NonFiniteStep] = []
        self.total_skipped = 0

    def add(self, step: int, result: StepResult, source_ids: object) -> None:
        """Adds the result of step number `step` without reading it from the device."""
        self._pending.append((step, result, source_ids))

    @property
    def streak(self) -> int:
        """Number of consecutive non-finite steps up to the last one checked."""
        return len(self._bad)

    def check(self, last_checkpoint: str) -> dict[str, float]:
        """Checks the results added since the last call.

        Args:
          last_checkpoint: named in the error message.

        Returns:
          The newest values by tag; empty if no step was added.

        Raises:
          DivergedError: too many consecutive steps were not finite.
        """
        latest: dict[str, float] = {}
        for step, result, source_ids in self._pending:
            values = result.values.numpy()
            latest = dict(zip(self._tags(), values.tolist(), strict=True))
            if result.finite.numpy():
                self._good.append(values)
                self._bad.clear()
                continue
            ids = [
                value.decode("utf-8", "replace")
                for part in self._local_ids(source_ids)
                for value in part.numpy().tolist()
            ]
            self._bad.append(_NonFiniteStep(step, latest, ids))
            self.total_skipped += 1
            if len(self._bad) >= self._limit:
                self._diverge(last_checkpoint)
            count = f" ({self.total_skipped} so far)" if self.total_skipped > 1 else ""
            logging.warning("step %d: %s; update skipped%s; images: %s", step, _nonfinite(latest), count, _shown(ids))
        self._pending.clear()
        return latest

    def skipped(self) -> str:
        """How many updates were skipped so far, for the last line of a run; empty if none were."""
        count = self.total_skipped
        return f", {number_of(count, 'update')} skipped because a loss or gradient was not finite" if count else ""

    def means(self) -> dict[str, float]:
        """Means over the finite steps since the last call; empty if there were none."""
        means = dict(zip(self._tags(), np.mean(self._good, 0).tolist(), strict=True)) if self._good else {}
        self._good.clear()
        return means

    def _diverge(self, last_checkpoint: str) -> None:
        first, record = self._bad[0], self._folder / "diverged.json"
        steps = [
            {
                "step": bad.step,
                "values": {tag: repr(value) for tag, value in bad.values.items()},
                "source_ids": bad.source_ids,
            }
            for bad in self._bad
        ]
        try:
            write_text(record, json.dumps({"last_checkpoint": last_checkpoint, "steps": steps}, indent=2) + "\n")
            where = f"all in {record}"
        except OSError as error:  # The divergence is the error to report, not this.
            where = f"{record} cannot be written: {files.reason(error)}"
        raise DivergedError(
            f"step {first.step}: {_nonfinite(first.values)}, nor in the {self._limit - 1} steps after it; learning rate"
            f" {first.values['learning_rate']:g}; images of the first one: {_shown(first.source_ids)} ({where}); last"
            f" checkpoint: {last_checkpoint}; lower the learning rate or set train_config.gradient_clipping_by_norm"
        )


def _nonfinite(values: dict[str, float]) -> str:
    """Says what is not finite, the loss or only the gradient, with the values."""
    nonfinite = {tag: value for tag, value in values.items() if not np.isfinite(value)}
    what = "loss" if any(tag.startswith("Loss/") for tag in nonfinite) else "gradient"
    return f"the {what} is not finite ({', '.join(f'{tag} {value:g}' for tag, value in nonfinite.items())})"


def _shown(ids: list[str]) -> str:
    return ", ".join(ids[:8]) + (f" and {len(ids) - 8} more" if len(ids) > 8 else "")
