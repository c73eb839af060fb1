"""Rows of a sweep, one configuration each, in `results.jsonl`: a JSON object a line, appended whole.

    {"id": "faster_rcnn-resnet101-600-stride16-p300", "key": "9f2c...", "status": "done", ..., "metrics": {...},
        "benchmark": {...}}

A configuration that was tried again has two lines; the later one counts. Keys that this version does not know are kept
in `Row.other`.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from absl import logging

from detection import json_text
from detection.errors import ConfigError, DataError, printable
from detection.files import read_bytes
from detection.sweep import row_check

FILE = "results.jsonl"
DONE, FAILED = row_check.STATUSES
_REPORTED = 10  # damaged lines that a message quotes; the others are counted
_BEGINNING = b'{"id": "'  # of every line that `append` writes
MEAN_AP = "DetectionBoxes_Precision/mAP"


@dataclasses.dataclass(frozen=True)
class SweepRow:
    """What became of one configuration. Milliseconds, sizes and counts are as `detection benchmark --json` writes
    them."""

    id: str  # unique in its sweep: meta-architecture, extractor and the value on each axis
    key: str  # sha256 of what was run: equal keys are equal configurations under equal settings
    status: str  # DONE or FAILED
    reason: str = ""  # why it failed, one line
    config: str = ""  # the pipeline config, relative to the folder of the results
    command: str = ""  # trains it again
    meta_architecture: str = ""  # ssd, faster_rcnn, rfcn, fast_rcnn, center_net
    feature_extractor: str = ""  # resnet101: the type without its prefix
    resolution: int = 0  # pixels: side of a fixed shape, shorter side where proportions are kept
    stride: int = 0  # of the map that regions are cut from; 0 for SSD, which has several maps
    proposals: int | None = None  # at test time; None for SSD
    axes: Mapping[str, str] = dataclasses.field(default_factory=dict)  # axis -> name of the value
    train: Mapping[str, Any] | None = (
        None  # steps, seconds, weights_of: id of the row whose training this one shares, or None
    )
    metrics: Mapping[str, float | None] = dataclasses.field(
        default_factory=dict
    )  # tag -> value, None: no number; empty: not evaluated
    benchmark: Mapping[str, Any] | None = None  # a row of detection benchmark --json; None where nothing was timed
    images_evaluated: int = 0
    other: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    folder: str = dataclasses.field(
        default="", compare=False
    )  # that it was read from, where its config lies; not in the file

    @property
    def done(self) -> bool:
        return self.status == DONE

    @property
    def mean_ap(self) -> float | None:
        """COCO's mAP@[.5:.95]; None where it was not measured."""
        return self.metrics.get(MEAN_AP)

    @property
    def milliseconds(self) -> float | None:
        """Median of one image end to end; None where it was not measured."""
        parts = (self.benchmark or {}).get("milliseconds") or {}
        return (parts.get("end_to_end") or {}).get("median")

    @property
    def device(self) -> str:
        """What it was timed on; empty where it was not."""
        return str(self.benchmark.get("device", "")) if self.benchmark else ""

    @classmethod
    def from_json(cls, text: str) -> SweepRow:
        """Raises ValueError with what is wrong: no JSON, no object, or every field that is missing, of the wrong type
        or out of range."""
        values = json_text.parse(text, allow_nan=True)
        if not isinstance(values, dict):
            raise ValueError(f"expected a JSON object, found {json_text.shown(values)}")
        wrong = list(row_check.problems(values))
        if wrong:
            raise ValueError("; ".join(wrong))
        values = row_check.without_nan(values)
        known = {field.name for field in dataclasses.fields(cls)} - {"other", "folder"}
        other = {name: value for name, value in values.items() if name not in known}
        return cls(**{name: _printable(value) for name, value in values.items() if name in known}, other=other)

    def to_json(self) -> str:
        """One line, without its end."""
        values = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name not in ("other", "folder")
        }
        return json.dumps(row_check.without_nan({**values, **self.other}), allow_nan=False)


def read(paths: Iterable[str | os.PathLike[str]] | str | os.PathLike[str]) -> list[SweepRow]:
    """Rows of one or more results files, or of the sweep folders that hold them, in the order of the lines.

    In one file the last line of an id counts. Of several files a key counts once, and one that is done before one that
    failed. What was timed on two devices counts on both.

    Raises:
        ConfigError: a file cannot be read. DataError: `file:line: what is wrong` of all lines that are no rows.
            A last line that a killed process left half written is left out.
    """
    return distinct(
        row for path in ([paths] if isinstance(paths, str | os.PathLike) else paths) for row in _read_one(Path(path))
    )


