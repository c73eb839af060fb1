"""choose.py, the relations of the survey and the report, on rows whose answers are known."""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.errors import ConfigError
from detection.sweep import choose, results
from tests.helpers import plausible
from tests.helpers.commands import run
from tests.helpers.sweep_rows import benchmark_row

ROOT = Path(__file__).resolve().parents[2]

needs_matplotlib = pytest.mark.skipif(
    importlib.util.find_spec("matplotlib") is None, reason="matplotlib, of the extra [plots], is not installed"
)


ROWS = [
    benchmark_row("fast", 10, 100, 0.2),
    benchmark_row("good", 30, 200, 0.5),
    benchmark_row("lean", 60, 80, 0.45),
    benchmark_row("best", 90, 400, 0.6),
    benchmark_row("slower", 40, 200, 0.5),
]


def chosen(rows=tuple(ROWS), ms=None, mib=None) -> str:
    return choose.choose(rows, choose.Limits(ms, mib)).best.id


def test_within_limits():
    assert chosen() == "best"
    assert chosen(ms=50) == "good"  # as good as `slower`, and faster
    assert chosen(ms=30) == "good" and chosen(ms=29.9) == "fast"  # The limit itself is within.
    assert chosen(mib=150) == "lean"
    assert chosen(ms=50, mib=150) == "fast"


def test_memory_of_the_model_alone():
    """Of a process that has TensorFlow loaded, hundreds of MiB are not the model's."""
    rows = [benchmark_row("small", 20, 600, 0.3), benchmark_row("large", 10, 700, 0.5)]
    for one, added in zip(rows, (150, 250), strict=True):
        one.benchmark["model_host_mib"] = added
    assert choose.choose(rows, choose.limits(None, None, "map", 200)).best.id == "small"
    assert choose.choose(rows, choose.limits(None, None, "map", 250)).best.id == "large"
    with pytest.raises(
        ConfigError, match="none of 2 configurations is within 100 MiB; the closest is small .*600 MiB, 150 MiB"
    ):
        choose.choose(rows, choose.limits(None, None, "map", 100))
    with pytest.raises(ConfigError, match="--max_model_mib=-1"):
        choose.limits(None, None, "map", -1)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(1, 100), st.floats(1, 100), st.floats(0, 1)), min_size=1, max_size=20),
    st.none() | st.floats(1, 100),
    st.none() | st.floats(1, 100),
)
def test_no_other_that_fits_is_better(numbers, ms, mib):
    rows = [benchmark_row(str(index), *values) for index, values in enumerate(numbers)]
    fitting = [
        one
        for one in rows
        if (ms is None or one.milliseconds <= ms) and (mib is None or one.benchmark["host_mib"] <= mib)
    ]
    if not fitting:
        with pytest.raises(ConfigError, match="the closest is "):
            chosen(rows, ms, mib)
        return
    best = next(one for one in rows if one.id == chosen(rows, ms, mib))
    assert best in fitting and not [one for one in fitting if one.mean_ap > best.mean_ap]
    assert not [one for one in fitting if one.mean_ap == best.mean_ap and one.milliseconds < best.milliseconds]


def test_nothing_fits():
    message = (
        r"none of 5 configurations is within 8 ms and 70 MiB; the closest is fast"
        r" \(mAP@\[.5:.95\] 0.200, 10 ms, 100 MiB\); raise the limit"
    )
    with pytest.raises(ConfigError, match=message):
        chosen(ms=8, mib=70)  # fast: 1.25 and 1.43 times over; lean: 7.5 and 1.14


def test_the_neighbours_on_the_frontier():
    choice = choose.choose(ROWS, choose.Limits(50))
    assert (choice.fitting, choice.judged, choice.device) == (3, 5, "D")
    assert (choice.faster.row.id, choice.better.row.id) == ("fast", "best")
    text = choose.report(choice, choose.Limits(50), ["swept"])
    assert (
        "less time unknown unknown: 0.33 times the time, -0.300" in text
        and "better    unknown unknown: 3.00 times the time, +0.100" in text
    )


def test_rows_without_accuracy_are_not_chosen():
    assert (
        chosen([*ROWS, benchmark_row("untrained", 1, mean=None), benchmark_row("failed", 1, mean=0.9, status="failed")])
        == "best"
    )
    with pytest.raises(ConfigError, match="no row has both a time and mAP"):
        chosen([benchmark_row("untrained", 1, mean=None)])


