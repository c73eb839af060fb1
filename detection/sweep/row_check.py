"""Checks the fields of a sweep row: rows may come from files of other people, and are used in sums, figures and pages.

NaN and Infinity (which are not JSON, but were written by earlier versions) mean a missing number in fields that may be
null; elsewhere they are invalid.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from detection import json_text
from detection.json_text import shown

_Check = Callable[[Any], bool]
_LONGEST_NAME, _LONGEST_TEXT = 300, 100_000  # characters
_LARGEST, _LARGEST_COUNT = 1e15, 2**31 - 1  # beyond these, numbers are implausible and logarithms and figures fail
_SMALLEST = 1e-12
_DEEPEST = 50  # levels of nested lists and objects

STATUSES = ("done", "failed")


def problems(values: Mapping[str, Any]) -> Iterator[str]:
    """Yields `field is VALUE; expected ...` for every invalid field of a row; unknown fields may have any value."""
    for field in ("id", "key", "status"):
        if field not in values:
            yield f"expected a string as {field!r}, which is missing"
    for field, value in values.items():
        if field in _FIELDS and not _FIELDS[field][0](value):
            yield f"{field!r} is {shown(value)}; expected {_FIELDS[field][1]}"
    if isinstance(values.get("metrics"), dict):
        yield from _metrics(values["metrics"])
    for field, table in (("train", _TRAIN), ("benchmark", _BENCHMARK)):
        if isinstance(values.get(field), dict):
            yield from (
                f"'{field}.{name}' is {shown(value)}; expected {table[name][1]}"
                for name, value in values[field].items()
                if name in table and not table[name][0](value)
            )
    if not _is_shallow(values, _DEEPEST):
        yield f"lists and objects are nested more than {_DEEPEST} levels deep"


def is_inside(name: object) -> bool:
    """Whether a path in data can only refer to a file in the data's folder, apart from links.

    It must be relative and without `..`, in the syntax of any operating system.
    """
    if not isinstance(name, str) or not json_text.is_text(name) or not name.isprintable() or len(name.encode()) > 4096:
        return False
    parts = re.split(r"[/\\]", name)
    return (
        ".." not in parts
        and bool(parts[0])
        and not re.match(r"[A-Za-z]:", name)
        and all(len(part.encode()) <= 255 for part in parts)
    )


def is_missing(value: object) -> bool:
    """Whether a value means a missing number: null, NaN or Infinity."""
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def without_nan(value: Any) -> Any:
    """The value with every NaN and Infinity replaced by None."""
    if isinstance(value, dict):
        return {name: without_nan(item) for name, item in value.items()}
    if isinstance(value, list):
        return [without_nan(item) for item in value]
    return None if is_missing(value) else value


def _metrics(metrics: Mapping[str, Any]) -> Iterator[str]:
    for tag, value in metrics.items():
        is_present = not is_missing(value)
        if not _is_name(tag):
            yield f"'metrics' has the tag {shown(tag)}; expected a short name"
        elif is_present and not json_text.is_number(value):
            yield f"'metrics' has {shown(value)} as {shown(tag)}; expected a number"
        elif is_present and ("Precision/" in tag or "Recall/" in tag) and value > 1:
            yield f"'metrics' has {shown(value)} as {shown(tag)}; expected at most 1"


def _is_name(value: Any) -> bool:
    return json_text.is_text(value) and len(value) <= _LONGEST_NAME


def _is_nonempty_name(value: Any) -> bool:
    return _is_name(value) and bool(value)


def _is_text(value: Any) -> bool:
    return json_text.is_text(value) and len(value) <= _LONGEST_TEXT


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST_COUNT


def _is_amount(value: Any) -> bool:
    return json_text.is_number(value) and (value == 0 or _SMALLEST <= value <= _LARGEST)


def _is_names(value: Any) -> bool:
    return isinstance(value, dict) and all(_is_name(name) and _is_name(text) for name, text in value.items())


def _is_times(value: Any) -> bool:
    return isinstance(value, dict) and all(part is None or _is_amounts(part) for part in value.values())


def _is_amounts(value: Any) -> bool:
    return isinstance(value, dict) and all(is_missing(number) or _is_amount(number) for number in value.values())


def _is_size(value: Any) -> bool:
    return _is_count(value) or (isinstance(value, list) and len(value) == 2 and all(map(_is_count, value)))


def _is_shallow(value: Any, levels: int) -> bool:
    children = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return levels > 0 and all(_is_shallow(item, levels - 1) for item in children if isinstance(item, dict | list))


def _or_null(check: _Check, words: str) -> tuple[_Check, str]:
    return (lambda value: is_missing(value) or check(value)), f"{words}, or null"


_NAME = (_is_name, f"text of at most {_LONGEST_NAME} characters")
_COUNT = (_is_count, "a non-negative whole number")
_AMOUNT = _or_null(_is_amount, f"a number from {_SMALLEST:g} to {_LARGEST:g}, 0")
_OBJECT = _or_null(lambda value: isinstance(value, dict), "an object")

_FIELDS: dict[str, tuple[_Check, str]] = {
    "id": (_is_nonempty_name, f"text of 1 to {_LONGEST_NAME} characters"),
    "key": (
        lambda value: _is_nonempty_name(value) and value.isprintable(),
        f"a string of 1 to {_LONGEST_NAME} printable characters",
    ),
    "status": (lambda value: value in STATUSES if isinstance(value, str) else False, " or ".join(map(repr, STATUSES))),
    "reason": (_is_text, "text"),
    "config": (
        lambda value: value == "" or is_inside(value),
        "the path of a file in the folder of the results, relative and without '..'",
    ),
    "command": (_is_text, "text"),
    "meta_architecture": _NAME,
    "feature_extractor": _NAME,
    "resolution": _COUNT,
    "stride": _COUNT,
    "proposals": _or_null(*_COUNT),
    "axes": (_is_names, "an object of texts"),
    "train": _OBJECT,
    "metrics": (lambda value: isinstance(value, dict), "an object"),
    "benchmark": _OBJECT,
    "images_evaluated": _COUNT,
}
_TRAIN = {
    "steps": _or_null(*_COUNT),
    "seconds": _AMOUNT,
    "weights_of": _or_null(*_NAME),
    "model_dir": _or_null(_is_text, "text"),
}
_BENCHMARK = {
    "milliseconds": (_is_times, "an object of times, each an object of numbers or null"),
    "cpu_milliseconds": _or_null(_is_amounts, "an object of numbers"),
    "device": _NAME,
    "tensorflow": _or_null(*_NAME),
    "precision": _or_null(*_NAME),
    "batch": _or_null(*_COUNT),
    "images": _or_null(*_COUNT),
    "cpus": _or_null(*_COUNT),
    "size": _or_null(_is_size, "a whole number or two"),
    "load_average": _AMOUNT,
    **dict.fromkeys(
        (
            "host_mib",
            "model_host_mib",
            "held_host_mib",
            "device_mib",
            "file_mib",
            "gflops",
            "parameters",
            "images_per_second",
        ),
        _AMOUNT,
    ),
}
