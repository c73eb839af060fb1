"""The pipeline configs of rows, which lie beside their results; and the widths of networks, which only they say."""

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
_LARGEST = 4 << 20  # bytes of a config; the longest of the reference's have 10,000


def path(row: SweepRow, results: Iterable[str | os.PathLike[str]]) -> Path | None:
    """Where a row's config lies, or should: in the folder that it was read from, else in one of the results'; None
    where the row names none.

    Raises:
        DataError: it lies outside the folder, by its path or by a link in it: rows come from files, and must not name
            those of somebody else.
    """
    folders = [Path(row.folder)] if row.folder else [file_of(one).parent for one in results]
    places = [inside(folder, row.config, f"row {row.id!r}: config") for folder in folders] if row.config else []
    return next((place for place in places if place.is_file()), places[0] if places else None)


def inside(folder: Path, name: str, field: str) -> Path:
    """The file in `folder` that a row names.

    Raises DataError, beginning with the folder and `field`, where it would be another one.
    """
    place = folder / name
    try:
        is_inside = row_check.is_inside(name) and place.resolve().is_relative_to(folder.resolve())
        place.is_file()
    except (OSError, RuntimeError):  # A name that is too long for the folder; links that lead to each other.
        is_inside = False
    if not is_inside:
        raise DataError(f"{folder}: {field} is {name!r}, which lies elsewhere; rows name files in their own folder")
    return place


def read(rows: Iterable[SweepRow], results: Iterable[str | os.PathLike[str]]) -> dict[str, str]:
    """Key -> text of the config, of the rows whose config is there.

    Raises:
        DataError: as `path`; or the file is no config, by its size. ConfigError: it cannot be read.
    """
    results = list(results)
    found = {row.key: path(row, results) for row in rows}
    return {name: _text(place) for name, place in found.items() if place is not None and place.is_file()}


def _text(place: Path) -> str:
    try:
        with place.open("rb") as stream:
            data = stream.read(_LARGEST + 1)
    except OSError as error:
        raise ConfigError(
            f"{place}: cannot be read: {error.strerror or error}; check the file, which a row names as its config"
        ) from error
    if len(data) > _LARGEST:
        raise DataError(
            f"{place}: has more than {_LARGEST >> 20} MiB, so it is no pipeline config; correct the row that names it"
        )
    return data.decode("utf-8", "replace")


def with_widths(rows: Iterable[SweepRow], texts: Mapping[str, str]) -> list[SweepRow]:
    """Rows of networks that are thinner or wider than published say so on an axis, so that no figure or title passes
    them off as the whole ones.
    """
    rows = list(rows)
    widths = {key: float(found[1]) for key, text in texts.items() if (found := _WIDTH.search(text))}
    thin = {row.key for row in rows if widths.get(row.key, 1.0) != 1.0 and WIDTH not in row.axes}
    return [
        dataclasses.replace(row, axes={**row.axes, WIDTH: f"{widths[row.key]:g}"}) if row.key in thin else row
        for row in rows
    ]
