"""Rows go out and come back whole; what a killed writer left does no harm; errors name file and line."""

from __future__ import annotations

import dataclasses
import json

import pytest

from detection.errors import ConfigError, DataError
from detection.sweep.results import DONE, FAILED, FILE, SweepRow, append, read


def row(name: str = "ssd-mobilenet_v1-300", key: str = "k1", **values) -> SweepRow:
    return SweepRow(id=name, key=key, **{"status": DONE, "metrics": {"DetectionBoxes_Precision/mAP": 0.25}, **values})


def test_a_row_comes_back_as_it_was(tmp_path):
    timed = {"milliseconds": {"end_to_end": {"median": 12.5}}, "device": "a CPU"}
    first = row(
        proposals=300,
        axes={"resolution": "600"},
        benchmark=timed,
        train={"steps": 3, "seconds": 1.5, "weights_of": None},
        resolution=600,
    )
    second = row("b", "k2", status=FAILED, reason="out of memory", other={"shard": 3})
    for one in (first, second):
        append(tmp_path / FILE, one)
    assert read(tmp_path) == [first, second] == read([tmp_path / FILE])
    assert (first.milliseconds, first.mean_ap, first.device) == (12.5, 0.25, "a CPU")
    assert (second.milliseconds, second.device, second.done) == (None, "", False)


def test_unknown_keys_are_kept():
    line = json.dumps({"id": "a", "key": "k", "status": "done", "from_the_future": [1, 2]})
    assert json.loads(SweepRow.from_json(line).to_json())["from_the_future"] == [1, 2]


def test_half_a_line_is_left_out_and_overwritten(tmp_path, caplog):
    path = tmp_path / FILE
    append(path, row())
    with path.open("ab") as stream:
        stream.write(row("b", "k2").to_json().encode()[:40])
    assert [found.id for found in read(path)] == ["ssd-mobilenet_v1-300"]
    append(path, row("c", "k3"))
    assert [found.id for found in read(path)] == ["ssd-mobilenet_v1-300", "c"]
    assert path.read_bytes().endswith(b"\n")


def test_the_last_line_of_an_id_counts(tmp_path):
    append(tmp_path / FILE, row(status=FAILED, reason="timed out"))
    append(tmp_path / FILE, row("b", "k2"))
    append(tmp_path / FILE, row())
    assert [(found.id, found.status) for found in read(tmp_path)] == [("b", DONE), ("ssd-mobilenet_v1-300", DONE)]


def test_of_several_files_a_key_counts_once_and_done_before_failed(tmp_path):
    append(tmp_path / "1.jsonl", row(status=FAILED, reason="killed"))
    append(tmp_path / "2.jsonl", row())
    append(tmp_path / "2.jsonl", row("b", "k2"))
    append(tmp_path / "3.jsonl", row("b", "k2", status=FAILED, reason="killed"))
    assert [(found.id, found.status) for found in read(sorted(tmp_path.glob("*.jsonl")))] == [
        ("ssd-mobilenet_v1-300", DONE),
        ("b", DONE),
    ]


