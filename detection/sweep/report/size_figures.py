"""Figures 4 and 5 of the survey: accuracy by object size, by resolution, and by the extractor's ImageNet accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from detection.sweep.frontier import points
from detection.sweep.quantities import EXTRACTORS, LARGE, MEAN_AP, MEDIUM, METAS, SMALL, extractor_name
from detection.sweep.report import plot_style
from detection.sweep.report.plot_labels import spread
from detection.sweep.report.plot_marks import NotDrawn, group, headline
from detection.sweep.results import SweepRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Top-1 accuracy on ImageNet in percent. The survey's six: Table 2 of its published version (CVPR 2017). The other
# ResNets and MobileNet v2: the README of TensorFlow's slim models, which published their checkpoints. All are of the
# published width; the headline names the depth multiplier of thinner networks.
TOP1 = {
    "vgg16": 71.0,
    "mobilenet_v1": 71.1,
    "inception_v2": 73.9,
    "resnet101": 76.4,
    "inception_v3": 78.0,
    "inception_resnet_v2": 80.4,
    "resnet50": 75.2,
    "resnet152": 76.8,
    "mobilenet_v2": 71.9,
}
_SIZES = (
    (SMALL, "small (area < 32²)", plot_style.ORANGE, "o"),
    (MEDIUM, "medium", plot_style.BLUE, "s"),
    (LARGE, "large (area > 96²)", plot_style.GREEN, "^"),
)


def by_object_size(rows: Sequence[SweepRow]) -> Figure:
    """Figure 4(a), with dots instead of bars: one panel per meta-architecture, one line per extractor.

    Shows the best row of each pair at the lowest resolution.
    """
    measured = [
        row
        for row in rows
        if row.done and MEAN_AP.read(row) is not None and any(size.read(row) is not None for size, *_ in _SIZES)
    ]
    measured = _lowest_resolution(measured)
    if not measured:
        raise NotDrawn("no row has mAP by object size")
    best = {
        pair: max(members, key=MEAN_AP.read)
        for pair, members in group(measured, lambda row: (row.meta_architecture, row.feature_extractor)).items()
    }
    metas = plot_style.ordered({meta for meta, _ in best}, METAS)
    names = plot_style.ordered({extractor for _, extractor in best}, EXTRACTORS)[::-1]
    figure, panels = plot_style.figure(1, len(metas), height=1.9 + 0.42 * len(names), sharex=True, sharey=True)
    for meta, axes in zip(metas, panels, strict=True):
        for position, extractor in enumerate(names):
            row = best.get((meta, extractor))
            values = [None if row is None else size.read(row) for size, *_ in _SIZES]
            present = [value for value in values if value is not None]
            if present:
                axes.plot([min(present), max(present)], [position, position], color="#BBBBBB", linewidth=2, zorder=1)
            for value, (_, _, color, marker) in zip(values, _SIZES, strict=True):
                if value is not None:
                    axes.plot(
                        [value],
                        [position],
                        marker=marker,
                        color=color,
                        markersize=8,
                        markeredgecolor="#333333",
                        markeredgewidth=0.6,
                        zorder=2,
                    )
        axes.set_title(METAS.get(meta, meta), loc="left")
        axes.set_yticks(range(len(names)), [extractor_name(name) for name in names])
        axes.set_ylim(-0.6, len(names) - 0.4)
        axes.set_xlabel(MEAN_AP.label)
    panels[0].set_xlim(
        0,
        1.08 * max(value for row in best.values() for size, *_ in _SIZES if (value := size.read(row)) is not None)
        or 1.0,
    )
    for axes in panels[1:]:
        axes.tick_params(axis="y", length=0)
    headline(
        figure,
        "Accuracy by size of objects",
        rows,
        list(best.values()),
        f"the best at {measured[0].resolution} px",
        timed=False,
    )
    handles = [
        plot_style.handle(label, {"marker": marker, "color": color, "linestyle": "none", "markersize": 8})
        for _, label, color, marker in _SIZES
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    return figure


def small_large(rows: Sequence[SweepRow]) -> Figure:
    """Figure 4(b): mAP of small against large objects, with a colour and marker for each resolution; SSD is hollow."""
    shown = points(rows, SMALL, LARGE)
    if not shown:
        raise NotDrawn("no row has mAP of both small and large objects; check whether the data set has such objects")
    resolutions = sorted({point.row.resolution for point in shown})
    figure, (axes,) = plot_style.figure(height=5.2)
    handles = []
    for index, resolution in enumerate(resolutions):
        color = plot_style.RESOLUTION_COLORS[index % len(plot_style.RESOLUTION_COLORS)]
        marker = plot_style.RESOLUTION_MARKERS[index % len(plot_style.RESOLUTION_MARKERS)]
        style = {"marker": marker, "markersize": 7.0, "linestyle": "none", "color": color}
        solid, hollow = (
            {**style, "markeredgecolor": "#333333", "markeredgewidth": 0.6},
            {
                **style,
                "markerfacecolor": "white",
                "markeredgewidth": 1.6,
            },
        )
        for ssd, look, words in ((False, solid, "two stages"), (True, hollow, "SSD")):
            members = [
                point
                for point in shown
                if point.row.resolution == resolution and (point.row.meta_architecture == "ssd") == ssd
            ]
            if members:
                axes.plot(
                    [point.cost for point in members],
                    [point.value for point in members],
                    alpha=0.85,
                    zorder=3,
                    clip_on=False,
                    **look,
                )
                handles.append(plot_style.handle(f"{resolution} px, {words}", look))
    axes.set_xlabel(SMALL.axis)
    axes.set_ylabel(LARGE.axis)
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    headline(figure, "Small against large objects, by resolution", rows, [point.row for point in shown], timed=False)
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 4), frameon=False)
    return figure


def by_top1(rows: Sequence[SweepRow]) -> Figure:
    """Figure 5: mAP against top-1 accuracy at the lowest resolution; lines join the best of each meta-architecture."""
    measured = [row for row in rows if row.done and MEAN_AP.read(row) is not None]
    measured = _lowest_resolution([row for row in measured if row.feature_extractor in TOP1])
    if not measured:
        raise NotDrawn("no row has mAP and an extractor whose ImageNet accuracy is known")
    figure, (axes,) = plot_style.figure(height=5.4)
    metas = plot_style.ordered({row.meta_architecture for row in measured}, METAS)
    for meta in metas:
        by_extractor = group(
            [row for row in measured if row.meta_architecture == meta],
            lambda row: (TOP1[row.feature_extractor], row.feature_extractor),
        )
        style = plot_style.meta_style(meta)
        axes.plot(
            [top1 for (top1, _), members in by_extractor.items() for _ in members],
            [MEAN_AP.read(row) for members in by_extractor.values() for row in members],
            alpha=0.35,
            **style,
        )
        best = sorted((top1, max(MEAN_AP.read(row) for row in members)) for (top1, _), members in by_extractor.items())
        line = {
            **style,
            "linestyle": "-",
            "linewidth": 1.6,
            "color": plot_style.META_COLORS.get(meta, plot_style.GREY),
            "markersize": 8.5,
        }
        axes.plot(*zip(*best, strict=True), zorder=3, **line)
    axes.set_xlabel("Top-1 accuracy of the extractor on ImageNet [%]")
    axes.set_ylabel(MEAN_AP.axis)
    axes.set_ylim(bottom=0)
    headline(
        figure,
        "Accuracy against that of the extractor",
        rows,
        measured,
        f"at {measured[0].resolution} px; lines join the best",
        timed=False,
    )
    figure.legend(
        handles=plot_style.meta_handles(set(metas), colored=True), loc="outside lower center", ncols=4, frameon=False
    )
    _name_extractors(axes, {row.feature_extractor for row in measured})
    return figure


def _name_extractors(axes: Axes, extractors: set[str]) -> None:
    """Writes the extractors' names above the axes, slanted and moved apart, each with a line to its position."""
    names = sorted(extractors, key=lambda name: (TOP1[name], name))
    low, high = axes.get_xlim()
    axes.set_xlim(low, high)
    positions = spread([TOP1[name] for name in names], 0.05 * (high - low), low, high)
    for name, position in zip(names, positions, strict=True):
        axes.axvline(TOP1[name], color="#CCCCCC", linewidth=0.8, zorder=0.5)
        line = {"color": "#999999", "linewidth": 0.8, "clip_on": False, "transform": axes.get_xaxis_transform()}
        axes.plot([TOP1[name], position], [1.0, 1.035], **line)
        axes.text(
            position,
            1.045,
            extractor_name(name),
            transform=line["transform"],
            rotation=38,
            rotation_mode="anchor",
            fontsize=9,
        )


def _lowest_resolution(rows: Sequence[SweepRow]) -> list[SweepRow]:
    """The rows of the lowest resolution; as in the survey, since all resolutions would crowd the figure."""
    lowest = min((row.resolution for row in rows), default=0)
    return [row for row in rows if row.resolution == lowest]
