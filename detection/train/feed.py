"""The input of the training loop, with the time the loop spent waiting for it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any


class Feed:
    """Hands out examples and measures. On an accelerator the measured wait is an upper bound: the device may be busy meanwhile."""

    def __init__(self, examples: Iterator[Any]) -> None:
        self._examples = examples
        self._since = time.perf_counter()
        self._waited = 0.0
        self._started = False

    def next(self) -> Any:
        """The next example. The first one starts the clock: filling the buffers is no steady state."""
        begun = time.perf_counter()
        example = next(self._examples)
        now = time.perf_counter()
        if self._started:
            self._waited += now - begun
        else:
            self._started, self._since = True, now
        return example

    def wait_share(self) -> float:
        """Waiting's share of the time since the last call, 0 to 1."""
        now = time.perf_counter()
        share = self._waited / max(now - self._since, 1e-9)
        self._waited, self._since = 0.0, now
        return share

    def pause(self) -> None:
        """Forgets the time since the last `wait_share`: what was done meanwhile (tracing, an evaluation) was no training."""
        self._waited, self._since = 0.0, time.perf_counter()
