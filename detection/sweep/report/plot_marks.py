"""What several figures draw: scattered configurations, headlines, logarithmic axes, legends."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from detection.errors import number_of
from detection.sweep.config_texts import WIDTH
from detection.sweep.frontier import Point
from detection.sweep.quantities import devices, number
from detection.sweep.report import plot_style
from detection.sweep.results import SweepRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure


_CHARACTERS = 118  # of the second line of a headline, in a width of 8 inches


class NotDrawn(Exception):
    """The rows lack what a figure shows; the message says what."""


def group(rows: Iterable[SweepRow], key) -> dict[tuple, list[SweepRow]]:
    """Rows by the value of `key`, in order of first appearance."""
    groups: dict[tuple, list[SweepRow]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def scatter(axes: Axes, found: Sequence[Point], *, colored_by_meta: bool) -> None:
    """One marker a configuration; those in front do not hide the others wholly."""
    for (meta, extractor), rows in group(
        (point.row for point in found), lambda row: (row.meta_architecture, row.feature_extractor)
    ).items():
        ids = {row.id for row in rows}
        here = [point for point in found if point.row.id in ids]
        style = plot_style.meta_style(meta) if colored_by_meta else plot_style.scatter_style(meta, extractor)
        axes.plot([point.cost for point in here], [point.value for point in here], alpha=0.85, zorder=2, **style)


def headline(
    made: Figure,
    text: str,
    rows: Sequence[SweepRow],
    shown: Sequence[SweepRow],
    remark: str = "",
    *,
    timed: bool = True,
) -> None:
    """The title; under it how many are shown, how they were measured (with `timed`, on what), and how many are missing."""
    parts = devices(shown) if timed else []
    for key, words in (("batch", "batch {}"), ("images", "{} images timed")) if timed else ():
        values = {number(row.benchmark, key) for row in shown} - {None}
        parts += [words.format(f"{value:.0f}") for value in values] if len(values) == 1 else []
    evaluated = {row.images_evaluated for row in shown}
    if not timed and len(evaluated) == 1:
        parts += [number_of(count, "image") + " evaluated" for count in evaluated]
    parts += [number_of(len(shown), "configuration")]
    parts += [remark] if remark else []
    failed = sum(not row.done for row in rows)
    parts += [f"{failed} failed"] if failed else []
    widths = sorted({row.axes[WIDTH] for row in shown if WIDTH in row.axes})
    parts += [f"depth multiplier {' or '.join(widths)}"] if widths else []
    lines = textwrap.wrap(" · ".join(parts), _CHARACTERS)
    height = made.get_figheight()
    room = 0.4 + 0.17 * len(lines)  # inches
    made.get_layout_engine().set(
        rect=(0, 0, 1, 1 - room / height)
    )  # The layout keeps no room for a second line of its own.
    made.text(0.012, 1 - 0.1 / height, text, fontsize=13, fontweight="bold", va="top")
    made.text(0.012, 1 - 0.36 / height, "\n".join(lines), fontsize=9, color="#555555", va="top")


def log_axis(axis: Axis, values: Sequence[float]) -> None:
    """A logarithmic axis with plain numbers, enough of them to read values off; linear where a value is not positive."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    low, high = min(values), max(values)
    if low <= 0:
        return
    decades = math.log10(high / low)
    getattr(axis.axes, f"set_{axis.axis_name}scale")("log")
    margin = 10 ** max(0.06 * decades, 0.03)
    getattr(axis.axes, f"set_{axis.axis_name}lim")(low / margin, high * margin)
    if decades < 0.5:
        axis.set_major_locator(MaxNLocator(6))
    else:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades > 0.9 else (1, 1.5, 2, 3, 4, 5, 6, 8), numticks=20))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axis.set_minor_formatter(NullFormatter())


def outer_legend(made: Figure, rows: Sequence[SweepRow], *, colored_by_meta: bool, with_frontier: bool = False) -> None:
    """Below the figure, where it covers nothing."""
    metas, extractors = {row.meta_architecture for row in rows}, {row.feature_extractor for row in rows}
    handles = plot_style.meta_handles(metas, colored=colored_by_meta)
    handles += [] if colored_by_meta else plot_style.extractor_handles(extractors)
    if with_frontier:
        handles.append(
            plot_style.handle("optimality frontier", {"color": "#333333", "linewidth": 1.4, "linestyle": "--"})
        )
    made.legend(
        handles=handles,
        loc="outside lower center",
        ncols=min(len(handles), 5),
        frameon=False,
        columnspacing=1.4,
        handletextpad=0.5,
    )
