"""Reads single values of a COCO file as real tools write them: numbers and ids as text or as 1.0, flags as words."""

from __future__ import annotations

import math
import re
import reprlib

MAX_LENGTH = 1e9  # pixels; JSON integers are unlimited
_MAX_TEXT = 1000  # characters of an id
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_WHOLE = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_HALF_PAIR = re.compile("[\ud800-\udfff]")

_quote = reprlib.Repr()
_quote.maxstring = _quote.maxother = 120


def shown(value: object) -> str:
    """A short text of a value for a message, whatever its length and depth."""
    return _quote.repr(value)


def is_number(value: object) -> bool:
    """Whether a value is a finite number in the range of pixel coordinates."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < MAX_LENGTH  # False for NaN


def number(value: object) -> float:
    """Reads a number, also from text; NaN if it is not one."""
    if isinstance(value, str):
        text = value.strip()
        value = float(text) if len(text) < 100 and _NUMBER.fullmatch(text) else None
    return float(value) if is_number(value) else math.nan


def whole_number(value: object) -> int | None:
    """Reads an integer, also from text or from 1.0; None if it is not one."""
    if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
        return int(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def identity(value: object) -> str | None:
    """Reads an id as text, equal for 1, 1.0 and "1"; None if it is not an id."""
    if isinstance(value, str):
        text = value.strip()
        return text if text and len(text) <= _MAX_TEXT and is_text(text) else None
    integer = whole_number(value)
    return str(integer) if integer is not None and abs(integer) < 10**_MAX_TEXT else None


def canonical(text: str) -> str:
    """The canonical form of an id: 1 for 0001."""
    return str(int(text)) if _WHOLE.fullmatch(text) else text


def is_text(text: str) -> bool:
    """Whether a text has no lone surrogate, which JSON can contain but UTF-8 cannot encode."""
    return not _HALF_PAIR.search(text)


def corners_of(value: object) -> tuple[float, float, float, float] | None:
    """(xmin, ymin, xmax, ymax) of a bbox [x, y, width, height], also from text; None if it is not a bbox."""
    if isinstance(value, str):
        value = re.split(r"[\s,;]+", value.strip(" []()")) if len(value) < 200 else None
    if not isinstance(value, list | tuple) or len(value) != 4:
        return None
    x, y, width, height = map(number, value)
    return None if math.isnan(x + y + width + height) else (x, y, x + width, y + height)


def flag(value: object) -> bool:
    """Whether a flag such as iscrowd is set; tools write 0, "0", false or nothing."""
    if isinstance(value, str):
        return value.strip().lower() in ("1", "1.0", "true", "yes")
    return isinstance(value, bool | int | float) and value == value and bool(value)
