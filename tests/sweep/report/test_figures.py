"""Frontier, critical points, the places of words, and that each figure shows what the rows say."""

from __future__ import annotations

import dataclasses
import importlib.util
import math
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.errors import ConfigError
from detection.sweep import frontier, quantities, results
from detection.sweep.frontier import Point
from detection.sweep.report import plot_style
from detection.sweep.report.plot_labels import annotate, spread
from tests.helpers import plausible

ROOT = Path(__file__).resolve().parents[3]

HAS_MATPLOTLIB = importlib.util.find_spec("matplotlib") is not None
drawing = pytest.mark.skipif(not HAS_MATPLOTLIB, reason="matplotlib, of the extra [plots], is not installed")


def row(name: str, ms: float | None = None, mean: float | None = None, **fields) -> results.SweepRow:
    benchmark = (
        None
        if ms is None
        else {
            "milliseconds": {"end_to_end": {"median": ms}},
            "host_mib": 10 * ms,
            "device": "D",
            "batch": 1,
            "images": 5,
        }
    )
    metrics = {} if mean is None else {"DetectionBoxes_Precision/mAP": mean}
    return results.SweepRow(
        **{"id": name, "key": name, "status": "done", "benchmark": benchmark, "metrics": metrics, **fields}
    )


def made(*pairs: tuple[float, float]) -> list[Point]:
    return [Point(cost, value, row(f"{index:03d}")) for index, (cost, value) in enumerate(pairs)]


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
    assert all(a.cost < b.cost and a.value < b.value for a, b in zip(found, found[1:], strict=False))


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
        row("both", 5.0, 0.5),
        row("untimed", None, 0.5),
        row("unjudged", 5.0),
        row("failed", 5.0, 0.5, status="failed"),
        row("nan", math.nan, 0.5),
    ]
    rows.append(row("minus", 5.0, -1.0))  # COCO's word for: no such object
    assert [point.row.id for point in frontier.points(rows)] == ["both"]


@pytest.mark.parametrize(
    "benchmark",
    [
        {},
        {"milliseconds": None},
        {"milliseconds": {"end_to_end": None}},
        {"milliseconds": {"end_to_end": {"median": "5"}}},
    ],
)
def test_numbers_that_are_not_there(benchmark):
    for quantity in quantities.QUANTITIES.values():
        assert quantity.read(row("odd", benchmark=benchmark, metrics={"DetectionBoxes_Precision/mAP": None})) is None


def test_memory_is_the_accelerator_s_where_there_is_one():
    assert quantities.memory(row("a", 5.0)) == 50.0
    assert quantities.memory(row("b", benchmark={"host_mib": 900.0, "device_mib": 70.0})) == 70.0


def test_titles_say_what_the_axes_add():
    one = row(
        "a", meta_architecture="faster_rcnn", feature_extractor="mobilenet_v1", resolution=128, stride=16, proposals=50
    )
    axes = {"base": "faster_rcnn", "extractor": "mobilenet_v1", "resolution": "128", "stride": "16", "proposals": "50"}
    assert (
        quantities.title(dataclasses.replace(one, axes=axes))
        == "Faster R-CNN MobileNet v1, 128 px, stride 16, 50 proposals"
    )
    varied = dataclasses.replace(one, axes={**axes, "extractor": "mobilenet_v1_half", "loss": "2:1"})
    assert (
        quantities.title(varied)
        == "Faster R-CNN MobileNet v1, 128 px, stride 16, 50 proposals, extractor mobilenet_v1_half, loss 2:1"
    )


def test_one_device(caplog):
    def on(device: str, name: str) -> results.SweepRow:
        return row(name, benchmark={"milliseconds": {"end_to_end": {"median": 1.0}}, "device": device, "batch": 1})

    rows = [on("NVIDIA H200", "a"), on("AMD EPYC, 2 cores", "b"), row("untimed", None, 0.5)]
    with pytest.raises(
        ConfigError, match="times of different devices do not compare.* AMD EPYC, 2 cores; NVIDIA H200; name one"
    ):
        quantities.of_one_device(rows)
    with pytest.raises(ConfigError, match="--device=tpu: no row was timed on it, but on: AMD"):
        quantities.of_one_device(rows, "tpu")
    assert not caplog.records
    assert [one.id for one in quantities.of_one_device(rows, "h200")] == ["a", "untimed"]
    assert "1 rows are left out: timed on AMD EPYC, 2 cores, not on NVIDIA H200" in caplog.text
    assert [one.id for one in quantities.of_one_device(rows[:1])] == ["a"]
    caplog.clear()
    bigger = dataclasses.replace(rows[0], benchmark={**rows[0].benchmark, "batch": 8})
    assert len(quantities.of_one_device([rows[0], bigger])) == 2 and "differ in batch (1, 8)" in caplog.text


PLACES = st.lists(st.floats(0, 100), min_size=1, max_size=12)


@given(PLACES, st.floats(0.1, 20))
def test_spread_keeps_order_gap_and_ends(places, gap):
    moved = spread(places, gap, 0.0, 100.0)
    kept = min(gap, 100.0 / max(len(places) - 1, 1))
    order = sorted(range(len(places)), key=lambda index: places[index])
    ranked = [moved[index] for index in order]
    assert all(
        b - a >= kept - 1e-6 for a, b in zip(ranked, ranked[1:], strict=False)
    )  # 1e-6 of 100: sums of a dozen floats
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


