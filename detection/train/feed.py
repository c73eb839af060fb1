"""The input of the training loop, with the loop's speed and the time it spent waiting for input."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple


class Speed(NamedTuple):
    """Over some steps."""

    steps_per_second: float
    wait_share: (
        float  # of the time, 0 to 1. On an accelerator an upper bound: the device may be busy while the host waits
    )


class Feed:
    """Hands out one example a step and measures."""

    def __init__(self, examples: Iterator[Any], clock: Callable[[], float] = time.perf_counter) -> None:
        self._examples, self._clock = examples, clock
        self.restart_clock()

    def next(self) -> Any:
        """The next example."""
        begun = self._clock()
        example = next(self._examples)
        self._waited += self._clock() - begun
        self._steps += 1
        return example

    def speed(self) -> Speed | None:
        """Since the last call or `restart_clock`; None if there was no step."""
        seconds = self._clock() - self._since
        speed = Speed(self._steps / seconds, self._waited / seconds) if self._steps and seconds > 0 else None
        self.restart_clock()
        return speed

    def restart_clock(self) -> None:
        """Forgets what was measured: the time went into something that is no training (compiling, saving, an
        evaluation).
        """
        self._since, self._waited, self._steps = self._clock(), 0.0, 0
