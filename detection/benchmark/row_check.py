"""Checks that a row in a results file of `detection benchmark` has all fields; a file may come from another source."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from detection.benchmark.rows import END_TO_END, FIRST, NETWORK, POSTPROCESS, PREPROCESS, SECOND
from detection.json_text import is_number, is_text, shown

_SUMMARY = ("median", "low", "high", "mean", "std")
_REQUIRED_PARTS = (END_TO_END, PREPROCESS, FIRST, SECOND, POSTPROCESS, NETWORK)


def problems(row: Any) -> Iterator[str]:
    """`field is VALUE; expected ...` for every field that is missing or cannot be used."""
    if not isinstance(row, dict):
        yield f"{shown(row)} is not an object"
        return
    for field, (check, words) in _FIELDS.items():
        if field not in row and field not in _OPTIONAL:
            yield f"{field!r} is missing; expected {words}"
        elif field in row and not check(row[field]):
            yield f"{field!r} is {shown(row[field])}; expected {words}"


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 63


def _is_amount(value: Any) -> bool:
    return is_number(value) and 0 <= value <= 1e15


def _is_summary(value: Any) -> bool:
    return isinstance(value, dict) and all(_is_amount(value.get(name)) for name in _SUMMARY)


def _is_times(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and _is_summary(value.get(END_TO_END))
        and all(part in value and (value[part] is None or _is_summary(value[part])) for part in _REQUIRED_PARTS)
    )


def _is_size(value: Any) -> bool:
    return _is_count(value) or (isinstance(value, list) and len(value) == 2 and all(map(_is_count, value)))


def _or_null(check: Callable[[Any], bool], words: str) -> tuple[Callable[[Any], bool], str]:
    return (lambda value: value is None or check(value)), f"{words} or null"


_COUNT, _AMOUNT, _TEXT = (_is_count, "a whole number"), (_is_amount, "a non-negative number"), (is_text, "text")
_FIELDS = {
    "milliseconds": (_is_times, f"times of {', '.join(_REQUIRED_PARTS)}, each with {', '.join(_SUMMARY)} or null"),
    "saved_model": _TEXT,
    "config": _or_null(*_TEXT),
    "checkpoint": _or_null(*_TEXT),
    "overrides": (lambda value: isinstance(value, list) and all(map(is_text, value)), "a list of texts"),
    "batch": _COUNT,
    "size": (_is_size, "a whole number or two"),
    "images": _COUNT,
    "distinct_images": _COUNT,
    "noise": (lambda value: isinstance(value, bool), "true or false"),
    "warmup": _COUNT,
    "input": _TEXT,
    "network_input": (
        lambda value: isinstance(value, list) and len(value) < 9 and all(map(_is_count, value)),
        "a shape",
    ),
    "proposals_given": _or_null(*_COUNT),
    "outside_network": (is_number, "a number"),
    "postprocess_share": (is_number, "a number"),
    "images_per_second": _AMOUNT,
    "parameters": _COUNT,
    "gflops": _or_null(*_AMOUNT),
    "not_counted": _TEXT,
    "host_mib": _AMOUNT,
    "model_host_mib": (is_number, "a number"),
    "held_host_mib": _or_null(*_AMOUNT),
    "device_mib": _or_null(*_AMOUNT),
    "file_mib": _AMOUNT,
    "device": _TEXT,
    "cpus": _COUNT,
    "load_average": _or_null(*_AMOUNT),
    "tensorflow": _TEXT,
    "precision": _TEXT,
    "detections": _AMOUNT,
}
_OPTIONAL = {"postprocess_share"}  # missing in rows of earlier versions