@drawing
def test_all_figures(tmp_path):
    from detection.sweep.report import figures

    rows = plausible.rows()
    drawn = figures.draw(rows, tmp_path / "new")
    assert not drawn.left_out
    assert [path.stem for path in drawn.paths[::2]] == list(figures.FIGURES)
    for png, svg in zip(drawn.paths[::2], drawn.paths[1::2], strict=True):
        assert (png.suffix, svg.suffix) == (".png", ".svg")
        assert png.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" and png.stat().st_size < 300_000
        assert ElementTree.parse(svg).getroot().tag.endswith("svg")


@drawing
def test_figure_2_holds_every_point_and_the_frontier():
    from detection.sweep.report import figures

    rows = plausible.rows()
    found = frontier.points(rows)
    with plot_style.settings():
        made = figures.map_time_meta(rows)
    axes = made.axes[0]
    scattered = {
        pair for line in axes.lines if line.get_linestyle() == "None" for pair in zip(*line.get_data(), strict=True)
    }
    assert scattered == {(point.cost, point.value) for point in found} and len(found) == 249
    (dashed,) = (line for line in axes.lines if line.get_linestyle() == "--")
    assert list(zip(*dashed.get_data(), strict=True)) == [
        (point.cost, point.value) for point in frontier.frontier(found)
    ]
    words = [text.get_text() for text in axes.texts]
    assert [text.split(":")[0] for text in words] == ["fastest", "elbow", "most accurate"]
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_xscale()) == (
        "Time per image [ms], median",
        "mAP@[.5:.95]",
        "log",
    )
    assert "3 failed" in made.texts[1].get_text() and plausible.DEVICE in made.texts[1].get_text()


@drawing
def test_figure_6_takes_the_highest_resolution_and_the_largest_stride():
    from detection.sweep.report import proposal_figure

    rows = [one for one in plausible.rows() if one.feature_extractor == "resnet101"]
    with plot_style.settings():
        panels = proposal_figure.by_proposals(rows).axes
    chosen = [
        one
        for one in rows
        if one.done and one.meta_architecture == "rfcn" and (one.resolution, one.stride) == (600, 16)
    ]
    expected = sorted((one.proposals, quantities.MEAN_AP.read(one)) for one in chosen)
    (line,) = panels[1].lines
    assert [axes.get_title(loc="left") for axes in panels[:2]] == ["Faster R-CNN", "R-FCN"]
    assert list(zip(*line.get_data(), strict=True)) == expected and len(expected) == 5
    assert (
        panels[0].lines[0].get_linestyle() == "-" and panels[3].lines[0].get_linestyle() == ":"
    )  # as the paper: mAP solid, time dotted


@drawing
def test_timing_only_rows_give_the_figures_of_time(tmp_path):
    from detection.sweep.report import figures

    drawn = figures.draw(plausible.rows(timing_only=True), tmp_path)
    assert [path.name for path in drawn.paths] == [
        "fig3_memory_time.png",
        "fig3_memory_time.svg",
        "fig6_proposals.png",
        "fig6_proposals.svg",
    ]
    assert set(drawn.left_out) == set(figures.FIGURES) - {"fig3_memory_time", "fig6_proposals"}
    assert drawn.left_out["fig2a_map_time_meta"] == "no row has both mAP and time"


@drawing
@pytest.mark.parametrize("count", [1, 2])
def test_few_rows_of_unknown_kinds(tmp_path, count):
    from detection.sweep.report import figures

    rows = [
        row(f"r{index}", 3.0 + index, 0.1, meta_architecture="detr", feature_extractor=f"vit{index}", resolution=64)
        for index in range(count)
    ]
    drawn = figures.draw([*rows, row("bad", status="failed", reason="x")], tmp_path)
    assert {path.stem for path in drawn.paths} == {
        "fig2a_map_time_meta",
        "fig2b_map_time_extractor",
        "fig3_memory_time",
    }


@drawing
def test_nothing_to_draw(tmp_path):
    from detection.sweep.report import figures

    drawn = figures.draw([row("bad", status="failed", reason="x")], tmp_path)
    assert not drawn.paths and set(drawn.left_out) == set(figures.FIGURES)


@drawing
def test_a_folder_that_cannot_be_made(tmp_path):
    from detection.sweep.report import figures

    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="file/figures: cannot write figures: "):
        figures.draw(plausible.rows(), tmp_path / "file" / "figures")


def test_markers_tell_meta_architectures_apart_and_colours_with_fills_extractors():
    assert (
        len(set(plot_style.META_MARKERS.values())) == len(set(plot_style.META_COLORS.values())) == len(quantities.METAS)
    )
    looks = [plot_style.look(name) for name in quantities.EXTRACTORS]
    assert (
        len({(look.color, look.fill) for look in looks})
        == len(looks)
        == len({(look.marker, look.fill, look.color) for look in looks})
    )


def test_without_matplotlib_the_error_names_the_extra(tmp_path):
    """In a process that cannot import it, as where it is not installed."""
    code = (
        "import sys; sys.modules['matplotlib'] = None\nfrom detection.sweep.report import figures\nfigures.draw([],"
        " sys.argv[1])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False, cwd=ROOT
    )
    message = 'ConfigError: figures need matplotlib, which is not installed: pip install "detection[plots]"'
    assert done.stderr.splitlines()[-1].endswith(message)
