"""Counts the corrections made while reading (dropped and clipped boxes) so that each can be logged once.

A pipeline runs many epochs in many threads; a table keyed by record counts every correction once, however often the
record is read.
"""

from __future__ import annotations

import tensorflow as tf

from detection.data.record_faults import RECORD_FAULTS
from detection.data.sample import Record
from detection.errors import number_of, printable

_CUT = "cut"  # not a fault of the record: it has more boxes than max_number_of_boxes
_SINGULAR = {"boxes": "box"}
_PHRASES = {_CUT: "boxes beyond max_number_of_boxes dropped"} | {
    kind: fault.corrected for kind, fault in RECORD_FAULTS.items() if fault.corrected
}


class Corrections:
    """Counts of corrections. Use `note` inside a pipeline and `lines` outside."""

    def __init__(self) -> None:
        with tf.device("/cpu:0"):
            self._table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, default_value=0)

    def note(self, record: Record, counts: dict[str, tf.Tensor], details: dict[str, tf.Tensor] | None = None) -> None:
        """Records the corrections of one record; zeros are not stored.

        Args:
            record: for its address.
            counts: kind of fault (a key of `RECORD_FAULTS`) -> number of boxes, int scalar.
            details: kind -> one line of details (a string scalar, the same whenever the record is read).
        """
        values = tf.stack([tf.cast(count, tf.int64) for count in counts.values()])
        rows = tf.where(values > 0)[:, 0]
        address = tf.strings.join([record.path, ":", tf.strings.as_string(record.index)])
        kinds = tf.gather(tf.constant(list(counts)), rows)
        detail_texts = tf.gather(tf.stack([(details or {}).get(kind, "") for kind in counts]), rows)
        keys = tf.strings.join([kinds, tf.repeat(address, tf.size(rows)), detail_texts], separator="\n")
        self._table.insert(keys, tf.gather(values, rows))

    def totals(self) -> dict[str, tuple[int, int, str]]:
        """Kind -> (boxes, records, address of the first record with details)."""
        keys, values = self._table.export()
        entries = []
        for key, value in zip(keys.numpy(), values.numpy(), strict=True):
            kind, rest = key.decode("utf-8", "replace").split("\n", 1)
            entries.append((kind, *rest.rsplit("\n", 1), int(value)))
        totals: dict[str, tuple[int, int, str]] = {}
        for kind, address, details, value in sorted(entries, key=_sort_key):
            boxes, records, first = totals.get(
                kind, (0, 0, f"{address}, {details}" if details and kind != _CUT else address)
            )
            totals[kind] = (boxes + value, records + 1, first)
        return totals

    def lines(self) -> dict[str, str]:
        """Kind -> one line, e.g. '2 boxes without area dropped, in 2 records (e.g. train.record:17)'."""
        lines = {
            kind: printable(f"{_counted(boxes, _PHRASES[kind])}, in {number_of(records, 'record')} (e.g. {first})")
            for kind, (boxes, records, first) in self.totals().items()
        }
        if _CUT in lines:
            lines[_CUT] += (
                f"; set the input reader's max_number_of_boxes to {self._max_boxes()} or more to train on all"
            )
        return lines

    def _max_boxes(self) -> int:
        """Largest number of boxes of a record with more than max_number_of_boxes."""
        keys, _ = self._table.export()
        return max(int(key.rpartition(b"\n")[2]) for key in keys.numpy() if key.startswith(b"cut\n"))


def _counted(number: int, phrase: str) -> str:
    """A number with its noun phrase, whose first word is a plural that becomes singular for 1."""
    plural, _, rest = phrase.partition(" ")
    return f"{number_of(number, _SINGULAR.get(plural, plural[:-1]), plural)} {rest}"


def _sort_key(entry: tuple[str, str, str, int]) -> tuple[str, int]:
    """Sort key: shard and record."""
    path, _, index = entry[1].rpartition(":")
    return path, int(index)
