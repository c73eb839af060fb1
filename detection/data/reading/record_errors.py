"""Errors about a record: raised by TensorFlow operations in a pipeline's threads, shown to users as one line.

A TensorFlow error only has a message. `check_record` writes address, field, value and fix between markers; `find`
extracts them from the error that the iterator raises.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from detection.data.graph_text import readable
from detection.data.record_faults import RECORD_FAULTS
from detection.data.sample import Record
from detection.errors import DataError

_MARKS = ("<record>", "<index>", "<field>", "<value>", "<fix>", "<text>", "<known>")
_END = "<end>"
_SEPARATOR = "\x1f"
_MOST_SHOWN = 10  # classes in a message
_PATTERN = re.compile(" ".join(rf"\[{mark}\] \[(.*?)\]" for mark in _MARKS) + rf" \[{_END}\]", re.DOTALL)


class Check(NamedTuple):
    """A condition that a record must meet, and the parts of the message if it does not."""

    condition: tf.Tensor  # bool []
    kind: str  # of the fault, a key of `RECORD_FAULTS`
    field: str | tf.Tensor  # the key in the record, or the file beside it
    value: str | tf.Tensor  # description of the value
    fix: str | tf.Tensor | None = None  # how to fix it; None for the text of `RECORD_FAULTS`
    text: str | tf.Tensor = ""  # an unknown name, for which the message suggests the closest ones of `known`
    known: str | tf.Tensor = ""  # the valid names, joined by `join_names`


def check_record(record: Record, checks: Sequence[Check]) -> None:
    """Fails the pipeline with one line about the first check that does not hold for the record.

    All checks share one assertion, because a graph with one assertion each takes several times as long to build.

    Args:
        record: for its address.
        checks: in the order of their priority.
    """
    conditions = tf.stack([check.condition for check in checks])
    first = tf.argmin(tf.cast(conditions, tf.int32))  # the first one that is false

    def of_first(parts: Sequence[str | tf.Tensor]) -> tf.Tensor:
        return tf.gather(tf.stack(parts), first)

    fixes = [RECORD_FAULTS[check.kind].fix if check.fix is None else check.fix for check in checks]
    values, texts = ([getattr(check, part) for check in checks] for part in ("value", "text"))
    parts = (readable(record.path), record.index, of_first([check.field for check in checks]))
    parts = (*parts, readable(of_first(values)), of_first(fixes), readable(of_first(texts)))
    parts = (*parts, of_first([check.known for check in checks]))
    data = [item for mark, part in zip(_MARKS, parts, strict=True) for item in (tf.constant(mark), part)]
    tf.raw_ops.Assert(condition=tf.reduce_all(conditions), data=[*data, tf.constant(_END)], summarize=8)


def join_names(names: Sequence[str]) -> str:
    """Joins names for `Check.known`."""
    return _SEPARATOR.join(names)


def describe(path: str, index: int | str, field: str, value: str, fix: str) -> str:
    """The message of an error about a record, one line."""
    line = f"{path}, record {index}: {field} {value}; {fix}" if field else f"{path}, record {index}: {value}; {fix}"
    return re.sub(r"\s+", " ", line).strip()


def find(error: BaseException) -> DataError | None:
    """The DataError of `check_record` in a TensorFlow error; None if it is another error."""
    match = _PATTERN.search(str(error))
    if match is None:
        return None
    path, index, field, value, fix, text, known = map(_unescape, match.groups())
    return DataError(describe(path, index, field, value + _suggestion(text, known), fix))


def _suggestion(text: str, known: str) -> str:
    """A suggestion of similar known names, or else a list of known names; empty if there are none."""
    names = [name for name in known.split(_SEPARATOR) if name]
    if not text or not names:
        return ""
    lower = {name.lower(): name for name in names}
    similar = [lower[name] for name in difflib.get_close_matches(text.lower(), lower, n=3)]
    if similar:
        return f" (did you mean {' or '.join(map(repr, similar))}?)"
    more = f" and {len(names) - _MOST_SHOWN} more" if len(names) > _MOST_SHOWN else ""
    return f" (known: {', '.join(map(repr, names[:_MOST_SHOWN]))}{more})"


def _unescape(text: str) -> str:
    """Undoes the C escapes of strings in TensorFlow's messages: quotes, and all bytes that are not ASCII."""
    raw = re.sub(rb"\\([0-7]{3}|.)", _unescaped_byte, text.encode("utf-8"))
    return raw.decode("utf-8", "replace")


def _unescaped_byte(escape: re.Match[bytes]) -> bytes:
    code = escape.group(1)
    return bytes([int(code, 8) & 255]) if len(code) == 3 else {b"n": b" ", b"r": b" ", b"t": b" "}.get(code, code)
