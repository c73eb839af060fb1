"""Formats metrics as tables for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from detection.errors import printable
from detection.evaluate.evaluator import PerCategory
from detection.tools.tables import aligned

_NAME_WIDTH = 32


def overall(metrics: Mapping[str, float]) -> str:
    """Formats metrics, one line per tag; tags of single categories belong in the table of `by_category`."""
    rows = [(printable(tag), number(value)) for tag, value in metrics.items()]
    wide = max((len(tag) for tag, _ in rows), default=0)
    return "\n".join(f"  {tag.ljust(wide)}  {value:>8}" for tag, value in rows)


def by_category(counts: Mapping[str, int], columns: Sequence[PerCategory]) -> str:
    """Formats metrics, one line per category that has groundtruth.

    Args:
        counts: number of groundtruth boxes by category name, in the order of the lines; a last line counts the
            categories without boxes.
        columns: metrics by category.
    """
    present = [name for name, count in counts.items() if count]
    head = ["category", "boxes", *(column.title for column in columns)]
    rows = [
        [
            _cut(name),
            str(counts[name]),
            *(number(column.values[name]) if name in column.values else "-" for column in columns),
        ]
        for name in present
    ]
    lines = [f"  {line}" for line in aligned([head, *rows], widths=(0, *[7] * (len(head) - 1)))]
    absent = len(counts) - len(present)
    if absent:
        lines.append(f"  ({absent} {'category' if absent == 1 else 'categories'} without groundtruth left out)")
    return "\n".join(lines)


def number(value: float) -> str:
    """Formats a metric with four decimals; a dash stands for -1, an undefined metric."""
    return "-" if value == -1.0 else f"{value:.4f}"


def _cut(name: str) -> str:
    name = printable(name)
    return name if len(name) <= _NAME_WIDTH else name[: _NAME_WIDTH - 1] + "…"
