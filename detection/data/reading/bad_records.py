"""Finds bad records before a run begins, so that they can be skipped.

    find: reads and decodes every record like training -> BadRecords: which records cannot be used and why, and which
        parts of damaged shards can be read

Because they are known before the run, every epoch has the same records, its order depends only on the seed, a stopped
run resumes exactly where it was, and too many bad records are an error before the first step rather than hours later.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TextIO

from detection.data.reading.damage import Damage, Stretch, stretches
from detection.data.record_writer import read_manifest
from detection.errors import number_of, printable
from detection.progress import counted
from detection.tools.parallel import in_order


class BadRecord(NamedTuple):
    """A record that is skipped."""

    path: str  # the shard
    number: int  # in the shard, from 0
    reason: str  # one line
    records: int = 1  # number of records that are lost; -1 if unknown

    def __str__(self) -> str:
        return printable(f"{self.path}, record {self.number}: {self.reason}")


@dataclass(frozen=True)
class BadRecords:
    """The records that a reader skips."""

    found: tuple[BadRecord, ...] = ()
    damaged: dict[str, tuple[Stretch, ...]] = field(default_factory=dict)  # by shard: the parts that can be read
    counts: dict[str, int] = field(default_factory=dict)  # by shard: number of usable records

    @property
    def lost(self) -> int:
        """Number of skipped records, as far as known."""
        return sum(max(bad.records, 1) for bad in self.found)

    def numbers(self) -> dict[str, list[int]]:
        """Numbers of the skipped records by shard."""
        numbers: dict[str, list[int]] = {}
        for bad in self.found:
            numbers.setdefault(bad.path, []).append(bad.number)
        return numbers

    def to_json(self) -> dict[str, Any]:
        """JSON values for `from_json`."""
        damaged = {path: [list(part) for part in parts] for path, parts in self.damaged.items()}
        return {"found": [list(bad) for bad in self.found], "damaged": damaged, "counts": self.counts}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> BadRecords:
        """Reads the values of `to_json`. Raises KeyError, TypeError or ValueError for anything else."""
        bad_records = tuple(
            BadRecord(str(path), int(number), str(reason), int(records))
            for path, number, reason, records in content["found"]
        )
        damaged = {
            str(path): tuple(Stretch(*map(int, part)) for part in parts) for path, parts in content["damaged"].items()
        }
        return cls(bad_records, damaged, {str(path): int(count) for path, count in content["counts"].items()})


def find(
    paths: Sequence[str],
    check: Callable[[str, int, bytes], str | None],
    label: str = "records",
    progress_to: TextIO | None = None,
) -> BadRecords:
    """Reads all shards and checks each record.

    Args:
        paths: the shards.
        check: (shard, number, serialised record) -> why the record cannot be used, or None; called from several
            threads.
        label: the name in progress lines.
        progress_to: receives progress lines.
    """
    damaged, counts, bad_records = {}, dict.fromkeys(paths, 0), []

    def check_item(item: tuple[str, Any]) -> tuple[str, Any, str | None]:
        path, content = item
        return path, content, None if isinstance(content, Stretch | Damage) else check(path, *content)

    parts: dict[str, list[Stretch]] = {}
    with ThreadPoolExecutor() as pool:
        items: Iterator[tuple[str, Any]] = ((path, content) for path in paths for content in stretches(path))
        for path, content, reason in counted(
            in_order(pool, check_item, items, 4 * (os.cpu_count() or 1)), 0, f"checking {label}", progress_to
        ):
            if isinstance(content, Stretch):
                parts.setdefault(path, []).append(content)
            elif isinstance(content, Damage):
                bad_records.append(_describe_damage(path, content))
                damaged[path] = ()
            elif reason is None:
                counts[path] += 1
            else:
                bad_records.append(BadRecord(path, content[0], reason))
    for path in damaged:
        damaged[path] = tuple(part for part in parts[path] if part.count) or (Stretch(0, 0, 0),)
    for path in paths:
        num_missing = _count_missing(path, bad_records, parts)
        if num_missing:
            number = sum(part.count for part in parts.get(path, ()))
            loss = f"{number_of(num_missing, 'record')} {'is' if num_missing == 1 else 'are'} lost"
            bad_records.append(
                BadRecord(path, number, f"the shard ends too early; by its manifest {loss}", num_missing)
            )
    return BadRecords(tuple(bad_records), damaged, counts)


def _describe_damage(path: str, damage: Damage) -> BadRecord:
    is_at_end = damage.offset + damage.size == os.path.getsize(path)
    description = "damaged or truncated" if is_at_end else "damaged"
    loss = "1 record is lost" if damage.records == 1 else "1 record or more are lost"
    return BadRecord(
        path,
        damage.number,
        f"{description}: bytes {damage.offset} to {damage.offset + damage.size} cannot be read; {loss}",
        damage.records,
    )


def _count_missing(path: str, bad_records: list[BadRecord], parts: dict[str, list[Stretch]]) -> int:
    """Number of records in the manifest that were neither read nor reported as lost."""
    manifest = read_manifest(path) if "://" not in path else None
    shard = (manifest or {}).get("shards", {}).get(os.path.basename(path))
    if shard is None or any(bad.path == path and bad.records < 0 for bad in bad_records):
        return 0
    num_read = sum(part.count for part in parts.get(path, ()))
    return max(
        shard["records"]
        - num_read
        - sum(bad.records for bad in bad_records if bad.path == path and bad.reason.startswith("damaged")),
        0,
    )