def distinct(rows: Iterable[SweepRow]) -> list[SweepRow]:
    """Of rows of one key and device the first that is done, or the first; one that failed, or has no time, only where
    no other of its key is done."""
    chosen: dict[tuple[str, str], SweepRow] = {}
    for row in rows:
        place = (row.key, row.device)
        if place not in chosen or (row.done and not chosen[place].done):
            chosen[place] = row
    timed = {row.key for row in chosen.values() if row.done and row.device}
    done = {row.key for row in chosen.values() if row.done}
    found: dict[tuple[str, str], SweepRow] = {}
    for row in chosen.values():
        if row.done and (row.device or row.key not in timed):
            found[row.key, row.device] = row
        elif not row.done and row.key not in done:
            found.setdefault((row.key, ""), row)
    return list(found.values())


def append(path: str | os.PathLike[str], row: SweepRow) -> None:
    """Adds one line, on the disk when this returns. For one writer at a time.

    Half a row that a killed writer left at the end is removed; a last row that is whole and only lacks its end stays.

    Raises:
        ConfigError: the file cannot be written. DataError: it ends in something else, which is left as it is.
    """
    try:
        with open(path, "a+b") as stream:
            end = stream.seek(0, os.SEEK_END)
            if end:
                stream.seek(0)
                data = stream.read()
                kept = data.rfind(b"\n") + 1
                if _end(Path(path), data[kept:], data.count(b"\n") + 1) is not None:
                    stream.write(b"\n")
                else:
                    stream.truncate(kept)
            stream.write(row.to_json().encode() + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise ConfigError(
            f"{os.fspath(path)}: cannot be written: {error.strerror or error}; check the path and the space left"
        ) from None


def file_of(path: str | os.PathLike[str]) -> Path:
    """The results file of a sweep's folder; a file is itself."""
    return Path(path) / FILE if Path(path).is_dir() else Path(path)


def _read_one(path: Path) -> list[SweepRow]:
    path = file_of(path)
    try:
        lines = read_bytes(path).split(b"\n")
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot read the results: {error.strerror or error}; give a folder of `detection sweep`"
            f" or its {FILE}"
        ) from None
    rows: dict[tuple[str, str], SweepRow] = {}
    wrong: list[str] = []
    for number, line in enumerate(lines, start=1):
        try:
            row = _end(path, line, number) if number == len(lines) else _row(line) if line.strip() else None
        except ValueError as error:
            wrong.append(f"{number}: no row of a sweep: {error}")
            continue
        except DataError as error:
            wrong.append(str(error).removeprefix(f"{path}:"))
            continue
        if row is None:
            continue
        for place in [
            place for place in rows if place[0] == row.id and (place[1] == row.device or "" in (place[1], row.device))
        ]:
            del rows[place]
        rows[row.id, row.device] = dataclasses.replace(row, folder=str(path.parent))
    if wrong:
        more = f"; and {len(wrong) - _REPORTED} more lines" if len(wrong) > _REPORTED else ""
        listed = f"; {path}:".join(wrong[:_REPORTED])
        raise DataError(
            f"{path}:{listed}{more}; give a {FILE} of `detection sweep`, or remove the line{'s' * (len(wrong) > 1)}:"
            " nothing was changed"
        )
    return list(rows.values())


def _row(line: bytes) -> SweepRow:
    try:
        return SweepRow.from_json(line.decode())
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 text ({error.reason} at byte {error.start} of the line)") from None


def _end(path: Path, line: bytes, number: int) -> SweepRow | None:
    """What stands after the last line end: nothing, a row, or the beginning of one whose writer was killed and will
    write it again (None).

    Raises:
        DataError: it is something else, such as a line that was not written here, which nobody may remove.
    """
    if not line.strip():
        return None
    try:
        return _row(line)
    except ValueError as error:
        if line.startswith(_BEGINNING[: len(line)]) and not line.rstrip().endswith(b"}"):
            logging.warning("%s:%d: half a row, of a sweep that was killed or is running; it is left out", path, number)
            return None
        raise DataError(f"{path}:{number}: no row of a sweep: {error}") from None


def _printable(value: Any) -> Any:
    """Text in rows reaches terminals, tables and figures: what acts there instead of being shown is escaped, also in
    what lies inside a value."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {printable(name): _printable(one) for name, one in value.items()}
    return [_printable(one) for one in value] if isinstance(value, list) else value
