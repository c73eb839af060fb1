"""Draws the survey's figures (Huang et al. 2017, section 4) from the rows of a sweep, as PNG and SVG.

| file | paper | shows |
|---|---|---|
| `fig2a_map_time_meta`, `fig2b_map_time_extractor` | Figure 2 | mAP against time, frontier, critical points |
| `fig3_memory_time` | Figure 3 | peak memory against time |
| `fig4a_object_size` | Figure 4(a) | mAP by size of objects, meta-architecture and extractor, low resolution |
| `fig4b_small_large` | Figure 4(b) | mAP of small against large objects, by resolution |
| `fig5_top1` | Figure 5 | mAP against the extractor's accuracy on ImageNet, low resolution |
| `fig6_proposals` | Figure 6 | the number of proposals against mAP and time, high resolution |

A figure whose numbers are missing in the rows is omitted, with the reason.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from detection.errors import ConfigError
from detection.sweep.frontier import critical, frontier, points
from detection.sweep.quantities import MEAN_AP, MEMORY, TIME, extractor_name, meta_name, number
from detection.sweep.report import plot_style, size_figures
from detection.sweep.report.plot_labels import annotate
from detection.sweep.report.plot_marks import NotDrawn, headline, log_axis, outer_legend, scatter
from detection.sweep.report.proposal_figure import by_proposals
from detection.sweep.results import SweepRow

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class DrawnFigures(NamedTuple):
    """The result of `draw`."""

    paths: list[Path]  # in the order of the paper
    left_out: dict[str, str]  # omitted figure -> reason


def draw(rows: Sequence[SweepRow], folder: str | os.PathLike[str]) -> DrawnFigures:
    """Draws all figures for which the rows have the numbers.

    Args:
        rows: of one device.
        folder: where to write the files.

    Raises:
        ConfigError: matplotlib is not installed, or the folder cannot be written.
    """
    folder = Path(folder)
    paths: list[Path] = []
    omitted: dict[str, str] = {}
    with plot_style.settings():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, make in FIGURES.items():
                try:
                    paths += plot_style.save(make(rows), folder / name)
                except NotDrawn as reason:
                    omitted[name] = str(reason)
        except OSError as error:
            raise ConfigError(
                f"{folder}: cannot write figures: {error.strerror or error}; check the path and the free space"
            ) from error
    return DrawnFigures(paths, omitted)


def map_time_meta(rows: Sequence[SweepRow]) -> Figure:
    """Figure 2(a): mAP against time, with colour and marker of the meta-architecture."""
    return _map_time(rows, colored_by_meta=True)


def map_time_extractor(rows: Sequence[SweepRow]) -> Figure:
    """Figure 2(b): the same points, with the colour of the extractor and the marker of the meta-architecture."""
    return _map_time(rows, colored_by_meta=False)


def memory_time(rows: Sequence[SweepRow]) -> Figure:
    """Figure 3: memory against time."""
    shown = points(rows, TIME, MEMORY)
    if not shown:
        raise NotDrawn("no row has both time and memory")
    figure, (axes,) = plot_style.figure(height=5.4)
    scatter(axes, shown, colored_by_meta=False)
    log_axis(axes.xaxis, [point.cost for point in shown])
    log_axis(axes.yaxis, [point.value for point in shown])
    axes.set_xlabel(f"{TIME.axis}, median")
    owner = (
        "of the accelerator"
        if any(number(point.row.benchmark, "device_mib") is not None for point in shown)
        else "of the process"
    )
    axes.set_ylabel(f"{MEMORY.label} {owner} [{MEMORY.unit}]")
    headline(figure, "Memory against time", rows, [point.row for point in shown])
    outer_legend(figure, [point.row for point in shown], colored_by_meta=False)
    return figure


def _map_time(rows: Sequence[SweepRow], *, colored_by_meta: bool) -> Figure:
    shown = points(rows)
    if not shown:
        raise NotDrawn("no row has both mAP and time")
    figure, (axes,) = plot_style.figure(height=5.4)
    scatter(axes, shown, colored_by_meta=colored_by_meta)
    frontier_points = frontier(shown)
    if len(frontier_points) > 1:
        axes.plot(
            [point.cost for point in frontier_points],
            [point.value for point in frontier_points],
            color="#333333",
            linewidth=1.4,
            linestyle="--",
            zorder=1.5,
        )
    log_axis(axes.xaxis, [point.cost for point in shown])
    low, high = axes.get_ylim()
    axes.set_ylim(max(0.0, low), high + 0.26 * (high - low))  # Space for labels above the frontier.
    axes.set_xlabel(f"{TIME.axis}, median")
    axes.set_ylabel(MEAN_AP.axis)
    colored_by = "meta-architecture" if colored_by_meta else "feature extractor"
    headline(figure, f"Accuracy against time, by {colored_by}", rows, [point.row for point in shown])
    outer_legend(
        figure, [point.row for point in shown], colored_by_meta=colored_by_meta, with_frontier=len(frontier_points) > 1
    )
    annotate(
        axes,
        [
            (point.cost, point.value, f"{name}:\n{_short(point.row)}")
            for name, point in critical(frontier_points).named()
        ],
        _obstacles(shown, frontier_points),
    )
    return figure


def _short(row: SweepRow) -> str:
    """The text of a label, two lines."""
    details = [f"{row.resolution} px"] if row.resolution else []
    details += [f"stride {row.stride}"] if row.stride and row.proposals is not None else []
    details += [f"{row.proposals} proposals"] if row.proposals is not None else []
    return f"{meta_name(row)} {extractor_name(row.feature_extractor)}" + (f"\n{', '.join(details)}" if details else "")


def _obstacles(shown, frontier_points):
    """Points that labels should not cover: all configurations, and samples of the frontier between them."""
    import numpy as np

    positions = [(point.cost, point.value) for point in shown]
    for first, second in itertools.pairwise(frontier_points):
        share = np.linspace(0, 1, 12)
        x = (
            np.exp(np.log(first.cost) + share * np.log(second.cost / first.cost))
            if first.cost > 0
            else first.cost + share * (second.cost - first.cost)
        )
        positions += list(zip(x, first.value + share * (second.value - first.value), strict=True))
    return np.array(positions, dtype=float).reshape(-1, 2)


FIGURES: dict[str, Callable[[Sequence[SweepRow]], Figure]] = {
    "fig2a_map_time_meta": map_time_meta,
    "fig2b_map_time_extractor": map_time_extractor,
    "fig3_memory_time": memory_time,
    "fig4a_object_size": size_figures.by_object_size,
    "fig4b_small_large": size_figures.small_large,
    "fig5_top1": size_figures.by_top1,
    "fig6_proposals": by_proposals,
}
