"""Words in figures that cover neither each other nor the points: the free place nearest to what they name is looked
for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_RADII = (22, 34, 48, 64, 82, 102, 126, 154, 186)  # points (1/72 inch) from what is named to its words
_DIRECTIONS = 24
_MARGIN = 5.0  # points around the words
_MARKER = 4.0  # points around the middle of a marker
# What it costs to cover other words, to let a line cross words, to cover an obstacle; a way of 8 points: 1.
_CLASH, _CROSSED, _COVERED = 1e4, 100.0, 8.0


def annotate(
    axes: Axes, named: Sequence[tuple[float, float, str]], obstacles: np.ndarray, *, size: float = 9.5
) -> list[tuple[float, float, float, float]]:
    """Writes words beside points, with a line to each.

    Args:
        named: x, y, words; in the units of the data.
        obstacles: [N, 2] what should not be covered, in the units of the data.

    Returns:
        The boxes of the words in pixels: left, bottom, right, top. Axes limits must be final: they are fixed here.
    """
    figure = axes.figure
    axes.set_xlim(axes.get_xlim())
    axes.set_ylim(axes.get_ylim())
    figure.draw_without_rendering()  # Until the layout is made, no place is known.
    scale = figure.dpi / 72
    frame = axes.get_window_extent()
    pixels = axes.transData.transform(obstacles) if len(obstacles) else np.zeros((0, 2))
    taken: list[tuple[float, float, float, float]] = []
    lines = np.zeros((0, 2))  # points of those from words to what they name
    for x, y, words in named:
        trial = axes.text(x, y, words, fontsize=size, linespacing=1.15)
        extent = trial.get_window_extent()
        trial.remove()
        center = axes.transData.transform((x, y))
        half = np.array([extent.width, extent.height]) / 2 + _MARGIN * scale
        offsets = _offsets(half / scale)
        boxes = [_box(center + offset * scale, half) for offset in offsets]
        costs = [
            _cost(box, center, offset, pixels, taken, frame.extents, _MARKER * scale)
            + _CROSSED * bool(np.any(_inside(lines, box)))
            for box, offset in zip(boxes, offsets, strict=True)
        ]
        offset = offsets[int(np.argmin(costs))]
        taken.append(boxes[int(np.argmin(costs))])
        lines = np.concatenate([lines, _way(center, taken[-1])])
        axes.annotate(
            words,
            (x, y),
            xytext=tuple(offset),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=size,
            linespacing=1.15,
            zorder=6,
            bbox={
                "boxstyle": "round,pad=0.25",
                "facecolor": "white",
                "edgecolor": "#999999",
                "linewidth": 0.7,
                "alpha": 0.92,
            },
            arrowprops={"arrowstyle": "-", "color": "#333333", "linewidth": 0.9, "shrinkB": 6},
        )
    return taken


def spread(positions: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Moves places on a line as little as needed for `gap` between neighbours, within [low, high] where that is wide
    enough; order is kept.
    """
    order = sorted(range(len(positions)), key=lambda index: positions[index])
    gap = min(gap, (high - low) / max(len(positions) - 1, 1))
    groups: list[
        list[float]
    ] = []  # [sum of (place - offset in the group), members]: least squares within each run of touching places
    sizes: list[int] = []
    for index in order:
        groups.append([min(max(positions[index], low), high), 1])
        while (
            len(groups) > 1
            and _start(groups[-2], gap, low, high) + groups[-2][1] * gap > _start(groups[-1], gap, low, high) + 1e-12
        ):
            total, count = groups.pop()
            before, members = groups[-1]
            groups[-1] = [before + total - count * members * gap, members + count]
    for _, count in groups:
        sizes.append(int(count))
    moved = [0.0] * len(positions)
    rank = 0
    for group, size in zip(groups, sizes, strict=True):
        start = _start(group, gap, low, high)
        for member in range(size):
            moved[order[rank]] = start + member * gap
            rank += 1
    return moved


def _start(group: list[float], gap: float, low: float, high: float) -> float:
    total, count = group
    return min(max(total / count, low), high - (count - 1) * gap)


def _offsets(half: np.ndarray) -> list[np.ndarray]:
    """Centres of the words, in points from what is named, so that the box's edge lies about a radius away; nearest
    first.
    """
    directions = [
        np.array([math.cos(2 * math.pi * step / _DIRECTIONS), math.sin(2 * math.pi * step / _DIRECTIONS)])
        for step in range(_DIRECTIONS)
    ]
    return [direction * (radius + half) for radius in _RADII for direction in directions]


def _box(center: np.ndarray, half: np.ndarray) -> tuple[float, float, float, float]:
    return (*(center - half), *(center + half))


def _cost(box, center: np.ndarray, offset: np.ndarray, pixels: np.ndarray, taken, frame, marker: float) -> float:
    left, bottom, right, top = box
    outside = left < frame[0] or bottom < frame[1] or right > frame[2] or top > frame[3]
    clashes = sum(left < other[2] and other[0] < right and bottom < other[3] and other[1] < top for other in taken)
    covered = np.sum(_inside(pixels, (left - marker, bottom - marker, right + marker, top + marker)))
    crossed = sum(bool(np.any(_inside(_way(center, box), other))) for other in taken)
    return _CLASH * (outside + clashes) + _CROSSED * crossed + _COVERED * float(covered) + float(np.hypot(*offset)) / 8


def _way(center: np.ndarray, box) -> np.ndarray:
    """[32, 2], points from what is named to the middle of its words."""
    return center + np.linspace(0, 1, 32)[:, None] * (np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2]) - center)


def _inside(points: np.ndarray, box) -> np.ndarray:
    """bool [N], which of the points [N, 2] lie in a box: left, bottom, right, top."""
    return (points[:, 0] > box[0]) & (points[:, 0] < box[2]) & (points[:, 1] > box[1]) & (points[:, 1] < box[3])