def test_what_was_timed_on_two_devices_counts_on_both(tmp_path):
    """In one file, or in two: the same configuration on a processor and on an accelerator; what failed somewhere is not
    missed."""
    timed = [
        row(benchmark={"device": device, "milliseconds": {"end_to_end": {"median": 1.0}}}) for device in ("cpu", "gpu")
    ]
    append(tmp_path / "1.jsonl", row(status=FAILED, reason="killed"))
    append(tmp_path / "1.jsonl", timed[0])
    append(tmp_path / "2.jsonl", timed[1])
    append(tmp_path / "3.jsonl", row(status=FAILED, reason="killed"))
    files = [tmp_path / f"{number}.jsonl" for number in (1, 2, 3)]
    assert read(files) == timed and read(files[::-1]) == timed[::-1]
    for one in timed:
        append(tmp_path / FILE, one)
    assert read(tmp_path) == timed and [found.folder for found in read(tmp_path)] == [str(tmp_path)] * 2
    append(tmp_path / FILE, dataclasses.replace(timed[0], reason="again"))
    assert [found.reason for found in read(tmp_path)] == ["", "again"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("not json", "Expecting value"),
        ("[1]", "JSON object"),
        ('{"id": "a", "status": "done"}', "'key'"),
        ('{"id": "a", "key": "k", "status": "perhaps"}', "'status' is \"perhaps\""),
        ('{"id": "a", "key": "k", "status": "done", "metrics": []}', "'metrics'"),
        ('{"id": "a", "key": "k", "status": "done", "benchmark": 1}', "'benchmark'"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, line, reason):
    path = tmp_path / FILE
    path.write_text(f"{row().to_json()}\n{line}\n")
    with pytest.raises(DataError, match=f"{FILE}:2: not a sweep row.*{reason}"):
        read(path)


LINE = {"id": "a", "key": "k", "status": "done"}
HUGE = 10**400
FAULTS = {
    "config": [
        5,
        None,
        "/etc/passwd",
        "../secret",
        "a/../../b",
        "a\\..\\b",
        "C:\\x",
        "c:x",
        "\\\\host\\x",
        "a\0b",
        "\ud800",
        "x" * 300,
        "a\nb",
    ],
    "id": ["", 5, None, "x" * 301, "\udc80"],
    "key": ["", [], "a\x1b"],
    "status": [[], {}, True],
    "meta_architecture": [[], {}, None, "\ud800"],
    "feature_extractor": [{}, 5, "y" * 1000],
    "resolution": [float("nan"), float("inf"), 1.5, -1, HUGE, "300", True, [300]],
    "stride": [None, -8, "8"],
    "proposals": [-1, 1.5, "300", HUGE],
    "command": [float("inf"), None, ["ls"]],
    "reason": [5, {}],
    "axes": [[], {"a": 5}, {"a": None}, None],
    "metrics": [
        [],
        None,
        {"DetectionBoxes_Precision/mAP": HUGE},
        {"DetectionBoxes_Precision/mAP": 1.5},
        {"a": "0.5"},
        {"a": [1]},
        {"a": True},
    ],
    "train": [[], 5, {"steps": "3"}, {"weights_of": 5}, {"seconds": HUGE}, {"model_dir": []}],
    "benchmark": [
        [],
        {"milliseconds": []},
        {"milliseconds": {"end_to_end": 5}},
        {"milliseconds": {"end_to_end": {"median": "5"}}},
        {"milliseconds": {"end_to_end": {"median": -1}}},
        {"milliseconds": {"end_to_end": {"median": 1e300}}},
        {"milliseconds": {"end_to_end": {"median": 5e-324}}},
        {"device": ["cpu"]},
        {"device": None},
        {"host_mib": HUGE},
        {"parameters": {}},
        {"batch": [1]},
        {"tensorflow": {}},
        {"cpus": "2"},
        {"size": [300]},
        {"load_average": "high"},
    ],
    "images_evaluated": ["72", -1, 0.5],
    "anything": [eval("[" * 60 + "]" * 60)],
}


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in FAULTS.items() for value in values])
def test_every_field_is_checked(tmp_path, field, value):
    (tmp_path / FILE).write_text(json.dumps({**LINE, field: value}) + "\n")
    with pytest.raises(DataError, match=rf"{FILE}:1: not a sweep row: ('{field}['.]|lists and objects)") as raised:
        read(tmp_path)
    assert len(str(raised.value)) < 600 and str(raised.value).isprintable()


def test_all_damaged_lines_are_reported_and_the_file_stays(tmp_path):
    path = tmp_path / FILE
    twice = '{"id": "a", "id": "b"}'
    lines = [
        row().to_json(),
        "[" * 200_000,
        json.dumps({**LINE, "stride": -1, "axes": 5}),
        "",
        b"\xff\xfe".decode("latin-1"),
        twice,
    ]
    path.write_bytes("\n".join(lines).encode("latin-1") + b"\n")
    before = path.read_bytes()
    with pytest.raises(DataError) as raised:
        read(path)
    said = str(raised.value)
    assert (
        all(f"{FILE}:{number}: " in said for number in (2, 3, 5, 6))
        and f"{FILE}:4" not in said
        and "'stride'" in said
        and "'axes'" in said
    )
    assert "nested too deeply" in said and "not UTF-8" in said and "twice" in said and path.read_bytes() == before
    path.write_text("x\n" * 30)
    with pytest.raises(DataError, match="and 20 more lines"):
        read(path)


