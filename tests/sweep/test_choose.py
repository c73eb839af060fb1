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
from detection.sweep.quantities import title
from detection.sweep.report import folder, relations
from tests.helpers import plausible

ROOT = Path(__file__).resolve().parents[2]

needs_matplotlib = pytest.mark.skipif(
    importlib.util.find_spec("matplotlib") is None, reason="matplotlib, of the extra [plots], is not installed"
)


def row(name: str, ms: float, mib: float = 100.0, mean: float | None = 0.5, **fields) -> results.SweepRow:
    times = {"end_to_end": {"median": ms}, "postprocess": {"median": ms / 10}}
    benchmark = {
        "milliseconds": times,
        "host_mib": mib,
        "device_mib": None,
        "device": fields.pop("device", "D"),
        "batch": 1,
    }
    metrics = {} if mean is None else {"DetectionBoxes_Precision/mAP": mean}
    return results.SweepRow(
        **{"id": name, "key": name, "status": "done", "benchmark": benchmark, "metrics": metrics, **fields}
    )


ROWS = [
    row("fast", 10, 100, 0.2),
    row("good", 30, 200, 0.5),
    row("lean", 60, 80, 0.45),
    row("best", 90, 400, 0.6),
    row("slower", 40, 200, 0.5),
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
    rows = [row("small", 20, 600, 0.3), row("large", 10, 700, 0.5)]
    for one, added in zip(rows, (150, 250), strict=True):
        one.benchmark["model_host_mib"] = added
    assert choose.choose(rows, choose.limits(None, None, "map", 200)).best.id == "small"
    assert choose.choose(rows, choose.limits(None, None, "map", 250)).best.id == "large"
    with pytest.raises(
        ConfigError, match="none of 2 configurations fits 100 MiB; the nearest is small .*600 MiB, 150 MiB"
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
    rows = [row(str(index), *values) for index, values in enumerate(numbers)]
    fitting = [
        one
        for one in rows
        if (ms is None or one.milliseconds <= ms) and (mib is None or one.benchmark["host_mib"] <= mib)
    ]
    if not fitting:
        with pytest.raises(ConfigError, match="the nearest is "):
            chosen(rows, ms, mib)
        return
    best = next(one for one in rows if one.id == chosen(rows, ms, mib))
    assert best in fitting and not [one for one in fitting if one.mean_ap > best.mean_ap]
    assert not [one for one in fitting if one.mean_ap == best.mean_ap and one.milliseconds < best.milliseconds]


def test_nothing_fits():
    message = (
        r"none of 5 configurations fits 8 ms and 70 MiB; the nearest is fast \(mAP@\[.5:.95\] 0.200, 10 ms, 100 MiB\):"
        r" raise the limit"
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
    assert chosen([*ROWS, row("untrained", 1, mean=None), row("failed", 1, mean=0.9, status="failed")]) == "best"
    with pytest.raises(ConfigError, match="no row has both a time and mAP"):
        chosen([row("untrained", 1, mean=None)])


def test_a_row_without_memory_fits_no_limit_of_memory():
    unknown = row("unknown", 1, None, 0.9)
    assert chosen([*ROWS, unknown]) == "unknown" and chosen([*ROWS, unknown], mib=1e9) == "best"


def test_another_measure():
    small = dataclasses.replace(ROWS[0], metrics={**ROWS[0].metrics, "DetectionBoxes_Precision/mAP (small)": 0.1})
    assert choose.choose([small, *ROWS[1:]], choose.limits(None, None, "small")).best.id == "fast"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0, None, "map"), "--max_ms=0: no configuration takes that little"),
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
    here, there = row("here", 50, device="AMD EPYC, 2 cores"), row("there", 5, device="NVIDIA H200")
    with pytest.raises(ConfigError) as error:
        choose.measured_on([there], "", "AMD EPYC, 2 cores", "swept")
    assert str(error.value).startswith(
        "--results=swept: timed on NVIDIA H200; this machine is AMD EPYC, 2 cores, with other times: run sweep.py"
        " here, or"
    )
    assert choose.measured_on([here, there], "", "AMD EPYC, 2 cores", "swept") == [here]
    assert "1 rows are left out: timed on NVIDIA H200, not on AMD EPYC, 2 cores" in caplog.text
    assert choose.measured_on([here, there], "h200", "AMD EPYC, 2 cores", "swept") == [there]
    with pytest.raises(ConfigError, match="none of its 1 rows has times"):
        choose.measured_on([results.SweepRow("a", "a", "failed")], "", "x", "swept")


def two_stages(name: str, ms: float, mean: float, **fields) -> results.SweepRow:
    usual = {
        "meta_architecture": "faster_rcnn",
        "feature_extractor": "inception_resnet_v2",
        "resolution": 600,
        "stride": 16,
        "proposals": 300,
    }
    return row(name, ms, mean=mean, **{**usual, **fields})


def found(rows) -> dict[str, tuple[str, int]]:
    return {one.what: (one.ours, one.pairs) for one in relations.relations(rows)}


def test_relations_by_hand():
    rows = [
        two_stages("a", 900, 0.40),
        two_stages("b", 300, 0.38, proposals=50),
        two_stages("c", 240, 0.30, proposals=10),
        two_stages("d", 675, 0.30, resolution=300),
        two_stages("e", 1440, 0.42, stride=8),
        two_stages("f", 100, 0.20, meta_architecture="rfcn", feature_extractor="resnet101"),
        two_stages("g", 95, 0.19, meta_architecture="rfcn", feature_extractor="resnet101", proposals=10),
        two_stages("h", 110, 0.22, feature_extractor="resnet101", proposals=100),
    ]
    table = found(rows)
    assert table == {
        "Faster R-CNN Inception-ResNet v2, 300 to 50 proposals: time": ("3.00 times faster", 1),
        "the same: mAP kept": ("95 %", 1),
        "the same, 300 to 10 proposals: mAP kept": ("75 %", 1),
        "Faster R-CNN, all extractors, 300 to 10 proposals: time": ("-73.3 %", 1),
        "R-FCN, all extractors, 300 to 10 proposals: time": ("-5.0 %", 1),
        "Half the resolution: time": ("-25.0 %", 1),
        "Half the resolution: mAP": ("-25.0 %", 1),
        "Stride 8 in place of 16: time": ("+60.0 %", 1),
        "Stride 8 in place of 16: mAP": ("+5.0 %", 1),
        "Faster R-CNN with 100 proposals over R-FCN with 300, ResNets: time": ("1.10 times", 1),
        "Faster R-CNN with 100 proposals over R-FCN with 300, ResNets: mAP": ("1.10 times", 1),
    }
    assert relations.by_extractor(rows) == [
        ("Faster R-CNN", "Inception-ResNet v2", 1, pytest.approx(1 / 3), pytest.approx(0.95))
    ]


def test_relations_compare_only_what_differs_in_nothing_else():
    """Another loss, a failed row, a missing time: no pair."""
    pair = [two_stages("a", 900, 0.4), two_stages("b", 300, 0.3, proposals=50)]
    what = "Faster R-CNN Inception-ResNet v2, 300 to 50 proposals: time"
    assert found([dataclasses.replace(pair[0], axes={"loss": "2:1"}), pair[1]])[what] == ("–", 0)
    assert found([pair[0], dataclasses.replace(pair[1], status="failed")])[what] == ("–", 0)
    assert found([pair[0], dataclasses.replace(pair[1], benchmark=None)])[what] == ("–", 0)
    assert found([dataclasses.replace(one, axes={"loss": "2:1"}) for one in pair])[what] == ("3.00 times faster", 1)
    assert found([])[what] == ("–", 0)


def test_resolutions_that_halve_twice_give_two_pairs():
    rows = [two_stages(str(size), ms, 0.3, resolution=size) for size, ms in ((128, 10), (256, 20), (512, 80))]
    assert found(rows)["Half the resolution: time"] == ("-62.5 %", 2)  # -50 and -75


def test_resolutions_that_do_not_halve_are_compared_as_what_they_are():
    rows = [two_stages(str(size), ms, 0.3, resolution=size) for size, ms in ((128, 10), (160, 15), (192, 20))]
    assert found(rows)["192 to 128 pixels, 0.67 times the resolution: time"] == ("-50.0 %", 1)
    assert found(rows[:1])["Half the resolution: time"] == ("–", 0)


def test_share_of_post_processing():
    (one,) = relations.shares(
        [
            row("a", 10, meta_architecture="ssd"),
            row("b", 30, meta_architecture="ssd"),
            results.SweepRow("c", "c", "failed"),
        ]
    )
    assert one == ("SSD", 2, 2.0, 3.0, pytest.approx(0.1), pytest.approx(0.1))
    measured = row("d", 50, meta_architecture="ssd")
    measured.benchmark["postprocess_share"] = 0.04  # of rounds in which the whole was run without it, too
    (one,) = relations.shares([measured])
    assert one == ("SSD", 1, pytest.approx(2.0), pytest.approx(2.0), 0.04, 0.04)


def test_frontier_table_is_the_frontier():
    lines = folder.frontier_table(plausible.rows()).splitlines()
    numbers = [float(line.split("|")[1]) for line in lines[2:]]
    assert (
        numbers == sorted(numbers)
        and "fastest" in lines[2]
        and "most accurate" in lines[-1]
        and sum("elbow" in line for line in lines) == 1
    )
    assert folder.frontier_table(plausible.rows(timing_only=True)).startswith("No row has both mAP and time")


def test_cells_end_where_they_should():
    failed = plausible.failed(plausible.rows()[0], "killed | by\nsomebody")
    from detection.sweep.report import figures

    text = folder.markdown([failed], figures.Drawn([], {"fig2a_map_time_meta": "no row"}))
    assert f"| `{failed.id}` | killed \\| by somebody |" in text and "`fig2a_map_time_meta` is left out: no row" in text


def test_slow_detectors_are_timed_on_fewer_images():
    from detection.sweep.report import figures

    rows = [row(str(images), 10, meta_architecture="ssd") for images in (3, 10, 9)]
    for one, images in zip(rows, (3, 10, 9), strict=True):
        one.benchmark["images"] = images
    assert ", 3 to 10 images" in folder.markdown(rows, figures.Drawn([], {}))
    assert ", 3 or 10 images" in folder.markdown(rows[:2], figures.Drawn([], {}))


@pytest.fixture
def swept(tmp_path) -> Path:
    folder = tmp_path / "swept"
    (folder / "configs").mkdir(parents=True)
    for one in plausible.rows():
        results.append(folder / results.FILE, one)
        (folder / one.config).write_text("model { ssd {} }\n")
    return folder


def test_thin_networks_say_so():
    """Only the config knows, and a grid may call a thin network by the whole one's name."""
    from detection.sweep import config_texts

    rows = plausible.rows()[:3]
    texts = {
        rows[0].key: "feature_extractor { type: 'x' depth_multiplier: 0.25 }",
        rows[1].key: "feature_extractor { depth_multiplier: 1.0 }",
    }
    thin, *whole = config_texts.with_widths(rows, texts)
    assert whole == rows[1:] and title(thin) == title(rows[0]) + ", depth_multiplier 0.25"
    assert config_texts.with_widths([thin], texts) == [thin]


def test_choose_script(command, swept):
    done = command("choose.py", f"--results={swept}", "--max_ms=60", "--max_mib=1000", "--device=modelled")
    assert done.code == 0, done.err
    best = choose.choose(plausible.rows(), choose.Limits(60, 1000)).best
    assert best.id in done.out and best.command in done.out and f"config    {swept / best.config}\n" in done.out


def test_choose_script_asks_this_machine(command, swept):
    done = command("choose.py", f"--results={swept}")
    assert done.code == 2
    assert (
        done.err.startswith(f"error: --results={swept}: timed on {plausible.DEVICE}; this machine is ")
        and done.err.count("\n") == 1
    )


@pytest.mark.parametrize("name", ["choose.py", "sweep_report.py"])
def test_scripts_without_results(command, tmp_path, name):
    done = command(name)
    assert done.code == 2 and done.err.startswith(f"error: usage: {name} --results=FOLDER ")
    done = command(
        name, f"--results={tmp_path / 'none'}", "--device=x", *(["--output=o"] if name == "sweep_report.py" else [])
    )
    assert (
        done.code == 2
        and done.err.startswith(f"error: {tmp_path / 'none'}: cannot read the results: ")
        and done.err.count("\n") == 1
    )


@needs_matplotlib
def test_report_script(command, swept, tmp_path):
    done = command("sweep_report.py", f"--results={swept}", f"--output={tmp_path / 'report'}", "--title=Cells")
    assert done.code == 0, done.err
    text = (tmp_path / "report" / "README.md").read_text()
    for line in text.splitlines():
        if line.startswith("!["):
            assert (tmp_path / "report" / line.partition("(")[2].rstrip(")")).is_file()
    assert text.startswith("# Cells\n") and text.count("![") == 7 and "sweep_report.py --results=" in text
    assert "model { ssd {} }" in (tmp_path / "report" / "index.html").read_text()
