"""What commands print, for people: names in tables and messages come from data, and none of them may act on the
terminal that shows it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TextIO

from detection.errors import visible


class Escaped:
    """A stream on which control characters are shown as their escapes, but tabs and the ends of lines.

    So is what the stream's encoding cannot hold, such as half of a surrogate pair in a file's name, which otherwise
    would be an error.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """As `TextIO.write`."""
        encoding = self._stream.encoding or "utf-8"
        return self._stream.write(visible(text).encode(encoding, "backslashreplace").decode(encoding))

    def writelines(self, lines: Iterable[str]) -> None:
        """As `TextIO.writelines`."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)