def test_numbers_that_were_not_measured_are_none(tmp_path):
    """Older writers wrote NaN: the row counts, the number does not."""
    tag = "DetectionBoxes_Precision/mAP"
    line = {
        **LINE,
        "metrics": {tag: float("nan"), "Loss/x": float("inf"), "y": -1.0},
        "benchmark": {"gflops": float("nan"), "device": "cpu"},
    }
    (tmp_path / FILE).write_text(json.dumps(line) + "\n")
    (found,) = read(tmp_path)
    assert (
        found.mean_ap is None and found.milliseconds is None and found.metrics == {tag: None, "Loss/x": None, "y": -1.0}
    )
    assert json.loads(found.to_json(), parse_constant=pytest.fail)["benchmark"] == {"gflops": None, "device": "cpu"}


def test_a_last_row_without_its_end_is_not_lost(tmp_path):
    path = tmp_path / FILE
    path.write_text(row().to_json())
    append(path, row("b", "k2"))
    assert [found.id for found in read(path)] == ["ssd-mobilenet_v1-300", "b"]


@pytest.mark.parametrize("text", ["my notes", '{"rows": [', "id,key\ra,k", '{"id": "a", "key": 5}', "[" * 100_000])
def test_what_this_did_not_write_is_never_removed(tmp_path, text):
    path = tmp_path / FILE
    before = f"{row().to_json()}\n{text}".encode()
    path.write_bytes(before)
    for act in (lambda: read(path), lambda: append(path, row("b", "k2"))):
        with pytest.raises(DataError, match=f"{FILE}:2: not a sweep row"):
            act()
    assert path.read_bytes() == before


def test_text_in_rows_acts_on_no_terminal(tmp_path):
    line = {
        **LINE,
        "id": "\x1b[2Ja\u202e",
        "reason": "a\nb",
        "axes": {"x\x07": "y\x9b"},
        "benchmark": {"device": "cpu\x1b]0;t\x07"},
    }
    (tmp_path / FILE).write_text(json.dumps(line) + "\n")
    (found,) = read(tmp_path)
    assert (
        found.id == r"\x1b[2Ja\u202e"
        and found.reason == "a b"
        and found.axes == {r"x\x07": r"y\x9b"}
        and found.device == r"cpu\x1b]0;t\x07"
    )


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match="results.jsonl"):
        read(tmp_path)


def test_rows_are_values():
    assert row() == dataclasses.replace(row(), reason="")


def test_what_stages_noted_is_checked(tmp_path):
    from detection.sweep.process import read_result

    path = tmp_path / "result.json"
    assert read_result(path) == {}
    path.write_text('{"metrics": {"a": NaN}, "benchmark": null}')
    assert read_result(path)["benchmark"] is None
    for text in ("", "[1]", '{"metrics": 5}', '{"train": "x"}', "[" * 100_000, '{"a": 1'):
        path.write_text(text)
        with pytest.raises(DataError, match=r"result.json: cannot be read .*; remove it"):
            read_result(path)


@pytest.mark.parametrize(
    ("text", "seconds"), [("12.5\n", 12.5), ("", 0.0), ("nan", 0.0), ("-5", 0.0), ("1e300", 0.0), ("x", 0.0)]
)
def test_a_clock_goes_on_from_what_it_noted(tmp_path, text, seconds):
    from detection.sweep.worker import SECONDS, Clock

    (tmp_path / SECONDS).write_text(text)
    assert seconds <= Clock(tmp_path).seconds() < seconds + 5


def test_a_sweep_does_not_work_on_a_damaged_file(tmp_path):
    """Whatever is in it stays: the sweep ends before anything is done."""
    from pathlib import Path

    from detection.config import sweep_file
    from detection.sweep import run

    sweep = sweep_file.load(Path(__file__).parents[2] / "configs" / "sweep" / "shapes.pbtxt")
    for text in ("[1]\n", "notes", f"{row().to_json()}\n" + "[" * 200_000, json.dumps({**LINE, "stride": -1})):
        (tmp_path / FILE).write_text(text)
        with pytest.raises(DataError, match=f"{FILE}:[12]: not a sweep row"):
            run.run(sweep, [], tmp_path, run.SweepOptions())
        assert (tmp_path / FILE).read_text() == text
