"""Times functions that are compared with each other in interleaved rounds, so that a slow machine affects all of them.

Round r runs every function once, in rotating order; ratios are computed within rounds and then summarised, because the
clock speed of a shared machine drifts by more than the differences to be measured.
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
    """All times in milliseconds: name -> float64 [rounds]."""

    times: dict[str, np.ndarray]  # wall clock
    cpu: dict[str, np.ndarray]  # CPU time of all cores, which depends less on other load of the machine
    warmup: int = 0  # number of earlier rounds, which are not included

    def timing(self, name: str) -> Timing:
        """The summary of one function."""
        return summary(self.times[name])

    def ratio(self, name: str, base: str) -> float:
        """Median over rounds of the time of `name` over that of `base`."""
        return float(np.median(self.times[name] / self.times[base]))


def summary(times: np.ndarray) -> Timing:
    """Summary of times float [n] in milliseconds."""
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
    """Runs all functions `warmup` times, then measures `runs` rounds.

    A function must return only when its work is done (on an accelerator it must wait; TensorFlow on a CPU does so).

    Args:
        functions: by name.
        warmup: rounds that are not measured.
        runs: rounds that are measured.
        clock: wall clock, seconds.
        cpu_clock: CPU time of all cores, seconds.
        max_seconds: time limit of the rounds, and a fifth of it for the warm-up; at least one round of each is done; 0:
            no limit.
        repeats: name -> number of consecutive calls in each measured round, whose median is the time in that round;
            others are called once. Use it for short functions in long rounds: there are few rounds then, and a single
            interruption would dominate.
    """
    names, repeats = list(functions), repeats or {}

    def is_over(start: float, share: float) -> bool:
        return 0 < share * max_seconds <= clock() - start

    phase_start, num_warmup = clock(), 0
    while num_warmup < warmup and not (num_warmup and is_over(phase_start, 0.2)):
        for name in names:
            functions[name]()
        num_warmup += 1
    times, cpu = ({name: np.empty(runs) for name in names} for _ in range(2))
    phase_start = clock()
    for round_ in range(runs):
        if round_ and is_over(phase_start, 1.0):
            times, cpu = ({name: values[:round_] for name, values in measured.items()} for measured in (times, cpu))
            break
        shift = round_ % len(names)
        for name in names[shift:] + names[:shift]:
            runs_now = []
            for _ in range(repeats.get(name, 1)):
                start_cpu, start = cpu_clock(), clock()
                functions[name]()
                runs_now.append((clock() - start, cpu_clock() - start_cpu))
            times[name][round_], cpu[name][round_] = np.median(runs_now, axis=0) * 1e3
    return Rounds(times, cpu, num_warmup)
