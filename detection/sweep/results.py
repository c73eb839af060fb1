"""Reads and appends the rows of a sweep in `results.jsonl`: one JSON object per line and configuration.

    {"id": "faster_rcnn-resnet101-600-stride16-p300", "key": "9f2c...", "status": "done", ..., "metrics": {...},
        "benchmark": {...}}

A configuration that was retried has two lines; the later one counts. Keys that this version does not know are kept in
`SweepRow.other`.
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
_REPORTED = 10  # damaged lines that an error message quotes; the others are counted
_BEGINNING = b'{"id": "'  # beginning of every line that `append` writes
MEAN_AP = "DetectionBoxes_Precision/mAP"


@dataclasses.dataclass(frozen=True)
class SweepRow:
    """The result of one configuration.

    Milliseconds, sizes and counts are as `detection benchmark --json` writes them.
    """

    id: str  # unique in its sweep: meta-architecture, extractor and the value on each axis
    key: str  # sha256 of the configuration and settings that were run
    status: str  # DONE or FAILED
    reason: str = ""  # why it failed, one line
    config: str = ""  # the pipeline config, relative to the folder of the results
    command: str = ""  # the command that trains it
    meta_architecture: str = ""  # ssd, faster_rcnn, rfcn, fast_rcnn, center_net
    feature_extractor: str = ""  # resnet101: the type without its prefix
    resolution: int = 0  # pixels: side of a fixed shape, or shorter side if the aspect ratio is kept
    stride: int = 0  # of the map from which regions are cropped; 0 for SSD, which has several maps
    proposals: int | None = None  # at test time; None for SSD
    axes: Mapping[str, str] = dataclasses.field(default_factory=dict)  # axis -> name of the value
    # Keys steps, seconds, and weights_of: id of the row whose training this one shares, or None.
    train: Mapping[str, Any] | None = None
    # Tag -> value, None for a value that is not a number; empty if not evaluated.
    metrics: Mapping[str, float | None] = dataclasses.field(default_factory=dict)
    benchmark: Mapping[str, Any] | None = None  # a row of detection benchmark --json; None if not timed
    images_evaluated: int = 0
    other: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    # The folder that it was read from, which contains its config; not stored in the file.
    folder: str = dataclasses.field(default="", compare=False)

    @property
    def done(self) -> bool:
        """Whether all stages succeeded."""
        return self.status == DONE

    @property
    def mean_ap(self) -> float | None:
        """COCO's mAP@[.5:.95]; None if it was not measured."""
        return self.metrics.get(MEAN_AP)

    @property
    def milliseconds(self) -> float | None:
        """Median of one image end to end; None if it was not measured."""
        parts = (self.benchmark or {}).get("milliseconds") or {}
        return (parts.get("end_to_end") or {}).get("median")

    @property
    def device(self) -> str:
        """The device on which it was timed; empty if it was not timed."""
        return str(self.benchmark.get("device", "")) if self.benchmark else ""

    @classmethod
    def from_json(cls, text: str) -> SweepRow:
        """Parses a line.

        Raises:
            ValueError: the text is not a JSON object, or fields are missing, of the wrong type or out of range; lists
                all of them.
        """
        values = json_text.parse(text, allow_nan=True)
        if not isinstance(values, dict):
            raise ValueError(f"expected a JSON object, found {json_text.shown(values)}")
        problems = list(row_check.problems(values))
        if problems:
            raise ValueError("; ".join(problems))
        values = row_check.without_nan(values)
        known = {field.name for field in dataclasses.fields(cls)} - {"other", "folder"}
        other = {name: value for name, value in values.items() if name not in known}
        return cls(**{name: _printable(value) for name, value in values.items() if name in known}, other=other)

    def to_json(self) -> str:
        """The line, without its line end."""
        values = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name not in ("other", "folder")
        }
        return json.dumps(row_check.without_nan({**values, **self.other}), allow_nan=False)


def read(paths: Iterable[str | os.PathLike[str]] | str | os.PathLike[str]) -> list[SweepRow]:
    """Reads the rows of one or more results files or sweep folders, in the order of the lines.

    In one file the last line of an id counts. Of several files there is one row for each key and device; rows that are
    done take precedence over failed ones. An incomplete last line of a killed process is skipped.

    Raises:
        ConfigError: a file cannot be read.
        DataError: lines are not valid rows; lists `file:line: fault` for each.
    """
    return distinct(
        row for path in ([paths] if isinstance(paths, str | os.PathLike) else paths) for row in _read_one(Path(path))
    )


