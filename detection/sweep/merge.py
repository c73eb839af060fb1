"""The parts of a sweep that was made on several machines, as one."""

from __future__ import annotations

import dataclasses
import itertools
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from detection.errors import ConfigError
from detection.files import write_text
from detection.sweep import results
from detection.sweep.config_texts import inside
from detection.sweep.results import SweepRow


def merge(parts: Sequence[str], output: str | os.PathLike[str], mixed_devices: bool = False) -> list[SweepRow]:
    """Writes `output`/results.jsonl, sorted by id, and the configs that it names; a key counts once a device, and one
    that is done before one that failed. Rows that `output` holds already stay, as if it were the first of the parts.

    Trainings stay where they are: rows name them from there.

    Raises:
        ConfigError: a part cannot be read, rows were timed on different devices (unless `mixed_devices`), or an id was
            run in two ways.
        DataError: a line is no row.
    """
    if not parts:
        raise ConfigError("merge: no parts are named; usage: detection sweep merge --output=ALL PART1 PART2 ...")
    folder = Path(output)
    here = [folder] if (folder / results.FILE).is_file() else []
    found = sorted(results.read([*here, *parts]), key=lambda row: (row.id, row.device))
    _check_ids(found)
    devices = sorted({row.device for row in found} - {""})
    if len(devices) > 1 and not mixed_devices:
        raise ConfigError(
            f"merge: times of {' and of '.join(devices)} cannot be compared; merge those of one device, or add"
            " --mixed_devices"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        rows = [_moved(row, folder) for row in found]
        write_text(folder / results.FILE, "".join(f"{row.to_json()}\n" for row in rows))
    except OSError as error:
        raise ConfigError(
            f"--output={folder}: cannot be written: {error.strerror or error}; choose another folder"
        ) from None
    return rows


def _check_ids(found: Sequence[SweepRow]) -> None:
    for row, other in itertools.pairwise(found):
        if row.id == other.id and row.key != other.key:
            raise ConfigError(
                f"merge: {row.id} was run with other settings in {row.folder} than in {other.folder}; merge parts of"
                " one grid, run alike, into a folder that holds no other"
            )


def _moved(row: SweepRow, folder: Path) -> SweepRow:
    """The row as `folder` sees it, with a copy of its config there."""
    home = Path(row.folder)
    if row.config:
        source, target = (inside(place, row.config, f"row {row.id!r}: config") for place in (home, folder))
        if source.is_file() and source.resolve() != target.resolve():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    if not row.train or not row.train.get("model_dir"):
        return row
    return dataclasses.replace(
        row, train={**row.train, "model_dir": os.path.relpath(home / row.train["model_dir"], folder)}
    )
