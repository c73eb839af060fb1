"""Output streams that escape control characters, since names in tables and messages come from data."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TextIO

from detection.errors import visible


class Escaped:
    """A text stream that writes control characters as escapes, except tabs and line breaks.

    Characters that the stream's encoding cannot represent, such as a lone surrogate in a file name, are escaped as well
    instead of raising an error.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """See `TextIO.write`."""
        encoding = self._stream.encoding or "utf-8"
        return self._stream.write(visible(text).encode(encoding, "backslashreplace").decode(encoding))

    def writelines(self, lines: Iterable[str]) -> None:
        """See `TextIO.writelines`."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)
