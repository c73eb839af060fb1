"""The pipeline configs of rows, which lie beside their results; and the widths of networks, which only they say."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from detection.sweep.results import Row, file_of

WIDTH = "depth_multiplier"
_WIDTH = re.compile(rf"\b{WIDTH}\s*:\s*([0-9.eE+-]+)")


def path(row: Row, results: Iterable[str | os.PathLike[str]]) -> Path | None:
    """Where a row's config lies, or should: in the folder that it was read from, else in one of the results'; None where the row names none."""
    folders = [Path(row.folder)] if row.folder else [file_of(one).parent for one in results]
    places = [folder / row.config for folder in folders] if row.config else []
    return next((place for place in places if place.is_file()), places[0] if places else None)


def read(rows: Iterable[Row], results: Iterable[str | os.PathLike[str]]) -> dict[str, str]:
    """Key -> text of the config, of the rows whose config is there."""
    results = list(results)
    found = {row.key: path(row, results) for row in rows}
    return {name: place.read_text(encoding="utf-8", errors="replace") for name, place in found.items() if place is not None and place.is_file()}


def with_widths(rows: Iterable[Row], texts: Mapping[str, str]) -> list[Row]:
    """Rows of networks that are thinner or wider than published say so on an axis, so that no figure or title passes them off as the whole ones."""
    rows = list(rows)
    widths = {key: float(found[1]) for key, text in texts.items() if (found := _WIDTH.search(text))}
    thin = {row.key for row in rows if widths.get(row.key, 1.0) != 1.0 and WIDTH not in row.axes}
    return [dataclasses.replace(row, axes={**row.axes, WIDTH: f"{widths[row.key]:g}"}) if row.key in thin else row for row in rows]