def distinct(rows: Iterable[SweepRow]) -> list[SweepRow]:
    """Removes duplicates: of the rows of one key and device, the first that is done, or else the first, is kept.

    A row that failed or has no time is kept only if no other row of its key is done.
    """
    by_key_and_device: dict[tuple[str, str], SweepRow] = {}
    for row in rows:
        pair = (row.key, row.device)
        if pair not in by_key_and_device or (row.done and not by_key_and_device[pair].done):
            by_key_and_device[pair] = row
    timed = {row.key for row in by_key_and_device.values() if row.done and row.device}
    done = {row.key for row in by_key_and_device.values() if row.done}
    result: dict[tuple[str, str], SweepRow] = {}
    for row in by_key_and_device.values():
        if row.done and (row.device or row.key not in timed):
            result[row.key, row.device] = row
        elif not row.done and row.key not in done:
            result.setdefault((row.key, ""), row)
    return list(result.values())


def append(path: str | os.PathLike[str], row: SweepRow) -> None:
    """Appends one line and flushes it to disk. Only one process may write at a time.

    An incomplete row of a killed writer at the end is removed; a complete last row without a line end is kept.

    Args:
        path: the results file.
        row: the row.

    Raises:
        ConfigError: the file cannot be written.
        DataError: the file ends in something else, which is not changed.
    """
    try:
        with open(path, "a+b") as stream:
            end = stream.seek(0, os.SEEK_END)
            if end:
                stream.seek(0)
                data = stream.read()
                end_of_lines = data.rfind(b"\n") + 1
                if _last_line(Path(path), data[end_of_lines:], data.count(b"\n") + 1) is not None:
                    stream.write(b"\n")
                else:
                    stream.truncate(end_of_lines)
            stream.write(row.to_json().encode() + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise ConfigError(
            f"{os.fspath(path)}: cannot be written: {error.strerror or error}; check the path and the free space"
        ) from None


def file_of(path: str | os.PathLike[str]) -> Path:
    """The results file in a sweep's folder; the path of a file is returned as it is."""
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
    faults: list[str] = []
    for number, line in enumerate(lines, start=1):
        try:
            row = _last_line(path, line, number) if number == len(lines) else _row(line) if line.strip() else None
        except ValueError as error:
            faults.append(f"{number}: not a sweep row: {error}")
            continue
        except DataError as error:
            faults.append(str(error).removeprefix(f"{path}:"))
            continue
        if row is None:
            continue
        for pair in [
            pair for pair in rows if pair[0] == row.id and (pair[1] == row.device or "" in (pair[1], row.device))
        ]:
            del rows[pair]
        rows[row.id, row.device] = dataclasses.replace(row, folder=str(path.parent))
    if faults:
        more = f"; and {len(faults) - _REPORTED} more lines" if len(faults) > _REPORTED else ""
        shown = f"; {path}:".join(faults[:_REPORTED])
        raise DataError(
            f"{path}:{shown}{more}; give a {FILE} of `detection sweep`, or remove the line{'s' * (len(faults) > 1)};"
            " nothing was changed"
        )
    return list(rows.values())


def _row(line: bytes) -> SweepRow:
    try:
        return SweepRow.from_json(line.decode())
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 text ({error.reason} at byte {error.start} of the line)") from None


def _last_line(path: Path, line: bytes, number: int) -> SweepRow | None:
    """Reads the text after the last line end: a row; or None for nothing or the beginning of a row.

    The beginning of a row is from a writer that was killed and will write the row again.

    Raises:
        DataError: it is something else, such as a line that `append` did not write, which must not be removed.
    """
    if not line.strip():
        return None
    try:
        return _row(line)
    except ValueError as error:
        if line.startswith(_BEGINNING[: len(line)]) and not line.rstrip().endswith(b"}"):
            logging.warning(
                "%s:%d: incomplete row of a sweep that was killed or is running; it is skipped", path, number
            )
            return None
        raise DataError(f"{path}:{number}: not a sweep row: {error}") from None


def _printable(value: Any) -> Any:
    """Escapes control characters in all strings of a value, since rows are shown in terminals, tables and figures."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {printable(name): _printable(item) for name, item in value.items()}
    return [_printable(item) for item in value] if isinstance(value, list) else value
