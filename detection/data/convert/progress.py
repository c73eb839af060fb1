"""Progress of a loop of known length: a bar on a terminal, elsewhere a plain line now and then, so that a log stays
readable."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TextIO, TypeVar

from tqdm import tqdm

_T = TypeVar("_T")
_SECONDS_BETWEEN_LINES = 10.0


def progress(items: Iterable[_T], total: int, label: str, stream: TextIO | None) -> Iterator[_T]:
    """Yields `items`, telling `stream` how far they are, how fast and how long it will take.

    Args:
        items: images.
        total: how many there are; 0 if nobody knows.
        label: what is being done.
        stream: None for silence.
    """
    if stream is None:
        yield from items
    elif stream.isatty():
        yield from tqdm(items, total=total or None, desc=label, unit="img", file=stream, dynamic_ncols=True)
    else:
        begin = told = time.monotonic()
        for done, item in enumerate(items, start=1):
            yield item
            now = time.monotonic()
            if now - told >= _SECONDS_BETWEEN_LINES and done != total:
                told = now
                rate = done / (now - begin)
                far = (
                    f"{done}/{total} images ({100 * done // total} %), {_clock((total - done) / rate)} left"
                    if total
                    else f"{done} images"
                )
                stream.write(f"{label}: {far}, {rate:.0f} images/s\n")
                stream.flush()


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
