"""Strict JSON parser for untrusted files: any input gives a value or a ValueError with a one-line message.

The standard parser raises RecursionError for deep nesting, accepts NaN and Infinity, which are not JSON, and silently
keeps the last of two equal keys. It reads a number of 400 digits as an integer that does not fit into a float;
`is_number` tells which numbers do.
"""

from __future__ import annotations

import json
import math
import os
from typing import Any

from detection.errors import printable
from detection.files import read_bytes

_SHOWN = 80  # characters of a value that a message quotes


def parse(data: bytes | str, *, allow_nan: bool = False) -> Any:
    """The value of a JSON text.

    Args:
        data: text, or bytes in UTF-8, UTF-16 or UTF-32 with or without byte order mark.
        allow_nan: accept NaN, Infinity and -Infinity, which Python's `json.dump` writes.

    Raises:
        ValueError: the text is not valid JSON; the message is one line without the file's name.
    """
    try:
        text = data if isinstance(data, str) else data.decode(json.detect_encoding(data))
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is not {error.encoding} text ({error.reason})") from None
    try:
        return json.loads(
            text.removeprefix("\ufeff"), object_pairs_hook=_object, parse_constant=None if allow_nan else _no_constant
        )
    except RecursionError:
        raise ValueError("lists or objects are nested too deeply") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg.removesuffix(' at')} at line {error.lineno}, column {error.colno}") from None
    except ValueError as error:
        if "digits" in str(error):  # Python's limit on converting integers, whose message is for programmers.
            raise ValueError("a number has thousands of digits") from None
        raise


def read(path: str | os.PathLike[str], *, allow_nan: bool = False) -> Any:
    """The value of a JSON file.

    Args:
        path: the file.
        allow_nan: see `parse`.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file is not valid JSON.
    """
    return parse(read_bytes(path), allow_nan=allow_nan)


def read_object(path: str | os.PathLike[str], *, allow_nan: bool = False) -> dict[str, Any]:
    """The value of a JSON file that must contain an object; see `read`."""
    content = read(path, allow_nan=allow_nan)
    if not isinstance(content, dict):
        raise ValueError(f"expected a JSON object, found {shown(content)}")
    return content


def shown(value: object) -> str:
    """A value as JSON for a message, printable and shortened."""
    try:
        text = printable(json.dumps(value, ensure_ascii=False))
    except (RecursionError, TypeError, ValueError):
        text = f"a {type(value).__name__}"
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def is_number(value: object) -> bool:
    """Whether a parsed value is a number (not a boolean) that is finite as float64."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def is_text(value: object) -> bool:
    """Whether a parsed value is a string that can be encoded as UTF-8; JSON escapes can contain lone surrogates."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"key {shown(key)} appears twice in one object")
            seen.add(key)
    return made


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")
