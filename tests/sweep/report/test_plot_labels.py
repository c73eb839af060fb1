"""Words beside marks cover neither each other nor lines."""

from __future__ import annotations

import importlib.util
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.sweep.report import plot_style
from detection.sweep.report.plot_labels import annotate, spread

HAS_MATPLOTLIB = importlib.util.find_spec("matplotlib") is not None


drawing = pytest.mark.skipif(not HAS_MATPLOTLIB, reason="matplotlib, of the extra [plots], is not installed")


PLACES = st.lists(st.floats(0, 100), min_size=1, max_size=12)


@given(PLACES, st.floats(0.1, 20))
def test_spread_keeps_order_gap_and_ends(places, gap):
    moved = spread(places, gap, 0.0, 100.0)
    kept = min(gap, 100.0 / max(len(places) - 1, 1))
    order = sorted(range(len(places)), key=lambda index: places[index])
    ranked = [moved[index] for index in order]
    assert all(b - a >= kept - 1e-6 for a, b in itertools.pairwise(ranked))  # 1e-6 of 100: sums of a dozen floats
    assert min(moved) >= -1e-6 and max(moved) <= 100 + 1e-6


def test_spread_moves_no_more_than_needed():
    assert spread([10.0, 50.0], 5.0, 0.0, 100.0) == [10.0, 50.0]
    assert spread([50.0, 51.0], 5.0, 0.0, 100.0) == [48.0, 53.0]  # 50.5 in the middle
    assert spread([99.0, 100.0], 5.0, 0.0, 100.0) == [95.0, 100.0]


@drawing
@settings(max_examples=8, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=5, unique=True))
def test_words_cover_neither_each_other_nor_the_edge(places):
    with plot_style.settings():
        figure, (axes,) = plot_style.figure()
        axes.plot(*zip(*places, strict=True), "o")
        axes.set_xlim(-0.1, 1.1)
        axes.set_ylim(-0.1, 1.1)
        boxes = annotate(axes, [(x, y, "fastest:\nSSD MobileNet v1\n300 px") for x, y in places], np.array(places))
        left, bottom, right, top = axes.get_window_extent().extents
    for index, box in enumerate(boxes):
        assert left <= box[0] and bottom <= box[1] and box[2] <= right and box[3] <= top
        assert not [
            other
            for other in boxes[:index]
            if box[0] < other[2] and other[0] < box[2] and box[1] < other[3] and other[1] < box[3]
        ]


@drawing
@pytest.mark.parametrize("lowest", [0.2, 0.4])
def test_no_line_runs_behind_the_words_of_another(lowest):
    """Points above a crowd: the nearest free place for the words of the second is on the line to those of the first."""
    places = [(0.05, lowest), (0.27, 0.7), (0.4, 0.75)]
    words = (
        "fastest:\nR-FCN MobileNet v1\n128 px, stride 16, 20 proposals",
        "elbow:\nSSD VGG16\n128 px",
        "most accurate:\nSSD VGG16\n192 px",
    )
    crowd = np.stack(np.meshgrid(np.linspace(0, 1, 30), np.linspace(0, 0.6, 20)), -1).reshape(-1, 2)
    with plot_style.settings():
        figure, (axes,) = plot_style.figure()
        axes.set_xlim(0, 1.1)
        axes.set_ylim(0, 1.1)
        boxes = annotate(
            axes, [(*place, text) for place, text in zip(places, words, strict=True)], np.array([*places, *crowd])
        )
        begins = axes.transData.transform(places)
    for begin, own in zip(begins, boxes, strict=True):
        way = begin + np.linspace(0, 1, 200)[:, None] * ([(own[0] + own[2]) / 2, (own[1] + own[3]) / 2] - begin)
        for other in boxes:
            inside = (way > other[:2]).all(1) & (way < other[2:]).all(1)
            assert other is own or not inside.any()
