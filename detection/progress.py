"""One line about work under way: how far, how fast, how long still.

    train  12000/50000 (24%)  3.4 step/s  ETA 3:06:12  loss 1.234  lr 0.004

On a terminal the line stays in place and is redrawn a few times a second; in a file or a pipe a new line appears every
`every` seconds, and one at the end, so that a log of a night stays short.
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
_WINDOW_SECONDS = (
    60.0  # over which the rate is measured, so that a stop (an evaluation, a checkpoint) is soon forgotten
)


class Progress:
    """Counts towards a total and says so. Use as a context manager, or call `close` at the end.

    Args:
        total: units of work in all; None if not known, then there is no ETA.
        unit: what is counted, in the singular, e.g. `step` or `image`.
        label: what is being done, at the start of the line.
        start: units done by earlier runs; they count towards the total, not for the rate.
        every: seconds between two lines where the stream is not a terminal.
        stream: where to; None takes standard error. A stream that cannot say whether it is a terminal counts as none.
        clock: seconds, rising.
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
        # The first unit is not measured: it holds tracing, compiling and filling buffers.
        self._history: deque[tuple[float, int]] = deque()
        self._fields: dict[str, str] = {}
        self._width = 0
        self._closed = False

    @property
    def done(self) -> int:
        """Units done, those of earlier runs included."""
        return self._done

    @property
    def rate(self) -> float | None:
        """Units a second over the last minute; None before two updates."""
        if len(self._history) < 2:
            return None
        (first, begun), (last, done) = self._history[0], self._history[-1]
        return (done - begun) / (last - first) if last > first else None

    @property
    def remaining_seconds(self) -> float | None:
        """Seconds to go at the present rate; None where rate or total is not known."""
        return None if self._total is None or not self.rate else max(self._total - self._done, 0) / self.rate

    def update(self, units: int = 1, **fields: float | str) -> None:
        """Counts `units` more; `fields` (e.g. loss=1.5) are shown behind the ETA until given anew."""
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
        """What is shown at present."""
        count = f"{self._done}" if self._total is None else f"{self._done}/{self._total}"
        share = f" ({100 * self._done // self._total}%)" if self._total else ""
        parts = [self._label, count + (share or f" {self._unit}s")]
        if self.rate is not None:
            parts.append(f"{self.rate:.3g} {self._unit}/s")
        if self.remaining_seconds:
            parts.append(f"ETA {duration(self.remaining_seconds)}")
        return "  ".join([*filter(None, parts), *(f"{name} {value}" for name, value in self._fields.items())])

    def write(self, text: str) -> None:
        """Prints a message of its own lines; on a terminal the progress line moves below it."""
        self._wipe()
        self._stream.write(visible(text if text.endswith("\n") else text + "\n"))
        self._stream.flush()

    def close(self) -> None:
        """Shows the last state, with the time taken in all, and ends the line."""
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
    """Yields `items`, telling `stream` how far they are.

    Args:
        items: what is worked on.
        total: how many there are; 0 if nobody knows.
        label: what is being done.
        stream: None for silence.
        unit: what an item is, in the singular.
    """
    if stream is None:
        yield from items
        return
    with Progress(total or None, unit, label=label, every=_SECONDS_BETWEEN_LINES, stream=stream) as progress:
        for item in items:
            yield item
            progress.update()


def duration(seconds: float) -> str:
    """Seconds as people read them: 0:07, 12:30, 3:06:12, 2 d 03:00:00."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days} d {hour:02d}:{minute:02d}:{second:02d}"
    return f"{hour}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"
