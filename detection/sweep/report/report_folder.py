"""Writes the report of a sweep as a folder: `README.md`, figures, and the page `index.html`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from detection.errors import ConfigError
from detection.files import write_text
from detection.sweep import config_texts
from detection.sweep.report import figures, page, readme
from detection.sweep.results import SweepRow


class WrittenReport(NamedTuple):
    """The result of `write`."""

    paths: list[Path]
    left_out: dict[str, str]  # omitted figure -> reason


def write(
    rows: Sequence[SweepRow],
    output: str | os.PathLike[str],
    *,
    results: Sequence[str] = (),
    command: str = "",
    heading: str = "A sweep",
) -> WrittenReport:
    """Writes the report.

    Args:
        rows: of one device.
        output: the folder.
        results: files or folders that they were read from, with the configs beside them.
        command: the command that makes this report, to be shown in it.
        heading: its title.

    Raises:
        ConfigError: there is no row, matplotlib is not installed, or the folder cannot be written.
    """
    if not rows:
        raise ConfigError(
            f"--results={', '.join(results)}: no rows; let `detection sweep` finish a configuration first"
        )
    folder = Path(output)
    rows = config_texts.with_widths(rows, config_texts.read(rows, results))
    drawn = figures.draw(rows, folder / "figures")
    page.write(rows, folder / "index.html", results=results, heading=heading)
    text = readme.markdown(rows, drawn, command=command, heading=heading)
    try:
        write_text(folder / "README.md", text)
    except OSError as error:
        raise ConfigError(
            f"--output={folder}: cannot be written: {error.strerror or error}; check the path and the free space"
        ) from error
    return WrittenReport([folder / "README.md", folder / "index.html", *drawn.paths], drawn.left_out)
