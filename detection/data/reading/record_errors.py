"""Errors about a record: raised by TensorFlow operations in a pipeline's threads, shown to people as one line.

TensorFlow can only fail with text. `check_record` writes address, field, value and remedy between markers; `find` reads
them back from the error that comes out of the iterator.
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
_MOST_SHOWN = 10  # classes
_PATTERN = re.compile(" ".join(rf"\[{mark}\] \[(.*?)\]" for mark in _MARKS) + rf" \[{_END}\]", re.DOTALL)


class Check(NamedTuple):
    """What must hold of a record, and what is said where it does not."""

    right: tf.Tensor  # bool []
    kind: str  # of the fault, a key of `RECORD_FAULTS`
    field: str | tf.Tensor  # which key of the record, or which file beside it
    value: str | tf.Tensor  # what stands there
    fix: str | tf.Tensor | None = None  # what to do about it; None for what the table says
    text: str | tf.Tensor = ""  # should be one of `known`, of which the message then says the closest
    known: str | tf.Tensor = ""  # the texts that are possible, as `listed` writes them


def check_record(record: Record, checks: Sequence[Check]) -> None:
    """Fails the pipeline with one line about the first of `checks` that does not hold for the record.

    One assertion for all of them: a graph with one each takes TensorFlow several times as long to build.
    """
    rights = tf.stack([check.right for check in checks])
    failed = tf.argmin(tf.cast(rights, tf.int32))  # of equal ones the first

    def of_failed(parts: Sequence[str | tf.Tensor]) -> tf.Tensor:
        return tf.gather(tf.stack(parts), failed)

    fixes = [RECORD_FAULTS[check.kind].fix if check.fix is None else check.fix for check in checks]
    values, texts = ([getattr(check, part) for check in checks] for part in ("value", "text"))
    parts = (readable(record.path), record.index, of_failed([check.field for check in checks]))
    parts = (*parts, readable(of_failed(values)), of_failed(fixes), readable(of_failed(texts)))
    parts = (*parts, of_failed([check.known for check in checks]))
    data = [item for mark, part in zip(_MARKS, parts, strict=True) for item in (tf.constant(mark), part)]
    tf.raw_ops.Assert(condition=tf.reduce_all(rights), data=[*data, tf.constant(_END)], summarize=8)


def listed(texts: Sequence[str]) -> str:
    """Several texts in one, for `Check.known`."""
    return _SEPARATOR.join(texts)


def describe(path: str, index: int | str, field: str, value: str, fix: str) -> str:
    """The one line."""
    line = f"{path}, record {index}: {field} {value}; {fix}" if field else f"{path}, record {index}: {value}; {fix}"
    return re.sub(r"\s+", " ", line).strip()


def find(error: BaseException) -> DataError | None:
    """The error that `check_record` meant, or None if this is something else."""
    found = _PATTERN.search(str(error))
    if found is None:
        return None
    path, index, field, value, fix, text, known = map(_unescape, found.groups())
    return DataError(describe(path, index, field, value + _choice(text, known), fix))


def _choice(text: str, known: str) -> str:
    """Which of the known texts may be meant, or which there are; "" where there are none."""
    names = [name for name in known.split(_SEPARATOR) if name]
    if not text or not names:
        return ""
    lower = {name.lower(): name for name in names}
    close = [lower[name] for name in difflib.get_close_matches(text.lower(), lower, n=3)]
    if close:
        return f" (did you mean {' or '.join(map(repr, close))}?)"
    more = f" and {len(names) - _MOST_SHOWN} more" if len(names) > _MOST_SHOWN else ""
    return f" (known: {', '.join(map(repr, names[:_MOST_SHOWN]))}{more})"


def _unescape(text: str) -> str:
    """Undoes the C escapes with which TensorFlow writes strings into messages: quotes, and every byte beyond ASCII."""
    raw = re.sub(rb"\\([0-7]{3}|.)", _unescaped_byte, text.encode("utf-8"))
    return raw.decode("utf-8", "replace")


def _unescaped_byte(escape: re.Match[bytes]) -> bytes:
    code = escape.group(1)
    return bytes([int(code, 8) & 255]) if len(code) == 3 else {b"n": b" ", b"r": b" ", b"t": b" "}.get(code, code)
