"""Frontier, critical points, the places of words, and that each figure shows what the rows say."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from detection.errors import ConfigError
from detection.sweep import frontier, quantities
from detection.sweep.frontier import Point
from detection.sweep.report import plot_style
from tests.helpers import plausible
from tests.helpers.sweep_rows import timed_row

ROOT = Path(__file__).resolve().parents[3]

HAS_MATPLOTLIB = importlib.util.find_spec("matplotlib") is not None
drawing = pytest.mark.skipif(not HAS_MATPLOTLIB, reason="matplotlib, of the extra [plots], is not installed")


def made(*pairs: tuple[float, float]) -> list[Point]:
    return [Point(cost, value, timed_row(f"{index:03d}")) for index, (cost, value) in enumerate(pairs)]


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
        timed_row(
            f"r{index}", 3.0 + index, 0.1, meta_architecture="detr", feature_extractor=f"vit{index}", resolution=64
        )
        for index in range(count)
    ]
    drawn = figures.draw([*rows, timed_row("bad", status="failed", reason="x")], tmp_path)
    assert {path.stem for path in drawn.paths} == {
        "fig2a_map_time_meta",
        "fig2b_map_time_extractor",
        "fig3_memory_time",
    }


@drawing
def test_nothing_to_draw(tmp_path):
    from detection.sweep.report import figures

    drawn = figures.draw([timed_row("bad", status="failed", reason="x")], tmp_path)
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
