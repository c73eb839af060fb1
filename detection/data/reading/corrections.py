"""What was put right silently while reading, so that it is said once: dropped, clipped and cut boxes, by record.

A pipeline runs many epochs in many threads; a table keyed by record counts every oddity once, however often the record
is read.
"""

from __future__ import annotations

import tensorflow as tf

from detection.data.record_faults import RECORD_FAULTS
from detection.data.sample import Record
from detection.errors import number_of, printable

_CUT = "cut"  # no fault of the record, but of the input reader's max_number_of_boxes
_SINGULAR = {"boxes": "box"}
_SAID = {_CUT: "boxes beyond max_number_of_boxes dropped"} | {
    kind: fault.corrected for kind, fault in RECORD_FAULTS.items() if fault.corrected
}


class Corrections:
    """Counts of oddities. Write inside a pipeline with `note`, read outside with `lines`."""

    def __init__(self) -> None:
        with tf.device("/cpu:0"):
            self._table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, default_value=0)

    def note(self, record: Record, counts: dict[str, tf.Tensor], details: dict[str, tf.Tensor] | None = None) -> None:
        """Remembers how many boxes (int scalars) of each kind (of `RECORD_FAULTS`) the record has.

        `details` says more about a kind (one line, a string scalar, the same whenever the record is read).
        """
        values = tf.stack([tf.cast(count, tf.int64) for count in counts.values()])
        noted = tf.where(values > 0)[:, 0]
        address = tf.strings.join([record.path, ":", tf.strings.as_string(record.index)])
        kinds = tf.gather(tf.constant(list(counts)), noted)
        more = tf.gather(tf.stack([(details or {}).get(kind, "") for kind in counts]), noted)
        keys = tf.strings.join([kinds, tf.repeat(address, tf.size(noted)), more], separator="\n")
        self._table.insert(keys, tf.gather(values, noted))

    def totals(self) -> dict[str, tuple[int, int, str]]:
        """kind -> (boxes, records, address of the first of the records and details)."""
        keys, values = self._table.export()
        noted = []
        for key, value in zip(keys.numpy(), values.numpy(), strict=True):
            kind, rest = key.decode("utf-8", "replace").split("\n", 1)
            noted.append((kind, *rest.rsplit("\n", 1), int(value)))
        totals: dict[str, tuple[int, int, str]] = {}
        for kind, address, more, value in sorted(noted, key=_place):
            boxes, records, first = totals.get(kind, (0, 0, f"{address}, {more}" if more and kind != _CUT else address))
            totals[kind] = (boxes + value, records + 1, first)
        return totals

    def lines(self) -> dict[str, str]:
        """One line a kind, e.g. '2 boxes without area dropped, in 2 records (e.g. train.record:17)'."""
        lines = {
            kind: printable(f"{_counted(boxes, _SAID[kind])}, in {number_of(records, 'record')} (e.g. {first})")
            for kind, (boxes, records, first) in self.totals().items()
        }
        if _CUT in lines:
            lines[_CUT] += f"; set the input reader's max_number_of_boxes to {self._most()} or more to learn from all"
        return lines

    def _most(self) -> int:
        """Boxes of the record that has most of those that were cut."""
        keys, _ = self._table.export()
        return max(int(key.rpartition(b"\n")[2]) for key in keys.numpy() if key.startswith(b"cut\n"))


def _counted(number: int, said: str) -> str:
    """A number and what it counts, whose first word is a plural."""
    plural, _, rest = said.partition(" ")
    return f"{number_of(number, _SINGULAR.get(plural, plural[:-1]), plural)} {rest}"


def _place(noted: tuple[str, str, str, int]) -> tuple[str, int]:
    """Shard and record, to sort by."""
    path, _, index = noted[1].rpartition(":")
    return path, int(index)
