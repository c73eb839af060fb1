"""Single values of a COCO file, as tools really write them: numbers and ids as text or as 1.0, flags as words; and how
a message quotes them.
"""

from __future__ import annotations

import math
import re
import reprlib

MAX_LENGTH = 1e9  # pixels; JSON's integers have no end
_MAX_TEXT = 1000  # characters of an id; more is something else
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_WHOLE = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_HALF_PAIR = re.compile("[\ud800-\udfff]")

_quote = reprlib.Repr()
_quote.maxstring = _quote.maxother = 120


def shown(value: object) -> str:
    """A value for a message: whatever its length and depth, a short text."""
    return _quote.repr(value)


def is_number(value: object) -> bool:
    """Whether a value is a number that pixels may have."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < MAX_LENGTH  # not so for NaN


def number(value: object) -> float:
    """A number, also as text; NaN for what is none."""
    if isinstance(value, str):
        text = value.strip()
        value = float(text) if len(text) < 100 and _NUMBER.fullmatch(text) else None
    return float(value) if is_number(value) else math.nan


def whole(value: object) -> int | None:
    """An integer, also as text or as 1.0; None for what is none."""
    if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
        return int(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def identity(value: object) -> str | None:
    """An id as text, the same for 1, 1.0 and "1"; None for what can be none."""
    if isinstance(value, str):
        text = value.strip()
        return text if text and len(text) <= _MAX_TEXT and is_text(text) else None
    found = whole(value)
    return str(found) if found is not None and abs(found) < 10**_MAX_TEXT else None


def canonical(text: str) -> str:
    """An id without what may be written otherwise: 0001 for 1."""
    return str(int(text)) if _WHOLE.fullmatch(text) else text


def is_text(text: str) -> bool:
    """Whether a text holds no half of a surrogate pair, which JSON can write and nothing else can store."""
    return not _HALF_PAIR.search(text)


def corners_of(value: object) -> tuple[float, float, float, float] | None:
    """xmin, ymin, xmax, ymax of a bbox [x, y, width, height], also as text; None for what is none."""
    if isinstance(value, str):
        value = re.split(r"[\s,;]+", value.strip(" []()")) if len(value) < 200 else None
    if not isinstance(value, list | tuple) or len(value) != 4:
        return None
    x, y, width, height = map(number, value)
    return None if math.isnan(x + y + width + height) else (x, y, x + width, y + height)


def flag(value: object) -> bool:
    """Whether a flag such as iscrowd is set; tools write 0, "0", false and nothing."""
    if isinstance(value, str):
        return value.strip().lower() in ("1", "1.0", "true", "yes")
    return isinstance(value, bool | int | float) and value == value and bool(value)
