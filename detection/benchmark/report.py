"""Formats and stores benchmark rows: tables, JSON, and a results file to which rows are appended.

Times on different devices are not comparable, so a table or file has rows of one device only, unless that is allowed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from detection import json_text
from detection.benchmark import row_check
from detection.benchmark.rows import END_TO_END, FIRST, NETWORK, POSTPROCESS, PREPROCESS, SECOND, BenchmarkRow
from detection.errors import ConfigError, DataError
from detection.tools.tables import aligned

_PARTS = (PREPROCESS, FIRST, SECOND, NETWORK, POSTPROCESS, END_TO_END)
_REPORTED = 10  # damaged lines that an error message quotes; the others are counted
_HEADER = (
    "detector",
    "size",
    "ms",
    "10 % to 90 %",
    "mean, std",
    "pre",
    "first",
    "second",
    "post",
    "outside",
    "images/s",
    "M",
    "GFLOPs",
    "MiB",
    "found",
)


def to_json(rows: Sequence[BenchmarkRow]) -> str:
    """JSON of the rows: one row as an object, several as a list."""
    return json.dumps(rows[0] if len(rows) == 1 else list(rows), indent=2) + "\n"


def save(text: str, path: str) -> None:
    """Writes a report. Raises ConfigError, naming the file, if that fails."""
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--json={path}: cannot be written: {error.strerror or error}; check the path") from error


def append(path: str, row: BenchmarkRow) -> None:
    """Appends a complete line to a results file. Raises ConfigError, naming the file, if that fails."""
    try:
        with Path(path).open("a+b") as stream:
            end = stream.seek(0, os.SEEK_END)
            stream.seek(max(end - 1, 0))
            unfinished = stream.read(1) not in (b"", b"\n")  # An editor may have removed the last line end.
            stream.write(b"\n" * unfinished + json.dumps(row).encode() + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise ConfigError(f"--results={path}: cannot be written: {error.strerror or error}; check the path") from error


def read(path: str) -> list[BenchmarkRow]:
    """Reads the rows of a results file; empty if the file does not exist yet.

    Raises:
        ConfigError: the file cannot be read.
        DataError: a line is not a valid row; names every such line and its fault. The file is not changed.
    """
    try:
        lines = Path(path).read_bytes().splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ConfigError(
            f"--results={path}: cannot be read: {error.strerror or error}; give a file that `detection benchmark` wrote"
        ) from error
    rows, damaged = [], []
    for number, line in enumerate(lines, start=1):
        try:
            row = json_text.parse(line, allow_nan=True)
            faults = "; ".join(row_check.problems(row))
        except ValueError as error:
            row, faults = None, str(error)
        if faults:
            damaged.append(f"line {number}: not a benchmark row ({faults})")
        rows.append(row)
    if damaged:
        more = f"; and {len(damaged) - _REPORTED} more lines" if len(damaged) > _REPORTED else ""
        raise DataError(
            f"--results={path}, {'; '.join(damaged[:_REPORTED])}{more}; remove the line{'s' * (len(damaged) > 1)};"
            " nothing was changed"
        )
    return rows


def check_devices(rows: Sequence[BenchmarkRow], device: str | None, where: str) -> None:
    """Raises ConfigError if rows are of several devices.

    Args:
        rows: the rows.
        device: of a measurement that will be added; None if there is none.
        where: beginning of the error message.

    Raises:
        ConfigError: there are several devices.
    """
    devices = sorted({*(row["device"] for row in rows), *([device] if device else [])})
    if len(devices) > 1:
        raise ConfigError(
            f"{where}: times on {' and '.join(devices)} are not comparable; use a file for each, or pass"
            " --allow_mixed_devices"
        )


def name(row: BenchmarkRow) -> str:
    """The name of a row in a table: its file and its overrides."""
    file_name = Path(row["config"]).stem if row["config"] else row["saved_model"]
    settings = " ".join(setting.rpartition(".")[2] for setting in row["overrides"])
    proposals = f"{row['proposals_given']} proposals given" if row["proposals_given"] else ""
    return " ".join(filter(None, (file_name, settings, proposals)))


def text(rows: Sequence[BenchmarkRow]) -> str:
    """Formats one row in full, or several as a table."""
    return _details(rows[0]) if len(rows) == 1 else _comparison(rows)


def _details(row: BenchmarkRow) -> str:
    times = row["milliseconds"]
    lines = [f"{name(row)}, {_weights(row)}"]
    lines.append(
        f"{row['input']} -> network {row['network_input']}, {row['precision']}, on {row['device']}, TensorFlow"
        f" {row['tensorflow']}{_load(row)}"
    )
    lines.append(f"{_images(row)}, after {row['warmup']} to warm up")
    lines += [
        "",
        f"{'':14}{'median':>9}{'10 %':>9}{'90 %':>9}{'mean':>9}{'std':>9}   ms{' a batch' * (row['batch'] > 1)}",
    ]
    for part in _PARTS:
        # With a single stage, the first stage is the network.
        if times[part] is not None and not (part == FIRST and times[SECOND] is None):
            numbers = "".join(f"{times[part][key]:9.2f}" for key in ("median", "low", "high", "mean", "std"))
            lines.append(f"{part.replace('_', ' '):14}{numbers}")
    device = "" if row["device_mib"] is None else f", device {row['device_mib']:.0f} MiB"
    held_memory = "" if row["held_host_mib"] is None else f"; {row['held_host_mib']:.0f} held from then on"
    proposals = (
        f", {row['proposals_given']} proposals an image given, whose making is not timed"
        if row["proposals_given"]
        else ""
    )
    lines += [
        "",
        (
            f"outside network  {100 * row['outside_network']:.1f} % of the whole   ({row['images_per_second']:.1f}"
            " images/s)"
        ),
        *(
            [f"postprocessing   {100 * row['postprocess_share']:.1f} % of the whole"]
            if "postprocess_share" in row
            else []
        ),
        f"found            {row['detections']:.0f} detections an image{proposals}",
        f"parameters       {row['parameters']:,} (batch norm folded)",
        f"operations       {_gflops(row)} GFLOPs, two per multiply-add; not counted: {row['not_counted']}",
        (
            f"memory           peak {row['host_mib']:.0f} MiB while loaded and run once, the model"
            f" {row['model_host_mib']:.0f} of it{held_memory}{device}"
        ),
        f"files            {row['file_mib']:.1f} MiB",
    ]
    return "\n".join(lines)


def _comparison(rows: Sequence[BenchmarkRow]) -> str:
    """A table of the rows, below one line for each machine that they were measured on."""
    machines = dict.fromkeys(f"{row['device']}, TensorFlow {row['tensorflow']}, {row['precision']}" for row in rows)
    mixed = len({row["device"] for row in rows}) > 1
    cells = [[*_HEADER, *(["device"] if mixed else [])]]
    cells += [[*_cells(row), *([row["device"]] if mixed else [])] for row in rows]
    explanation = (
        "ms per batch (median); pre, first, second, post: medians of the parts; outside: share of the total time"
        " outside the network"
    )
    skipped = "; ".join(dict.fromkeys(row["not_counted"] for row in rows))
    return "\n".join(
        [
            *machines,
            "",
            *aligned(cells),
            "",
            explanation,
            f"MiB: peak of the process, or of the accelerator; GFLOPs do not count {skipped}",
        ]
    )


def _cells(row: BenchmarkRow) -> list[str]:
    times = row["milliseconds"]
    end_to_end = times[END_TO_END]
    side = row["size"] if isinstance(row["size"], list) else [row["size"], row["size"]]
    size = f"{row['batch']} x {side[0]} x {side[1]}" if row["batch"] > 1 else f"{side[0]} x {side[1]}"
    return [
        name(row),
        size,
        f"{end_to_end['median']:.1f}",
        f"{end_to_end['low']:.1f} to {end_to_end['high']:.1f}",
        f"{end_to_end['mean']:.1f}, {end_to_end['std']:.1f}",
        *(f"{times[part]['median']:.1f}" if times[part] else "-" for part in (PREPROCESS, FIRST, SECOND, POSTPROCESS)),
        f"{100 * row['outside_network']:.1f} %",
        f"{row['images_per_second']:.1f}",
        f"{row['parameters'] / 1e6:.1f}",
        _gflops(row),
        f"{row['host_mib'] if row['device_mib'] is None else row['device_mib']:.0f}",
        f"{row['detections']:.0f}",
    ]


def _gflops(row: BenchmarkRow) -> str:
    return "?" if row["gflops"] is None else f"{row['gflops']:.2f}"


def _weights(row: BenchmarkRow) -> str:
    if not row["config"]:
        return "as exported"
    return f"weights of {row['checkpoint']}" if row["checkpoint"] else "random weights"


def _images(row: BenchmarkRow) -> str:
    kind = "noise" if row["noise"] else f"{row['distinct_images']} pictures"
    return f"{row['images']} images of {kind}, {row['batch']} at a time"


def _load(row: dict[str, Any]) -> str:
    load = row["load_average"]
    return "" if load is None else f", load {load:.1f} on {row['cpus']} cores"
