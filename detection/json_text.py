"""JSON that somebody else may have written: whatever the bytes, what comes out is a value or one ValueError that says
what is wrong.

The standard parser alone lets a RecursionError out of deep nesting, takes NaN and Infinity, which are no JSON, and
keeps the last of two equal keys without a word. A number of 400 digits is a Python integer that no float holds:
`is_number` says which numbers can be calculated with.
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
        data: bytes in UTF-8, UTF-16 or UTF-32, with or without byte order mark, or text.
        allow_nan: take NaN, Infinity and -Infinity, as Python's own writer makes them.

    Raises:
        ValueError: one line, without the file's name.
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
        if "digits" in str(error):  # Python's own limit on converting integers, whose message advises programmers.
            raise ValueError("a number has thousands of digits") from None
        raise


def read(path: str | os.PathLike[str], *, allow_nan: bool = False) -> Any:
    """The value of a JSON file. Raises OSError, and ValueError as `parse`."""
    return parse(read_bytes(path), allow_nan=allow_nan)


def read_object(path: str | os.PathLike[str], *, allow_nan: bool = False) -> dict[str, Any]:
    """As `read`, of a file that must hold an object."""
    content = read(path, allow_nan=allow_nan)
    if not isinstance(content, dict):
        raise ValueError(f"expected a JSON object, found {shown(content)}")
    return content


def shown(value: object) -> str:
    """A value as a message quotes it: JSON, printable, cut to a reasonable length."""
    try:
        text = printable(json.dumps(value, ensure_ascii=False))
    except (RecursionError, TypeError, ValueError):
        text = f"a {type(value).__name__}"
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def is_number(value: object) -> bool:
    """Whether a parsed value is a number (no boolean) that is finite as a float64."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def is_text(value: object) -> bool:
    """Whether a parsed value is a string that can be written as UTF-8: JSON can spell half of a surrogate pair, which
    no file can hold."""
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
                raise ValueError(f"key {shown(key)} is there twice in one object")
            seen.add(key)
    return made


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")
