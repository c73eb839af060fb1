"""The optimality frontier and its critical points."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.sweep import frontier
from detection.sweep.frontier import Point
from tests.helpers.sweep_rows import timed_row


def made(*pairs: tuple[float, float]) -> list[Point]:
    return [Point(cost, value, timed_row(f"{index:03d}")) for index, (cost, value) in enumerate(pairs)]


# Few different numbers, so that ties are common.
NUMBERS = st.tuples(st.integers(1, 12).map(float), st.integers(0, 12).map(lambda number: number / 12))


@given(st.lists(NUMBERS, max_size=40))
def test_frontier_is_what_brute_force_finds(pairs):
    found = frontier.frontier(of := made(*pairs))

    def dominates(a: Point, b: Point) -> bool:
        return a.cost <= b.cost and a.value >= b.value and (a.cost < b.cost or a.value > b.value)

    best = [point for point in of if not any(dominates(other, point) for other in of)]
    first = {(point.cost, point.value): point.row.id for point in reversed(best)}
    assert {point.row.id for point in found} == set(first.values())
    assert all(a.cost < b.cost and a.value < b.value for a, b in itertools.pairwise(found))


def test_elbow_by_hand():
    """On log10: times 0, 1, 2, 4 of 4 -> 0, .25, .5, 1; values 0, .6, .7, 1. Above the diagonal: .35 and .2."""
    on = made((1, 0.0), (10, 0.6), (100, 0.7), (10_000, 1.0))
    points = frontier.critical(on)
    assert (points.fastest, points.elbow, points.most_accurate) == (on[0], on[1], on[3])
    assert points.named() == [("fastest", on[0]), ("elbow", on[1]), ("most accurate", on[3])]


def test_the_survey_s_own_sweet_spot():
    """About where the paper's Figure 2 has them: SSD MobileNet, R-FCN ResNet-101, Faster R-CNN Inception-ResNet at
    stride 8."""
    on = made((40, 0.19), (60, 0.22), (85, 0.30), (180, 0.32), (390, 0.347), (900, 0.357))
    assert frontier.critical(on).elbow == on[2]


@pytest.mark.parametrize(
    "pairs",
    [
        [(1, 0.1)],
        [(1, 0.1), (2, 0.2)],
        [(1, 0.1), (10, 0.2), (100, 0.3)],  # a straight line has no bend
        [(1, 0.0), (50, 0.2), (100, 1.0)],  # bends the other way
        [(0, 0.0), (1, 0.9), (2, 1.0)],  # a time of zero has no logarithm
    ],
)
def test_without_an_elbow(pairs):
    on = made(*pairs)
    assert frontier.frontier(on) == on
    points = frontier.critical(on)
    assert points.elbow is None and points.fastest == on[0] and points.most_accurate == on[-1]
    assert sum(len(name.split(" and ")) for name, _ in points.named()) == 2


def test_an_empty_frontier_has_no_critical_points():
    with pytest.raises(ValueError, match="empty"):
        frontier.critical([])


def test_points_need_both_numbers_and_a_row_that_is_done():
    rows = [
        timed_row("both", 5.0, 0.5),
        timed_row("untimed", None, 0.5),
        timed_row("unjudged", 5.0),
        timed_row("failed", 5.0, 0.5, status="failed"),
        timed_row("nan", math.nan, 0.5),
    ]
    rows.append(timed_row("minus", 5.0, -1.0))  # COCO's word for: no such object
    assert [point.row.id for point in frontier.points(rows)] == ["both"]
