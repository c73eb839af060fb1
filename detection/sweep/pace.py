"""How long a sweep still takes: trainings and measurements each at their own mean, since one may take a hundred times the other."""

from __future__ import annotations

import statistics
from collections import defaultdict

from detection.progress import duration
from detection.sweep.worker import EXPORT, MEASURE, TRAIN


class Pace:
    """Of one run of a sweep."""

    def __init__(self, jobs: int) -> None:
        """Args: jobs: trainings, or exports, that go on at a time."""
        self._jobs = jobs
        self._took: dict[str, list[float]] = defaultdict(list)

    def add(self, kind: str, seconds: float) -> None:
        """A stage that is over; `kind` as in its job."""
        self._took[kind].append(seconds)

    def words(self, trainings: int, rows: int) -> str:
        """An ETA for so many of each, or the part of it that can be known yet; empty where nothing is left or known."""
        parts = {TRAIN: trainings / self._jobs, MEASURE: rows}
        wanted = [kind for kind, count in parts.items() if count]
        known = [kind for kind in wanted if self._took[kind]]
        if not known:
            return ""
        seconds = sum(self._mean(kind) * parts[kind] for kind in known)
        missing = "" if known == wanted else f" for {'the trainings' if known == [TRAIN] else 'what is trained'}"
        return f"ETA {duration(seconds)}{missing}"

    def _mean(self, kind: str) -> float:
        """Seconds; exporting what is measured counts with it, though several are exported at a time."""
        exports = self._took[EXPORT] if kind == MEASURE else []
        return statistics.fmean(self._took[kind]) + (statistics.fmean(exports) / self._jobs if exports else 0.0)
