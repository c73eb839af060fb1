"""Times of functions that are compared with each other: interleaved, so that a machine that slows down slows all of
them.

Round r runs every function once, in an order that rotates; ratios are taken within rounds and then summarised, because
the clock speed of a shared machine drifts by more than what is to be told apart.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np


class Timing(NamedTuple):
    """Summary of the runs of one function, milliseconds of wall clock."""

    median: float
    low: float  # 10th percentile
    high: float  # 90th percentile
    runs: int
    mean: float
    std: float  # of the runs, not of their mean


class Rounds(NamedTuple):
    """Every single time, milliseconds: name -> float64 [rounds]."""

    times: dict[str, np.ndarray]  # of the wall clock
    cpu: dict[str, np.ndarray]  # of all cores together, which what else runs on the machine changes less
    warmup: int = 0  # rounds before, which are not in them

    def timing(self, name: str) -> Timing:
        """The summary of one function."""
        return summary(self.times[name])

    def ratio(self, name: str, base: str) -> float:
        """Median over rounds of the time of `name` over that of `base`."""
        return float(np.median(self.times[name] / self.times[base]))


def summary(times: np.ndarray) -> Timing:
    """times float [n], milliseconds."""
    low, median, high = np.percentile(times, [10, 50, 90])
    return Timing(float(median), float(low), float(high), len(times), float(np.mean(times)), float(np.std(times)))


def interleave(
    functions: Mapping[str, Callable[[], object]],
    warmup: int,
    runs: int,
    clock: Callable[[], float] = time.perf_counter,
    cpu_clock: Callable[[], float] = time.process_time,
    max_seconds: float = 0.0,
    repeats: Mapping[str, int] | None = None,
) -> Rounds:
    """Runs all functions `warmup` times, then `runs` times against the clock.

    A function must return only when its work is done (TensorFlow on a CPU does; on an accelerator it must be waited
    for).

    Args:
        functions: by name.
        warmup: rounds that do not count.
        runs: rounds that do.
        clock: seconds of the wall.
        cpu_clock: seconds of all cores.
        max_seconds: rounds end after so long, warming up after a fifth of that, but neither before one round is done;
            0: never.
        repeats: name -> how often it is called in a row in each round that counts, the median of which is its time in
            that round; others once. For what is short beside the rest of a long round: there are few rounds then, and
            one interruption would be its whole time.
    """
    names, repeats = list(functions), repeats or {}

    def is_over(begun: float, share: float) -> bool:
        return 0 < share * max_seconds <= clock() - begun

    begun, warmed = clock(), 0
    while warmed < warmup and not (warmed and is_over(begun, 0.2)):
        for name in names:
            functions[name]()
        warmed += 1
    times, cpu = ({name: np.empty(runs) for name in names} for _ in range(2))
    begun = clock()
    for round_ in range(runs):
        if round_ and is_over(begun, 1.0):
            times, cpu = ({name: values[:round_] for name, values in kept.items()} for kept in (times, cpu))
            break
        shift = round_ % len(names)
        for name in names[shift:] + names[:shift]:
            runs_now = []
            for _ in range(repeats.get(name, 1)):
                start_cpu, start = cpu_clock(), clock()
                functions[name]()
                runs_now.append((clock() - start, cpu_clock() - start_cpu))
            times[name][round_], cpu[name][round_] = np.median(runs_now, axis=0) * 1e3
    return Rounds(times, cpu, warmed)
