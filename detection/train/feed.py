"""The input of the training loop; measures the loop's speed and the time it waits for input."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple


class Speed(NamedTuple):
    """Speed over a number of steps."""

    steps_per_second: float
    # Fraction of the time spent waiting for input, 0 to 1. On an accelerator this is an upper bound: the device may be
    # busy while the host waits.
    wait_share: float


class Feed:
    """Returns one example per step and measures the time."""

    def __init__(self, examples: Iterator[Any], clock: Callable[[], float] = time.perf_counter) -> None:
        self._examples, self._clock = examples, clock
        self.restart_clock()

    def next(self) -> Any:
        """The next example. Raises StopIteration at the end of the data."""
        start = self._clock()
        example = next(self._examples)
        self._waited += self._clock() - start
        self._steps += 1
        return example

    def speed(self) -> Speed | None:
        """Speed since the last call or `restart_clock`; None if there was no step."""
        seconds = self._clock() - self._since
        speed = Speed(self._steps / seconds, self._waited / seconds) if self._steps and seconds > 0 else None
        self.restart_clock()
        return speed

    def restart_clock(self) -> None:
        """Resets the measurement, after time spent on something other than training (compiling, saving, evaluating)."""
        self._since, self._waited, self._steps = self._clock(), 0.0, 0
