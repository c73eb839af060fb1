"""Merges the parts of a sweep that ran on several machines."""

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
    """Writes `output`/results.jsonl, sorted by id, and the configs that it names.

    Of each key there is one row per device; rows that are done take precedence over failed ones. Rows that `output`
    already contains are kept, as if it were the first of the parts. Trainings are not copied: rows refer to them by
    relative paths.

    Args:
        parts: results files or folders of sweeps.
        output: folder to write.
        mixed_devices: allow rows of different devices.

    Returns:
        The merged rows.

    Raises:
        ConfigError: a part cannot be read, rows were timed on different devices (unless `mixed_devices`), or an id was
            run with different settings.
        DataError: a line is not a valid row.
    """
    if not parts:
        raise ConfigError("merge: no parts are given; usage: detection sweep merge --output=ALL PART1 PART2 ...")
    folder = Path(output)
    existing = [folder] if (folder / results.FILE).is_file() else []
    merged = sorted(results.read([*existing, *parts]), key=lambda row: (row.id, row.device))
    _check_ids(merged)
    devices = sorted({row.device for row in merged} - {""})
    if len(devices) > 1 and not mixed_devices:
        raise ConfigError(
            f"merge: times of {' and of '.join(devices)} cannot be compared; merge those of one device, or add"
            " --mixed_devices"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        rows = [_copied_to(row, folder) for row in merged]
        write_text(folder / results.FILE, "".join(f"{row.to_json()}\n" for row in rows))
    except OSError as error:
        raise ConfigError(
            f"--output={folder}: cannot be written: {error.strerror or error}; choose another folder"
        ) from None
    return rows


def _check_ids(rows: Sequence[SweepRow]) -> None:
    for row, other in itertools.pairwise(rows):
        if row.id == other.id and row.key != other.key:
            raise ConfigError(
                f"merge: {row.id} was run with other settings in {row.folder} than in {other.folder}; merge only parts"
                " of one grid with the same settings, into a folder without other rows"
            )


def _copied_to(row: SweepRow, folder: Path) -> SweepRow:
    """Copies a row's config to `folder` and changes the row's relative paths to that folder."""
    old_folder = Path(row.folder)
    if row.config:
        source, target = (inside(parent, row.config, f"row {row.id!r}: config") for parent in (old_folder, folder))
        if source.is_file() and source.resolve() != target.resolve():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    if not row.train or not row.train.get("model_dir"):
        return row
    return dataclasses.replace(
        row, train={**row.train, "model_dir": os.path.relpath(old_folder / row.train["model_dir"], folder)}
    )
