"""Reads the pipeline configs of rows, which are stored beside the results, and the network widths in them."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from detection.errors import ConfigError, DataError
from detection.sweep import row_check
from detection.sweep.results import SweepRow, file_of

WIDTH = "depth_multiplier"
_WIDTH = re.compile(rf"\b{WIDTH}\s*:\s*((?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{{1,2}})?)f?(?![\w.])")
_LARGEST = 4 << 20  # bytes of a config; the longest config of the reference has 10,000


def path(row: SweepRow, results: Iterable[str | os.PathLike[str]]) -> Path | None:
    """Path of a row's config; the file need not exist. None if the row names no config.

    Args:
        row: the row.
        results: files or folders to search if the row does not say which folder it was read from.

    Raises:
        DataError: the path is outside the folder, directly or through a link: rows from files must not refer to other
            files of the user.
    """
    folders = [Path(row.folder)] if row.folder else [file_of(result).parent for result in results]
    paths = [inside(folder, row.config, f"row {row.id!r}: config") for folder in folders] if row.config else []
    return next((candidate for candidate in paths if candidate.is_file()), paths[0] if paths else None)


def inside(folder: Path, name: str, field: str) -> Path:
    """The file in `folder` that a row names.

    Args:
        folder: the folder of the results.
        name: the relative path in the row.
        field: the row and field, for the message.

    Raises:
        DataError: the path is outside the folder.
    """
    path_ = folder / name
    try:
        is_inside = row_check.is_inside(name) and path_.resolve().is_relative_to(folder.resolve())
        path_.is_file()
    except (OSError, RuntimeError):  # The name is too long, or links form a loop.
        is_inside = False
    if not is_inside:
        raise DataError(f"{folder}: {field} is {name!r}, which is outside the folder; rows name files in their folder")
    return path_


def read(rows: Iterable[SweepRow], results: Iterable[str | os.PathLike[str]]) -> dict[str, str]:
    """Reads the configs of the rows whose config exists.

    Args:
        rows: the rows.
        results: files or folders that they were read from.

    Returns:
        Key of a row -> text of its config.

    Raises:
        DataError: as in `path`, or a file is too large for a config.
        ConfigError: a file cannot be read.
    """
    results = list(results)
    paths = {row.key: path(row, results) for row in rows}
    return {name: _text(path_) for name, path_ in paths.items() if path_ is not None and path_.is_file()}


def _text(path_: Path) -> str:
    try:
        with path_.open("rb") as stream:
            data = stream.read(_LARGEST + 1)
    except OSError as error:
        raise ConfigError(
            f"{path_}: cannot be read: {error.strerror or error}; check this file, which a row names as its config"
        ) from error
    if len(data) > _LARGEST:
        raise DataError(
            f"{path_}: has more than {_LARGEST >> 20} MiB, so it is not a pipeline config; fix the row that names it"
        )
    return data.decode("utf-8", "replace")


def with_widths(rows: Iterable[SweepRow], texts: Mapping[str, str]) -> list[SweepRow]:
    """Adds an axis with the depth multiplier to rows of thinner or wider networks, so that figures and titles show it.

    Args:
        rows: the rows.
        texts: key of a row -> text of its config.
    """
    rows = list(rows)
    widths = {key: float(match[1]) for key, text in texts.items() if (match := _WIDTH.search(text))}
    changed = {row.key for row in rows if widths.get(row.key, 1.0) != 1.0 and WIDTH not in row.axes}
    return [
        dataclasses.replace(row, axes={**row.axes, WIDTH: f"{widths[row.key]:g}"}) if row.key in changed else row
        for row in rows
    ]
