"""One process at a time: a lock file in a folder that two runs must not share."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import filelock
from absl import logging

from detection.errors import DetectionError


@contextlib.contextmanager
def held(
    path: Path,
    in_use: Callable[[], DetectionError],
    what: str,
    *,
    cannot_be_made: Callable[[OSError], DetectionError] | None = None,
    remove: bool = False,
) -> Iterator[None]:
    """Holds the lock while the block runs. A process that ends, however it does, holds it no longer.

    Args:
        path: the lock file; made where there is none.
        in_use: makes the error to raise where another process holds it.
        what: `place: the second process`, for a warning where the file system knows no locks.
        cannot_be_made: makes the error to raise where the file cannot be; None for the OSError itself.
        remove: delete the file behind the block.

    Raises:
        DetectionError: that of `in_use`, or of `cannot_be_made`.
    """
    lock = filelock.FileLock(path)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout as error:
        raise in_use() from error
    except OSError as error:
        raise error if cannot_be_made is None else cannot_be_made(error) from error
    except NotImplementedError:
        logging.warning("%s would not be noticed: this file system knows no locks", what)
    try:
        yield
    finally:
        if remove:
            path.unlink(missing_ok=True)
        lock.release()
