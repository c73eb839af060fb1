"""Writes one self-contained HTML page of a sweep: scatter plot, best configuration within limits, table, failures.

It loads no other files. The rows are embedded as JSON; style and script are in `page_files/`. Text of rows is inserted
as text, never as markup.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from detection.errors import ConfigError, number_of
from detection.files import write_text
from detection.sweep import config_texts
from detection.sweep.quantities import EXTRACTORS, METAS, QUANTITIES, devices, milliseconds, number, title
from detection.sweep.report import plot_style
from detection.sweep.results import SweepRow

_FILES = Path(__file__).parent / "page_files"
_PARTS = ("preprocess", "first_stage", "second_stage", "postprocess")


def write(
    rows: Sequence[SweepRow],
    path: str | Path,
    *,
    results: Iterable[str | Path] = (),
    heading: str = "Speed, memory and accuracy",
) -> None:
    """Writes the page.

    Args:
        rows: of any devices; the page shows one at a time.
        path: the file to write.
        results: files or folders that the rows were read from, to find their configs; missing configs are not shown.
        heading: title of the page.

    Raises:
        ConfigError: the file cannot be written.
    """
    text = page(rows, config_texts.read(rows, results), heading)
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write_text(path, text)
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be written: {error.strerror or error}; check the path and the free space"
        ) from error


def page(rows: Sequence[SweepRow], texts: Mapping[str, str], heading: str) -> str:
    """The HTML text of the page.

    Args:
        rows: of any devices.
        texts: key of a row -> its config.
        heading: title of the page.
    """
    parts = {
        "title": html.escape(heading),
        "style": (_FILES / "page.css").read_text(encoding="utf-8").strip(),
        "script": (_FILES / "page.js").read_text(encoding="utf-8").strip(),
        "data": _embedded(_data(rows, texts)),
    }
    template = (_FILES / "page.html").read_text(encoding="utf-8")
    # In one pass, so that inserted text is not searched again.
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], template)


def _data(rows: Sequence[SweepRow], texts: Mapping[str, str]) -> dict[str, Any]:
    done = [row for row in rows if row.done]
    failed = [{"id": row.id, "title": title(row), "reason": row.reason} for row in rows if not row.done]
    names = {row.feature_extractor for row in done}
    return {
        "about": _description(done, failed),
        "devices": devices(done),
        "quantities": [
            {"name": quantity.name, "label": quantity.label, "unit": quantity.unit, "less": quantity.less_is_better}
            for quantity in QUANTITIES.values()
        ],
        "metas": METAS,
        "extractors": EXTRACTORS,
        "looks": {
            name: {"color": look.color, "fill": look.fill}
            for name, look in ((name, plot_style.look(name)) for name in sorted(names))
        },
        "rows": [_row(row, texts.get(row.key, "")) for row in sorted(done, key=_order)],
        "failed": failed,
    }


def _row(row: SweepRow, text: str) -> dict[str, Any]:
    ends = [number(row.benchmark, "milliseconds", "end_to_end", end) for end in ("low", "high")]
    parts = {name: milliseconds(row, name) for name in _PARTS}
    return {
        "id": row.id,
        "title": title(row),
        "meta": row.meta_architecture,
        "extractor": row.feature_extractor,
        "resolution": row.resolution,
        "stride": row.stride or None,
        "proposals": row.proposals,
        "device": row.device if milliseconds(row) is not None else "",
        "values": {name: _rounded(quantity.read(row)) for name, quantity in QUANTITIES.items()},
        "spread": None if None in ends else [_rounded(end) for end in ends],
        "parts": {name: _rounded(value) for name, value in parts.items() if value is not None},
        "weights": (row.train or {}).get("weights_of") or "",
        "config": row.config,
        "command": row.command,
        "text": text,
    }


def _order(row: SweepRow) -> tuple[int, int, str]:
    """Sort key: known meta-architectures and extractors in the order of the legend."""
    metas, extractors = list(METAS), list(EXTRACTORS)
    position = extractors.index(row.feature_extractor) if row.feature_extractor in extractors else len(extractors)
    return (metas.index(row.meta_architecture) if row.meta_architecture in metas else len(metas), position, row.id)


def _description(done: Sequence[SweepRow], failed: Sequence[object]) -> str:
    parts = [
        f"{number_of(len(done), 'configuration')}" + (f", {len(failed)} failed" if failed else ""),
        *devices(done),
    ]
    for key, words in (("tensorflow", "TensorFlow {}"), ("batch", "batch {}"), ("precision", "{}")):
        values = {row.benchmark[key] for row in done if row.benchmark and isinstance(row.benchmark.get(key), str | int)}
        parts += [words.format(value) for value in values] if len(values) == 1 else []
    return " · ".join([*parts, "times are medians, end to end"])


def _rounded(value: float | None) -> float | None:
    """Rounds to six digits, which is more than the precision of the measurement."""
    return None if value is None else float(f"{value:.6g}")


def _embedded(data: object) -> str:
    """JSON with <, > and & escaped, so that a string cannot end the script element."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
