"""Elements of several figures: scatter plots of configurations, headlines, logarithmic axes, legends."""

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


_CHARACTERS = 118  # per line of a headline's second part, for a width of 8 inches


class NotDrawn(Exception):
    """The rows do not have the numbers for a figure; the message says which."""


def group(rows: Iterable[SweepRow], key) -> dict[tuple, list[SweepRow]]:
    """Rows by the value of `key`, in order of first appearance."""
    groups: dict[tuple, list[SweepRow]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def scatter(axes: Axes, points: Sequence[Point], *, colored_by_meta: bool) -> None:
    """Draws one marker for each configuration; they are slightly transparent.

    Args:
        axes: where to draw.
        points: the configurations.
        colored_by_meta: colour by meta-architecture, otherwise by extractor.
    """
    for (meta, extractor), rows in group(
        (point.row for point in points), lambda row: (row.meta_architecture, row.feature_extractor)
    ).items():
        ids = {row.id for row in rows}
        members = [point for point in points if point.row.id in ids]
        style = plot_style.meta_style(meta) if colored_by_meta else plot_style.scatter_style(meta, extractor)
        axes.plot([point.cost for point in members], [point.value for point in members], alpha=0.85, zorder=2, **style)


def headline(
    figure: Figure,
    text: str,
    rows: Sequence[SweepRow],
    shown: Sequence[SweepRow],
    remark: str = "",
    *,
    timed: bool = True,
) -> None:
    """Writes the title and, below it, the number of configurations and how they were measured.

    Args:
        figure: the figure.
        text: the title.
        rows: all rows, of which the failed ones are counted.
        shown: the rows in the figure.
        remark: additional text.
        timed: the figure shows times, so name the device.
    """
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
    height = figure.get_figheight()
    top_inches = 0.4 + 0.17 * len(lines)  # inches
    # The layout does not reserve space for text of a figure.
    figure.get_layout_engine().set(rect=(0, 0, 1, 1 - top_inches / height))
    figure.text(0.012, 1 - 0.1 / height, text, fontsize=13, fontweight="bold", va="top")
    figure.text(0.012, 1 - 0.36 / height, "\n".join(lines), fontsize=9, color="#555555", va="top")


def log_axis(axis: Axis, values: Sequence[float]) -> None:
    """Makes an axis logarithmic, with enough plain numbers as ticks; keeps it linear if a value is not positive."""
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


def outer_legend(
    figure: Figure, rows: Sequence[SweepRow], *, colored_by_meta: bool, with_frontier: bool = False
) -> None:
    """Draws the legend below the figure."""
    metas, extractors = {row.meta_architecture for row in rows}, {row.feature_extractor for row in rows}
    handles = plot_style.meta_handles(metas, colored=colored_by_meta)
    handles += [] if colored_by_meta else plot_style.extractor_handles(extractors)
    if with_frontier:
        handles.append(
            plot_style.handle("optimality frontier", {"color": "#333333", "linewidth": 1.4, "linestyle": "--"})
        )
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=min(len(handles), 5),
        frameon=False,
        columnspacing=1.4,
        handletextpad=0.5,
    )
