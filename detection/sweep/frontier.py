"""The optimality frontier of a sweep, where more accuracy costs more time, and its three critical points (Huang et al.

2017, section 4.1).

A configuration is on the frontier if no other is at least as good in both quantities and better in one. The elbow, the
paper's "sweet spot", is the one that lies farthest above the straight line from the frontier's first point to its last,
both axes scaled to [0, 1], time by its logarithm: where the slope falls below the average slope (Satopaa et al. 2011,
"Finding a kneedle in a haystack").
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from detection.sweep.quantities import MEAN_AP, TIME, Quantity
from detection.sweep.results import SweepRow


class Point(NamedTuple):
    """A configuration between what it costs and what it gives."""

    cost: float  # the less the better; positive where an elbow is looked for
    value: float  # the more the better
    row: SweepRow


class Critical(NamedTuple):
    """The three points of a frontier worth a name; one may hold two names, and a frontier without a bend has no elbow."""

    fastest: Point
    elbow: Point | None
    most_accurate: Point

    def named(self) -> list[tuple[str, Point]]:
        """Each point once, with its names, from the fastest on."""
        names: dict[str, tuple[list[str], Point]] = {}
        for name, point in zip(("fastest", "elbow", "most accurate"), self, strict=True):
            if point is not None:
                names.setdefault(point.row.id, ([], point))[0].append(name)
        return [(" and ".join(words), point) for words, point in names.values()]


def points(rows: Iterable[SweepRow], cost: Quantity = TIME, value: Quantity = MEAN_AP) -> list[Point]:
    """Of the rows that are done and have both numbers."""
    pairs = ((cost.read(row), value.read(row), row) for row in rows if row.done)
    return [Point(x, y, row) for x, y, row in pairs if x is not None and y is not None]


def frontier(of: Iterable[Point]) -> list[Point]:
    """The points that none other dominates, by rising cost and value; of equal ones the first by id."""
    best: list[Point] = []
    for point in sorted(of, key=lambda point: (point.cost, -point.value, point.row.id)):
        if not best or point.value > best[-1].value:
            best.append(point)
    return best


def critical(on: list[Point]) -> Critical:
    """Names the points of a frontier that has at least one.

    Raises:
        ValueError: the frontier is empty.
    """
    if not on:
        raise ValueError("an empty frontier has no critical points")
    return Critical(on[0], _elbow(on), on[-1])


def _elbow(on: list[Point]) -> Point | None:
    if len(on) < 3 or on[0].cost <= 0:
        return None
    first, last = on[0], on[-1]
    width, height = math.log(last.cost / first.cost), last.value - first.value

    def above(point: Point) -> float:
        """Height over the line from the first point to the last, which is the diagonal of the unit square."""
        return (point.value - first.value) / height - math.log(point.cost / first.cost) / width

    best = max(on[1:-1], key=above)
    return best if above(best) > 1e-9 else None  # On a straight line no point is one, whatever rounding says.
