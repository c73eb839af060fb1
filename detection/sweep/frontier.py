"""The optimality frontier of a sweep and its three critical points (Huang et al. 2017, section 4.1).

A configuration is on the frontier if no other is at least as good in both quantities and better in one. The elbow, the
paper's "sweet spot", is the point farthest above the straight line from the frontier's first point to its last, with
both axes scaled to [0, 1] and the logarithm of time: where the slope falls below the average slope (Satopaa et al.
2011, "Finding a kneedle in a haystack").
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from detection.sweep.quantities import MEAN_AP, TIME, Quantity
from detection.sweep.results import SweepRow


class Point(NamedTuple):
    """A configuration with its cost and value."""

    cost: float  # less is better; must be positive to find an elbow
    value: float  # more is better
    row: SweepRow


class Critical(NamedTuple):
    """The three critical points of a frontier; they may coincide, and a straight frontier has no elbow."""

    fastest: Point
    elbow: Point | None
    most_accurate: Point

    def named(self) -> list[tuple[str, Point]]:
        """Each point once, with its names, from the fastest to the most accurate."""
        names: dict[str, tuple[list[str], Point]] = {}
        for name, point in zip(("fastest", "elbow", "most accurate"), self, strict=True):
            if point is not None:
                names.setdefault(point.row.id, ([], point))[0].append(name)
        return [(" and ".join(words), point) for words, point in names.values()]


def points(rows: Iterable[SweepRow], cost: Quantity = TIME, value: Quantity = MEAN_AP) -> list[Point]:
    """The points of the rows that are done and have both numbers.

    Args:
        rows: the rows.
        cost: the quantity to minimise.
        value: the quantity to maximise.
    """
    pairs = ((cost.read(row), value.read(row), row) for row in rows if row.done)
    return [Point(x, y, row) for x, y, row in pairs if x is not None and y is not None]


def frontier(candidates: Iterable[Point]) -> list[Point]:
    """The points that no other dominates, by increasing cost and value; of equal points the first by id."""
    best: list[Point] = []
    for point in sorted(candidates, key=lambda point: (point.cost, -point.value, point.row.id)):
        if not best or point.value > best[-1].value:
            best.append(point)
    return best


def critical(frontier_points: list[Point]) -> Critical:
    """The critical points of a frontier.

    Args:
        frontier_points: the points of the frontier, by increasing cost.

    Raises:
        ValueError: the frontier is empty.
    """
    if not frontier_points:
        raise ValueError("an empty frontier has no critical points")
    return Critical(frontier_points[0], _elbow(frontier_points), frontier_points[-1])


def _elbow(frontier_points: list[Point]) -> Point | None:
    if len(frontier_points) < 3 or frontier_points[0].cost <= 0:
        return None
    first, last = frontier_points[0], frontier_points[-1]
    width, height = math.log(last.cost / first.cost), last.value - first.value

    def above(point: Point) -> float:
        """Height above the line from the first point to the last, which is the diagonal of the unit square."""
        return (point.value - first.value) / height - math.log(point.cost / first.cost) / width

    best = max(frontier_points[1:-1], key=above)
    return best if above(best) > 1e-9 else None  # With a tolerance for rounding: a straight line has no elbow.
