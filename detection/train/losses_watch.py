"""Looks at the losses of past steps, without making the accelerator wait for every one of them.

The compiled step leaves weights alone when its loss or gradient is not finite (in half precision a gradient can
overflow while the loss is fine), so it is enough to look every few steps. One such step now and then (an odd image) is
reported, counted and left out; several in a row mean that training has diverged.
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


class _Bad(NamedTuple):
    step: int
    values: dict[str, float]
    source_ids: list[str]


class LossesWatch:
    """Collects the results of steps; hands out their means.

    Args:
      tags: names of StepResult.values, asked for when first needed.
      limit: steps in a row that may be not finite before the run ends.
      folder: where diverged.json goes.
      local_ids: source ids of a step's example -> tensors with this host's part of them.
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
        self._bad: list[_Bad] = []
        self.total_skipped = 0

    def add(self, step: int, result: StepResult, source_ids: object) -> None:
        """Takes the result of step number `step`, without looking at it."""
        self._pending.append((step, result, source_ids))

    @property
    def streak(self) -> int:
        """Steps in a row, up to the last one looked at, that were not finite."""
        return len(self._bad)

    def look(self, last_checkpoint: str) -> dict[str, float]:
        """Looks at the results added since the last look; returns the newest by tag.

        Raises:
          DivergedError: too many steps in a row were not finite.
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
            self._bad.append(_Bad(step, latest, ids))
            self.total_skipped += 1
            if len(self._bad) >= self._limit:
                self._diverge(last_checkpoint)
            count = f" ({self.total_skipped} so far)" if self.total_skipped > 1 else ""
            logging.warning("step %d: %s; this update is left out%s; images: %s", step, _odd(latest), count, _few(ids))
        self._pending.clear()
        return latest

    def skipped(self) -> str:
        """How many updates were left out so far, for the last line of a run; empty where none was."""
        count = self.total_skipped
        return f", {number_of(count, 'update')} left out because a loss or gradient was not finite" if count else ""

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
        except OSError as error:  # The divergence is what the user must hear of.
            where = f"{record} cannot be written: {files.reason(error)}"
        raise DivergedError(
            f"step {first.step}: {_odd(first.values)}, nor in the {self._limit - 1} steps after it; learning rate"
            f" {first.values['learning_rate']:g}; images of the first one: {_few(first.source_ids)} ({where}); last"
            f" checkpoint: {last_checkpoint}; lower the learning rate or set train_config.gradient_clipping_by_norm"
        )


def _odd(values: dict[str, float]) -> str:
    """What is not finite: the loss, or the gradient of a finite one."""
    odd = {tag: value for tag, value in values.items() if not np.isfinite(value)}
    what = "loss" if any(tag.startswith("Loss/") for tag in odd) else "gradient"
    return f"the {what} is not finite ({', '.join(f'{tag} {value:g}' for tag, value in odd.items())})"


def _few(ids: list[str]) -> str:
    return ", ".join(ids[:8]) + (f" and {len(ids) - 8} more" if len(ids) > 8 else "")