def test_a_row_without_memory_fits_no_limit_of_memory():
    unknown = benchmark_row("unknown", 1, None, 0.9)
    assert chosen([*ROWS, unknown]) == "unknown" and chosen([*ROWS, unknown], mib=1e9) == "best"


def test_another_measure():
    small = dataclasses.replace(ROWS[0], metrics={**ROWS[0].metrics, "DetectionBoxes_Precision/mAP (small)": 0.1})
    assert choose.choose([small, *ROWS[1:]], choose.limits(None, None, "small")).best.id == "fast"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0, None, "map"), "--max_ms=0: must be a positive number"),
        ((None, -5.0, "map"), "--max_mib=-5: "),
        ((float("nan"), None, "map"), "--max_ms=nan: "),
        ((None, None, "time"), "--by=time: give one of map, map50, map75, small, medium, large, voc50"),
    ],
)
def test_limits_that_make_no_sense(arguments, message):
    with pytest.raises(ConfigError) as error:
        choose.limits(*arguments)
    assert str(error.value).startswith(message)


def test_rows_of_another_machine_are_refused(caplog):
    here, there = benchmark_row("here", 50, device="AMD EPYC, 2 cores"), benchmark_row("there", 5, device="NVIDIA H200")
    with pytest.raises(ConfigError) as error:
        choose.measured_on([there], "", "AMD EPYC, 2 cores", "swept")
    assert str(error.value).startswith(
        "--results=swept: timed on NVIDIA H200, but this machine is AMD EPYC, 2 cores: run `detection sweep` on this"
    )
    assert choose.measured_on([here, there], "", "AMD EPYC, 2 cores", "swept") == [here]
    assert "1 rows are omitted: timed on NVIDIA H200, not on AMD EPYC, 2 cores" in caplog.text
    assert choose.measured_on([here, there], "h200", "AMD EPYC, 2 cores", "swept") == [there]
    with pytest.raises(ConfigError, match="none of its 1 rows has times"):
        choose.measured_on([results.SweepRow("a", "a", "failed")], "", "x", "swept")


@pytest.fixture
def swept(tmp_path) -> Path:
    folder = tmp_path / "swept"
    (folder / "configs").mkdir(parents=True)
    for one in plausible.rows():
        results.append(folder / results.FILE, one)
        (folder / one.config).write_text("model { ssd {} }\n")
    return folder


def test_choose_script(swept):
    done = run("choose.py", f"--results={swept}", "--max_ms=60", "--max_mib=1000", "--device=modelled")
    assert done.code == 0, done.err
    best = choose.choose(plausible.rows(), choose.Limits(60, 1000)).best
    assert best.id in done.out and best.command in done.out and f"config    {swept / best.config}\n" in done.out


@pytest.mark.slow
def test_choose_script_asks_this_machine(swept):
    done = run("choose.py", f"--results={swept}")
    assert done.code == 2
    assert (
        done.err.startswith(f"error: --results={swept}: timed on {plausible.DEVICE}, but this machine is ")
        and done.err.count("\n") == 1
    )


@pytest.mark.parametrize("name", ["choose.py", "sweep_report.py"])
def test_scripts_without_results(tmp_path, name):
    done = run(name)
    assert done.code == 2 and done.err.startswith(f"error: usage: {name} --results=FOLDER ")
    done = run(
        name, f"--results={tmp_path / 'none'}", "--device=x", *(["--output=o"] if name == "sweep_report.py" else [])
    )
    assert (
        done.code == 2
        and done.err.startswith(f"error: {tmp_path / 'none'}: cannot read the results: ")
        and done.err.count("\n") == 1
    )


@needs_matplotlib
def test_report_run(swept, tmp_path):
    done = run("sweep_report.py", f"--results={swept}", f"--output={tmp_path / 'report'}", "--title=Cells")
    assert done.code == 0, done.err
    text = (tmp_path / "report" / "README.md").read_text()
    for line in text.splitlines():
        if line.startswith("!["):
            assert (tmp_path / "report" / line.partition("(")[2].rstrip(")")).is_file()
    assert text.startswith("# Cells\n") and text.count("![") == 7 and "sweep_report.py --results=" in text
    assert "model { ssd {} }" in (tmp_path / "report" / "index.html").read_text()
