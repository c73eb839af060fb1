"""A lock file that keeps two processes from using the same folder at once."""

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
    conflict: str,
    *,
    cannot_be_made: Callable[[OSError], DetectionError] | None = None,
    remove: bool = False,
) -> Iterator[None]:
    """Holds the lock while the block runs. The lock is also released when the process dies.

    Args:
        path: the lock file; created if it does not exist.
        in_use: makes the error to raise if another process holds the lock.
        conflict: `place: the second process`, for the warning if the file system does not support locks.
        cannot_be_made: makes the error to raise if the file cannot be created; None raises the OSError itself.
        remove: delete the file when the block ends.

    Raises:
        DetectionError: the error made by `in_use` or by `cannot_be_made`.
    """
    lock = filelock.FileLock(path)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout as error:
        raise in_use() from error
    except OSError as error:
        raise error if cannot_be_made is None else cannot_be_made(error) from error
    except NotImplementedError:
        logging.warning("%s would not be noticed: this file system does not support locks", conflict)
    try:
        yield
    finally:
        if remove:
            path.unlink(missing_ok=True)
        lock.release()
