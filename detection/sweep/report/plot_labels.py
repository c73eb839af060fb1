"""Places labels in figures near their points so that they cover neither each other nor other points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_RADII = (22, 34, 48, 64, 82, 102, 126, 154, 186)  # distances of a label from its point, in points (1/72 inch)
_DIRECTIONS = 24
_MARGIN = 5.0  # points around a label
_MARKER = 4.0  # points around the centre of a marker
# Costs of covering another label, of a line that crosses a label, of covering an obstacle; a distance of 8 points: 1.
_CLASH, _CROSSED, _COVERED = 1e4, 100.0, 8.0


def annotate(
    axes: Axes, labels: Sequence[tuple[float, float, str]], obstacles: np.ndarray, *, size: float = 9.5
) -> list[tuple[float, float, float, float]]:
    """Writes labels beside points, with a line to each.

    The limits of the axes must be final; they are fixed here.

    Args:
        axes: where to write.
        labels: x, y and text of each label; in data units.
        obstacles: points [N, 2] that should not be covered, in data units.
        size: of the font, points.

    Returns:
        The boxes of the labels in pixels: left, bottom, right, top.
    """
    figure = axes.figure
    axes.set_xlim(axes.get_xlim())
    axes.set_ylim(axes.get_ylim())
    figure.draw_without_rendering()  # Positions are known only after the layout is computed.
    scale = figure.dpi / 72
    frame = axes.get_window_extent()
    pixels = axes.transData.transform(obstacles) if len(obstacles) else np.zeros((0, 2))
    placed: list[tuple[float, float, float, float]] = []
    lines = np.zeros((0, 2))  # points on the lines from labels to their points
    for x, y, words in labels:
        trial = axes.text(x, y, words, fontsize=size, linespacing=1.15)
        extent = trial.get_window_extent()
        trial.remove()
        center = axes.transData.transform((x, y))
        half = np.array([extent.width, extent.height]) / 2 + _MARGIN * scale
        offsets = _offsets(half / scale)
        boxes = [_box(center + offset * scale, half) for offset in offsets]
        costs = [
            _cost(box, center, offset, pixels, placed, frame.extents, _MARKER * scale)
            + _CROSSED * bool(np.any(_inside(lines, box)))
            for box, offset in zip(boxes, offsets, strict=True)
        ]
        offset = offsets[int(np.argmin(costs))]
        placed.append(boxes[int(np.argmin(costs))])
        lines = np.concatenate([lines, _line_to_label(center, placed[-1])])
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
    return placed


def spread(positions: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Moves positions on a line as little as possible so that neighbours are at least `gap` apart; keeps their order.

    Args:
        positions: the positions.
        gap: least distance; reduced if [low, high] is too small.
        low: lower limit.
        high: upper limit.
    """
    order = sorted(range(len(positions)), key=lambda index: positions[index])
    gap = min(gap, (high - low) / max(len(positions) - 1, 1))
    # [sum of (position - offset in the group), members]: least squares within each run of adjacent positions.
    groups: list[list[float]] = []
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
    """Candidate offsets of a label's centre from its point, in points, nearest first.

    The edge of the label is about one radius away.
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
    crossed = sum(bool(np.any(_inside(_line_to_label(center, box), other))) for other in taken)
    return _CLASH * (outside + clashes) + _CROSSED * crossed + _COVERED * float(covered) + float(np.hypot(*offset)) / 8


def _line_to_label(center: np.ndarray, box) -> np.ndarray:
    """Points [32, 2] on the line from a label's point to the label's centre."""
    return center + np.linspace(0, 1, 32)[:, None] * (np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2]) - center)


def _inside(points: np.ndarray, box) -> np.ndarray:
    """Which of the points [N, 2] are inside a box (left, bottom, right, top), bool [N]."""
    return (points[:, 0] > box[0]) & (points[:, 0] < box[2]) & (points[:, 1] > box[1]) & (points[:, 1] < box[3])
