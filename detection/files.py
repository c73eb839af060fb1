"""Small text files that appear complete or not at all.

The text is written beside its place, under a hidden name of this process alone, and renamed: a reader sees the old text or the new one, never
half of one, also where two processes write the same file.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Replaces the file at `path`, as UTF-8; file names in `text` that are not valid UTF-8 keep their bytes.

    Raises:
        OSError: nothing is changed and nothing is left over.
    """
    target = Path(path)
    partial = target.with_name(f".{target.name}.tmp-{os.getpid()}")
    try:
        with partial.open("w", encoding="utf-8", errors="surrogateescape") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())  # Renamed before its bytes are on the disk, a file can be empty after a power cut.
        os.replace(partial, target)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
