"""How long a sweep still takes: trainings at their own mean, rows at what all else took for a row, since one may take a
hundred times the other.
"""

from __future__ import annotations

import statistics
from collections import defaultdict

from detection.progress import duration
from detection.sweep.worker import MEASURE, TRAIN


class Pace:
    """Of one run of a sweep."""

    def __init__(self, jobs: int) -> None:
        """Args: jobs: stages that go on at a time, but for what is timed."""
        self._jobs = jobs
        self._took: dict[str, list[float]] = defaultdict(list)
        self._rows = 0

    def add(self, kind: str, seconds: float) -> None:
        """A stage that is over; `kind` as in its job."""
        self._took[kind].append(seconds)

    def finish(self) -> None:
        """A row is written, whatever stages it took."""
        self._rows += 1

    def words(self, trainings: int, rows: int) -> str:
        """An ETA for so many of each, or the part of it that can be known yet; empty where nothing is left or known."""
        means = {TRAIN: self._of_training(), MEASURE: self._of_row()}
        parts = {TRAIN: trainings / self._jobs, MEASURE: rows}
        wanted = [kind for kind, count in parts.items() if count]
        known = [kind for kind in wanted if means[kind] is not None]
        if not known:
            return ""
        seconds = sum(means[kind] * parts[kind] for kind in known)
        missing = "" if known == wanted else f" for {'the trainings' if known == [TRAIN] else 'what is trained'}"
        return f"ETA {duration(seconds)}{missing}"

    def _of_training(self) -> float | None:
        return statistics.fmean(self._took[TRAIN]) if self._took[TRAIN] else None

    def _of_row(self) -> float | None:
        """Seconds; what may run beside others counts a part."""
        if not self._rows:
            return None
        taken = sum(
            sum(took) / (1 if kind == MEASURE else self._jobs) for kind, took in self._took.items() if kind != TRAIN
        )
        return taken / self._rows
