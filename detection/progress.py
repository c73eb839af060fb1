"""Progress lines with count, rate and estimated time of arrival.

    train  12000/50000 (24%)  3.4 step/s  ETA 3:06:12  loss 1.234  lr 0.004

On a terminal the line is redrawn in place a few times a second. In a file or a pipe a new line is written every `every`
seconds and at the end, so that logs stay short.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import TextIO, TypeVar

from detection.errors import visible

_T = TypeVar("_T")
_REDRAW_SECONDS = 0.2  # on a terminal
_SECONDS_BETWEEN_LINES = 10.0  # of `counted`, where the stream is not a terminal
# The rate is measured over this window, so that a pause (an evaluation, a checkpoint) affects it only for a short time.
_WINDOW_SECONDS = 60.0


class Progress:
    """Counts units of work and writes a progress line. Use it as a context manager, or call `close` at the end.

    Args:
        total: total units of work; None if unknown, then no ETA is shown.
        unit: name of a unit, in the singular, such as `step` or `image`.
        label: name of the work, shown at the start of the line.
        start: units done by earlier runs; they count towards the total but not towards the rate.
        every: seconds between two lines if the stream is not a terminal.
        stream: output; None uses standard error. A stream without `isatty` counts as no terminal.
        clock: returns monotonic seconds.
    """

    def __init__(
        self,
        total: int | None,
        unit: str = "step",
        *,
        label: str = "",
        start: int = 0,
        every: float = 30.0,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._total, self._unit, self._label, self._done, self._clock = total, unit, label, start, clock
        self._stream = sys.stderr if stream is None else stream
        self._terminal = bool(getattr(self._stream, "isatty", lambda: False)())
        self._interval = _REDRAW_SECONDS if self._terminal else every
        self._started = self._shown = clock()
        # The first unit is not measured, since it includes tracing, compiling and filling buffers.
        self._history: deque[tuple[float, int]] = deque()
        self._fields: dict[str, str] = {}
        self._width = 0
        self._closed = False

    @property
    def done(self) -> int:
        """Units done, including those of earlier runs."""
        return self._done

    @property
    def rate(self) -> float | None:
        """Units per second over the last minute; None before two updates."""
        if len(self._history) < 2:
            return None
        (first, begun), (last, done) = self._history[0], self._history[-1]
        return (done - begun) / (last - first) if last > first else None

    @property
    def remaining_seconds(self) -> float | None:
        """Estimated remaining seconds at the current rate; None if the rate or the total is unknown."""
        return None if self._total is None or not self.rate else max(self._total - self._done, 0) / self.rate

    def update(self, units: int = 1, **fields: float | str) -> None:
        """Adds `units` to the count; `fields` such as loss=1.5 are shown after the ETA until they are replaced."""
        self._done += units
        self._fields |= {name: value if isinstance(value, str) else f"{value:.4g}" for name, value in fields.items()}
        now = self._clock()
        self._history.append((now, self._done))
        while len(self._history) > 2 and now - self._history[0][0] > _WINDOW_SECONDS:
            self._history.popleft()
        if now - self._shown >= self._interval:
            self._shown = now
            self._show(self.line())

    def line(self) -> str:
        """The current progress line."""
        count = f"{self._done}" if self._total is None else f"{self._done}/{self._total}"
        share = f" ({100 * self._done // self._total}%)" if self._total else ""
        parts = [self._label, count + (share or f" {self._unit}s")]
        if self.rate is not None:
            parts.append(f"{self.rate:.3g} {self._unit}/s")
        if self.remaining_seconds:
            parts.append(f"ETA {duration(self.remaining_seconds)}")
        return "  ".join([*filter(None, parts), *(f"{name} {value}" for name, value in self._fields.items())])

    def write(self, text: str) -> None:
        """Writes a message on lines of its own; on a terminal the progress line moves below it."""
        self._wipe()
        self._stream.write(visible(text if text.endswith("\n") else text + "\n"))
        self._stream.flush()

    def close(self) -> None:
        """Writes the last progress line with the total time."""
        if self._closed:
            return
        self._closed = True
        self._show(f"{self.line()}  in {duration(self._clock() - self._started)}")
        if self._terminal:
            self._stream.write("\n")
            self._stream.flush()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _show(self, line: str) -> None:
        if self._terminal:
            line = line[: max(shutil.get_terminal_size().columns - 1, 20)]
            self._stream.write("\r" + line.ljust(self._width))
            self._width = len(line)
        else:
            self._stream.write(line + "\n")
        self._stream.flush()

    def _wipe(self) -> None:
        if self._terminal and self._width:
            self._stream.write("\r" + " " * self._width + "\r")
            self._width = 0


def counted(items: Iterable[_T], total: int, label: str, stream: TextIO | None, unit: str = "image") -> Iterator[_T]:
    """Yields `items` and writes progress lines to `stream`.

    Args:
        items: units of work.
        total: number of items; 0 if unknown.
        label: name of the work.
        stream: output; None writes no progress.
        unit: name of an item, in the singular.
    """
    if stream is None:
        yield from items
        return
    with Progress(total or None, unit, label=label, every=_SECONDS_BETWEEN_LINES, stream=stream) as progress:
        for item in items:
            yield item
            progress.update()


def duration(seconds: float) -> str:
    """Formats seconds as 0:07, 12:30, 3:06:12 or 2 d 03:00:00."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days} d {hour:02d}:{minute:02d}:{second:02d}"
    return f"{hour}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"
