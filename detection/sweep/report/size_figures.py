"""Figures 4 and 5 of the survey: accuracy by the size of objects, by resolution, and by the extractor's accuracy on
ImageNet.
"""

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
# ResNets and MobileNet v2: the README of TensorFlow's slim models, whose checkpoints they are. All as published; of
# thinner networks the headline says how thin.
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
    """Figure 4(a), as dots in place of bars: a panel a meta-architecture, a line an extractor; of each pair its best
    row at the lowest resolution.
    """
    have = [
        row
        for row in rows
        if row.done and MEAN_AP.read(row) is not None and any(size.read(row) is not None for size, *_ in _SIZES)
    ]
    have = _lowest_resolution(have)
    if not have:
        raise NotDrawn("no row has mAP by object size")
    best = {
        pair: max(of, key=MEAN_AP.read)
        for pair, of in group(have, lambda row: (row.meta_architecture, row.feature_extractor)).items()
    }
    metas = plot_style.ordered({meta for meta, _ in best}, METAS)
    names = plot_style.ordered({extractor for _, extractor in best}, EXTRACTORS)[::-1]
    made, panels = plot_style.figure(1, len(metas), height=1.9 + 0.42 * len(names), sharex=True, sharey=True)
    for meta, axes in zip(metas, panels, strict=True):
        for place, extractor in enumerate(names):
            row = best.get((meta, extractor))
            values = [None if row is None else size.read(row) for size, *_ in _SIZES]
            present = [value for value in values if value is not None]
            if present:
                axes.plot([min(present), max(present)], [place, place], color="#BBBBBB", linewidth=2, zorder=1)
            for value, (_, _, color, marker) in zip(values, _SIZES, strict=True):
                if value is not None:
                    axes.plot(
                        [value],
                        [place],
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
        made,
        "Accuracy by size of objects",
        rows,
        list(best.values()),
        f"the best at {have[0].resolution} px",
        timed=False,
    )
    handles = [
        plot_style.handle(label, {"marker": marker, "color": color, "linestyle": "none", "markersize": 8})
        for _, label, color, marker in _SIZES
    ]
    made.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    return made


def small_large(rows: Sequence[SweepRow]) -> Figure:
    """Figure 4(b): a colour and marker for each resolution; SSD's are hollow, for they are the ones that the paper
    points at.
    """
    found = points(rows, SMALL, LARGE)
    if not found:
        raise NotDrawn("no row has mAP of both small and large objects: does the data set have such objects?")
    resolutions = sorted({point.row.resolution for point in found})
    made, (axes,) = plot_style.figure(height=5.2)
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
            here = [
                point
                for point in found
                if point.row.resolution == resolution and (point.row.meta_architecture == "ssd") == ssd
            ]
            if here:
                axes.plot(
                    [point.cost for point in here],
                    [point.value for point in here],
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
    headline(made, "Small against large objects, by resolution", rows, [point.row for point in found], timed=False)
    made.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 4), frameon=False)
    return made


def by_top1(rows: Sequence[SweepRow]) -> Figure:
    """Figure 5: all rows of the lowest resolution; a line joins the best of each meta-architecture with each extractor."""
    have = [row for row in rows if row.done and MEAN_AP.read(row) is not None]
    have = _lowest_resolution([row for row in have if row.feature_extractor in TOP1])
    if not have:
        raise NotDrawn("no row has mAP and an extractor whose ImageNet accuracy is known")
    made, (axes,) = plot_style.figure(height=5.4)
    metas = plot_style.ordered({row.meta_architecture for row in have}, METAS)
    for meta in metas:
        mine = group(
            [row for row in have if row.meta_architecture == meta],
            lambda row: (TOP1[row.feature_extractor], row.feature_extractor),
        )
        style = plot_style.meta_style(meta)
        axes.plot(
            [top for (top, _), of in mine.items() for _ in of],
            [MEAN_AP.read(row) for of in mine.values() for row in of],
            alpha=0.35,
            **style,
        )
        best = sorted((top, max(MEAN_AP.read(row) for row in of)) for (top, _), of in mine.items())
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
        made,
        "Accuracy against that of the extractor",
        rows,
        have,
        f"at {have[0].resolution} px; lines join the best",
        timed=False,
    )
    made.legend(
        handles=plot_style.meta_handles(set(metas), colored=True), loc="outside lower center", ncols=4, frameon=False
    )
    _name_extractors(axes, {row.feature_extractor for row in have})
    return made


def _name_extractors(axes: Axes, extractors: set[str]) -> None:
    """Names above the axes, slanted and moved apart, each with a line down to its place."""
    names = sorted(extractors, key=lambda name: (TOP1[name], name))
    low, high = axes.get_xlim()
    axes.set_xlim(low, high)
    places = spread([TOP1[name] for name in names], 0.05 * (high - low), low, high)
    for name, place in zip(names, places, strict=True):
        axes.axvline(TOP1[name], color="#CCCCCC", linewidth=0.8, zorder=0.5)
        line = {"color": "#999999", "linewidth": 0.8, "clip_on": False, "transform": axes.get_xaxis_transform()}
        axes.plot([TOP1[name], place], [1.0, 1.035], **line)
        axes.text(
            place,
            1.045,
            extractor_name(name),
            transform=line["transform"],
            rotation=38,
            rotation_mode="anchor",
            fontsize=9,
        )


def _lowest_resolution(rows: Sequence[SweepRow]) -> list[SweepRow]:
    """The survey shows its low resolution alone where all would crowd the figure."""
    lowest = min((row.resolution for row in rows), default=0)
    return [row for row in rows if row.resolution == lowest]
