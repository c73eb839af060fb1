"""Bad records, found before a run begins so that it can do without them.

    find: every record is read and decoded as training will do it -> BadRecords: which cannot be used and why, and what
        of damaged shards can be read

Because they are known beforehand, and not met on the way, everything else stays as it is: each epoch has the same
records, its order follows from the seed, a run that is stopped and started again goes on exactly where it was, and a
limit is exceeded before the first step and not after a night.
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
    """A record that is left out."""

    path: str  # the shard
    number: int  # in it, from 0
    reason: str  # one line
    records: int = 1  # that are lost with it; -1 where nobody can tell

    def __str__(self) -> str:
        return printable(f"{self.path}, record {self.number}: {self.reason}")


@dataclass(frozen=True)
class BadRecords:
    """What a reader leaves out."""

    found: tuple[BadRecord, ...] = ()
    damaged: dict[str, tuple[Stretch, ...]] = field(default_factory=dict)  # by shard: what of it can be read
    counts: dict[str, int] = field(default_factory=dict)  # by shard: usable records

    @property
    def lost(self) -> int:
        """Records that are left out, as far as anybody can tell."""
        return sum(max(bad.records, 1) for bad in self.found)

    def numbers(self) -> dict[str, list[int]]:
        """By shard: records that can be read and not used."""
        numbers: dict[str, list[int]] = {}
        for bad in self.found:
            numbers.setdefault(bad.path, []).append(bad.number)
        return numbers

    def to_json(self) -> dict[str, Any]:
        """Plain types; `from_json` reads them."""
        damaged = {path: [list(part) for part in parts] for path, parts in self.damaged.items()}
        return {"found": [list(bad) for bad in self.found], "damaged": damaged, "counts": self.counts}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> BadRecords:
        """Raises KeyError, TypeError, ValueError for what `to_json` did not write."""
        found = tuple(
            BadRecord(str(path), int(number), str(reason), int(lost)) for path, number, reason, lost in content["found"]
        )
        damaged = {
            str(path): tuple(Stretch(*map(int, part)) for part in parts) for path, parts in content["damaged"].items()
        }
        return cls(found, damaged, {str(path): int(count) for path, count in content["counts"].items()})


def find(
    paths: Sequence[str],
    check: Callable[[str, int, bytes], str | None],
    label: str = "records",
    progress_to: TextIO | None = None,
) -> BadRecords:
    """Reads all shards and checks each record.

    Args:
        paths: the shards.
        check: (shard, number, serialised record) -> why it cannot be used, or None; called from several threads.
        label: for progress.
        progress_to: told how far it is.
    """
    damaged, counts, found = {}, dict.fromkeys(paths, 0), []

    def one(item: tuple[str, Any]) -> tuple[str, Any, str | None]:
        path, what = item
        return path, what, None if isinstance(what, Stretch | Damage) else check(path, *what)

    parts: dict[str, list[Stretch]] = {}
    with ThreadPoolExecutor() as pool:
        items: Iterator[tuple[str, Any]] = ((path, what) for path in paths for what in stretches(path))
        for path, what, reason in counted(
            in_order(pool, one, items, 4 * (os.cpu_count() or 1)), 0, f"checking {label}", progress_to
        ):
            if isinstance(what, Stretch):
                parts.setdefault(path, []).append(what)
            elif isinstance(what, Damage):
                found.append(_of_damage(path, what))
                damaged[path] = ()
            elif reason is None:
                counts[path] += 1
            else:
                found.append(BadRecord(path, what[0], reason))
    for path in damaged:
        damaged[path] = tuple(part for part in parts[path] if part.count) or (Stretch(0, 0, 0),)
    for path in paths:
        missing = _missing(path, found, parts)
        if missing:
            number = sum(part.count for part in parts.get(path, ()))
            lost = f"{number_of(missing, 'record')} {'is' if missing == 1 else 'are'} lost"
            found.append(BadRecord(path, number, f"the shard ends too early; by its manifest {lost}", missing))
    return BadRecords(tuple(found), damaged, counts)


def _of_damage(path: str, damage: Damage) -> BadRecord:
    end = damage.offset + damage.size == os.path.getsize(path)
    how = "damaged or cut short" if end else "damaged"
    lost = "1 record is lost" if damage.records == 1 else "1 record or more are lost"
    return BadRecord(
        path,
        damage.number,
        f"{how}: bytes {damage.offset} to {damage.offset + damage.size} cannot be read; {lost}",
        damage.records,
    )


def _missing(path: str, found: list[BadRecord], parts: dict[str, list[Stretch]]) -> int:
    """Records that the manifest counts and that are neither read nor known to be lost."""
    manifest = read_manifest(path) if "://" not in path else None
    shard = (manifest or {}).get("shards", {}).get(os.path.basename(path))
    if shard is None or any(bad.path == path and bad.records < 0 for bad in found):
        return 0
    here = sum(part.count for part in parts.get(path, ()))
    return max(
        shard["records"]
        - here
        - sum(bad.records for bad in found if bad.path == path and bad.reason.startswith("damaged")),
        0,
    )
