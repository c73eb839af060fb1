"""The parts of a sweep that was made on several machines, as one."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from detection.errors import ConfigError
from detection.files import write_text
from detection.sweep import results
from detection.sweep.results import Row


def merge(parts: Sequence[str], output: str | os.PathLike[str], mixed_devices: bool = False) -> list[Row]:
    """Writes `output`/results.jsonl, sorted by id, and the configs that it names; a key counts once, and one that is done before one that failed.

    Trainings stay where they are: rows name them from there.

    Raises:
        ConfigError: a part cannot be read, rows were timed on different devices (unless `mixed_devices`), or an id was run in two ways.
        DataError: a line is no row.
    """
    if not parts:
        raise ConfigError("merge: no parts are named; usage: sweep.py merge --output=ALL PART1 PART2 ...")
    chosen: dict[str, tuple[Row, Path]] = {}
    for part in parts:
        for row in results.read(part):
            before = chosen.get(row.key)
            if before is None or (row.done and not before[0].done):
                chosen[row.key] = (row, results.file_of(part).parent)
    found = sorted(chosen.values(), key=lambda one: one[0].id)
    _check_ids(found)
    devices = sorted({row.device for row, _ in found} - {""})
    if len(devices) > 1 and not mixed_devices:
        raise ConfigError(f"merge: times of {' and of '.join(devices)} cannot be compared; merge those of one device, or add --mixed_devices")
    folder = Path(output)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        rows = [_moved(row, home, folder) for row, home in found]
        write_text(folder / results.FILE, "".join(f"{row.to_json()}\n" for row in rows))
    except OSError as error:
        raise ConfigError(f"--output={folder}: cannot be written: {error.strerror or error}; choose another folder") from None
    return rows


def _check_ids(found: Sequence[tuple[Row, Path]]) -> None:
    for (row, home), (other, there) in zip(found, found[1:], strict=False):
        if row.id == other.id:
            raise ConfigError(f"merge: {row.id} was run with other settings in {home} than in {there}; merge parts of one grid, run alike")


def _moved(row: Row, home: Path, folder: Path) -> Row:
    """The row as `folder` sees it, with a copy of its config there."""
    if row.config and (home / row.config).is_file() and (home / row.config).resolve() != (folder / row.config).resolve():
        (folder / row.config).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(home / row.config, folder / row.config)
    if not row.train or "model_dir" not in row.train:
        return row
    return dataclasses.replace(row, train={**row.train, "model_dir": os.path.relpath(home / row.train["model_dir"], folder)})
