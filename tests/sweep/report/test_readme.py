"""The text of a report: its tables, what failed, how it was timed."""

from __future__ import annotations

from detection.sweep.report import readme
from tests.helpers import plausible
from tests.helpers.sweep_rows import benchmark_row


def test_frontier_table_is_the_frontier():
    lines = readme.frontier_table(plausible.rows()).splitlines()
    numbers = [float(line.split("|")[1]) for line in lines[2:]]
    assert (
        numbers == sorted(numbers)
        and "fastest" in lines[2]
        and "most accurate" in lines[-1]
        and sum("elbow" in line for line in lines) == 1
    )
    assert readme.frontier_table(plausible.rows(timing_only=True)).startswith("No row has both mAP and time")


def test_cells_end_where_they_should():
    failed = plausible.failed(plausible.rows()[0], "killed | by\nsomebody")
    from detection.sweep.report import figures

    text = readme.markdown([failed], figures.DrawnFigures([], {"fig2a_map_time_meta": "no row"}))
    assert f"| `{failed.id}` | killed \\| by somebody |" in text and "`fig2a_map_time_meta` is omitted: no row" in text


def test_slow_detectors_are_timed_on_fewer_images():
    from detection.sweep.report import figures

    rows = [benchmark_row(str(images), 10, meta_architecture="ssd") for images in (3, 10, 9)]
    for one, images in zip(rows, (3, 10, 9), strict=True):
        one.benchmark["images"] = images
    assert ", 3 to 10 images" in readme.markdown(rows, figures.DrawnFigures([], {}))
    assert ", 3 or 10 images" in readme.markdown(rows[:2], figures.DrawnFigures([], {}))
