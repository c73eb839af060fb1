"""What a reader under test is, and how one that takes a single file is run.

A reader's `prepare` runs in a process of its own and returns a function from bytes to the name of what came out.
Whatever else that function raises than the project's own errors is a failure.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from detection.errors import DataError, DetectionError
from tests.fuzz.mutate import Material

ROOT = Path(__file__).resolve().parents[2]
LONGEST = 12_000  # characters of a message
BRACES = ((b"[", b"]"), (b'{"a":', b"}"), (b'{"', b'"}'))
TEXT, IMAGE = 100_000, 10_000  # inputs of a full run


class Reader(NamedTuple):
    """One reader."""

    material: Callable[[], Material]
    prepare: Callable[[Path], Callable[[bytes], str]]
    inputs: int  # of a full run


def reading(
    name: str, read: Callable[[str], object], errors: tuple[type[DetectionError], ...] = (DataError,)
) -> Callable[[Path], Callable[[bytes], str]]:
    """A reader of one file: written to `name`, read, and every error must name it."""

    def prepare(folder: Path) -> Callable[[bytes], str]:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)

        def run(data: bytes) -> str:
            path.write_bytes(data)
            try:
                read(str(path))
            except errors as error:
                if path.name not in str(error) or len(str(error)) > LONGEST:
                    raise AssertionError(
                        f"an error that does not name its file, or is of {len(str(error))} characters:"
                        f" {str(error)[:500]}"
                    ) from error
                return type(error).__name__
            return "read"

        return run

    return prepare
