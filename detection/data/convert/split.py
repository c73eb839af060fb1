"""A split: a text file with the id of an image a line."""

from __future__ import annotations

from pathlib import Path

from detection.data.convert import encoding
from detection.errors import DataError
from detection.files import read_bytes


def split_lines(split: Path) -> list[str]:
    """Its lines, without those that are blank. Raises DataError where it cannot be read or has none."""
    try:
        text = encoding.decode_json(read_bytes(split))  # PowerShell writes UTF-16.
    except (OSError, encoding.WrongEncoding) as error:
        raise DataError(
            f"{split}: cannot read the split: {getattr(error, 'strerror', None) or error}; it must be UTF-8 text with"
            " one id per line"
        ) from error
    if text.doubt:
        raise DataError(f"{split}: cannot read the split: {text.doubt}")
    lines = [line.strip() for line in text.text.splitlines() if line.strip()]
    if not lines:
        raise DataError(f"{split}: the split is empty; it must have one id per line")
    return lines
