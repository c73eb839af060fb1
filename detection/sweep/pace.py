"""Estimates the remaining time of a sweep.

Trainings and the other stages of a row have separate means, since one may take a hundred times as long as the other.
"""

from __future__ import annotations

import statistics
from collections import defaultdict

from detection.progress import duration
from detection.sweep.worker import MEASURE, TRAIN


class Pace:
    """Durations of the stages of one run of a sweep."""

    def __init__(self, jobs: int) -> None:
        """`jobs` is the number of stages that run at a time; measurements always run alone."""
        self._jobs = jobs
        self._durations: dict[str, list[float]] = defaultdict(list)
        self._rows = 0

    def add(self, kind: str, seconds: float) -> None:
        """Adds the duration of a finished stage; `kind` as in its job."""
        self._durations[kind].append(seconds)

    def add_row(self) -> None:
        """Counts a finished row."""
        self._rows += 1

    def eta(self, trainings: int, rows: int) -> str:
        """The ETA as text, as far as it can be estimated; empty if nothing is left or nothing is known.

        Args:
            trainings: number of trainings that are left.
            rows: number of rows that are left.
        """
        means = {TRAIN: self._seconds_per_training(), MEASURE: self._seconds_per_row()}
        parts = {TRAIN: trainings / self._jobs, MEASURE: rows}
        needed = [kind for kind, count in parts.items() if count]
        known = [kind for kind in needed if means[kind] is not None]
        if not known:
            return ""
        seconds = sum(means[kind] * parts[kind] for kind in known)
        missing = "" if known == needed else f" for {'the trainings' if known == [TRAIN] else 'what is trained'}"
        return f"ETA {duration(seconds)}{missing}"

    def _seconds_per_training(self) -> float | None:
        return statistics.fmean(self._durations[TRAIN]) if self._durations[TRAIN] else None

    def _seconds_per_row(self) -> float | None:
        """Mean seconds per row; stages that can run in parallel are divided by the number of jobs."""
        if not self._rows:
            return None
        total = sum(
            sum(durations) / (1 if kind == MEASURE else self._jobs)
            for kind, durations in self._durations.items()
            if kind != TRAIN
        )
        return total / self._rows
