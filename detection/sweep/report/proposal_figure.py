"""Figure 6 of the survey: accuracy and time by number of proposals, for each two-stage meta-architecture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from detection.sweep.quantities import MEAN_AP, METAS, TIME, Quantity, other_axes
from detection.sweep.report import plot_style
from detection.sweep.report.plot_marks import NotDrawn, group, headline, log_axis
from detection.sweep.results import SweepRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def by_proposals(rows: Sequence[SweepRow]) -> Figure:
    """Figure 6: mAP above, time below, one column of panels per meta-architecture, one line per extractor.

    Shows the highest resolution and the largest stride of each extractor.
    """
    lines = _lines(rows)
    if not lines:
        raise NotDrawn("no two rows differ only in the number of proposals")
    shown = [row for line in lines.values() for row in line]
    quantities = [quantity for quantity in (MEAN_AP, TIME) if any(quantity.read(row) is not None for row in shown)]
    metas = plot_style.ordered({meta for meta, *_ in lines}, METAS)
    figure, panels = plot_style.figure(
        len(quantities), len(metas), height=1.5 + 2.7 * len(quantities), sharex=True, sharey="row"
    )
    for index, axes in enumerate(panels):
        meta, quantity = metas[index % len(metas)], quantities[index // len(metas)]
        own_lines = {key: line for key, line in lines.items() if key[0] == meta}
        _panel(axes, own_lines, quantity)
        if index < len(metas):
            axes.set_title(METAS.get(meta, meta), loc="left")
        if index % len(metas) == 0:
            axes.set_ylabel(quantity.axis)
    _scales(panels, len(metas), quantities, shown)
    strides = "/".join(str(stride) for stride in sorted({row.stride for row in shown}))
    headline(
        figure,
        "Fewer proposals: accuracy and time" if MEAN_AP in quantities else "Fewer proposals: time",
        rows,
        shown,
        f"{shown[0].resolution} px, stride {strides}",
    )
    figure.legend(
        handles=plot_style.extractor_handles({row.feature_extractor for row in shown}, lines=True),
        loc="outside lower center",
        ncols=4,
        frameon=False,
        columnspacing=1.4,
    )
    return figure


def _lines(rows: Sequence[SweepRow]) -> dict[tuple, list[SweepRow]]:
    """The rows of each line, by meta-architecture, extractor, stride and the other axes."""
    timed = [
        row
        for row in rows
        if row.done and row.proposals is not None and (TIME.read(row) is not None or MEAN_AP.read(row) is not None)
    ]
    highest = max((row.resolution for row in timed), default=0)
    lines = {
        key: line
        for key, line in group([row for row in timed if row.resolution == highest], _line).items()
        if len({row.proposals for row in line}) > 1
    }
    coarsest: dict[tuple, int] = {}
    for meta, extractor, stride, _ in lines:
        coarsest[meta, extractor] = max(stride, coarsest.get((meta, extractor), 0))
    return {key: line for key, line in lines.items() if key[2] == coarsest[key[:2]]}


def _scales(panels: Sequence[Axes], columns: int, quantities: Sequence[Quantity], shown: Sequence[SweepRow]) -> None:
    """Sets the shared axes: a tick for each number of proposals; mAP from 0, time logarithmic."""
    counts = sorted({row.proposals for row in shown})
    for axes in panels:
        axes.set_xticks(counts, [str(count) for count in counts], minor=False)
        axes.set_xticks([], minor=True)
    for axes in panels[-columns:]:
        axes.set_xlabel("Proposals")
    for quantity, panel in zip(quantities, panels[::columns], strict=True):
        values = [value for row in shown if (value := quantity.read(row)) is not None]
        if quantity is TIME:
            log_axis(panel.yaxis, values)
        else:
            panel.set_ylim(0, 1.1 * max(values) or 1.0)


def _line(row: SweepRow) -> tuple:
    return row.meta_architecture, row.feature_extractor, row.stride, tuple(other_axes(row).items())


def _panel(axes: Axes, lines: dict[tuple, list[SweepRow]], quantity: Quantity) -> None:
    axes.set_xscale("log")
    for (_, extractor, _, _), line in lines.items():
        pairs = sorted((row.proposals, quantity.read(row)) for row in line if quantity.read(row) is not None)
        axes.plot(
            *zip(*pairs, strict=True) if pairs else ([], []),
            linestyle="-" if quantity is MEAN_AP else ":",
            linewidth=1.7,
            **plot_style.line_style(extractor),
        )
