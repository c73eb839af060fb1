"""Rows as tables, JSON and lines of a file, and devices that are not mixed by accident."""

from __future__ import annotations

import json

import pytest

from detection.benchmark import report
from detection.errors import ConfigError, DataError


def _row(median: float = 20.0, **changes) -> dict:
    times = {"median": median, "low": median - 1, "high": median + 2, "mean": median + 0.5, "std": 0.75}
    parts = ("end_to_end", "preprocess", "first_stage", "second_stage", "postprocess", "network")
    row = {
        "saved_model": "",
        "config": "some/ssd.config",
        "checkpoint": None,
        "overrides": [],
        "batch": 1,
        "size": 300,
        "images": 500,
        "distinct_images": 1,
        "noise": True,
        "warmup": 10,
        "input": "uint8 [1, 300, 300, 3]",
        "network_input": [1, 300, 300, 3],
        "proposals_given": None,
        "milliseconds": {
            part: {name: value / (1 if part == "end_to_end" else 4) for name, value in times.items()} for part in parts
        },
        "cpu_milliseconds": {},
        "outside_network": 0.0312,
        "postprocess_share": 0.0456,
        "images_per_second": 1e3 / median,
        "parameters": 1_234_567,
        "gflops": 2.5,
        "not_counted": "crops",
        "host_mib": 512.4,
        "model_host_mib": 100.0,
        "held_host_mib": 333.0,
        "device_mib": None,
        "file_mib": 12.0,
        "device": "Some CPU, 2 cores",
        "cpus": 2,
        "load_average": 0.5,
        "tensorflow": "2.21.0",
        "precision": "float32",
        "detections": 100.0,
    }
    return {**row, **changes}


def test_one_row_in_full():
    text = report.text([_row(proposals_given=300, device_mib=77.7)])
    for words in (
        "random weights",
        "20.00",
        "19.00",
        "22.00",
        "20.50",
        "0.75",
        "second stage",
        "3.1 %",
        "4.6 %",
        "1,234,567",
        "2.50",
        "not counted: crops",
        "78 MiB",
    ):
        assert words in text, words
    assert "300 proposals an image given, whose making is not timed" in text
    single = _row()
    single["milliseconds"]["second_stage"] = None
    assert "stage" not in report.text([single]).replace("first stage of", "")


def test_several_rows_side_by_side():
    rows = [
        _row(),
        _row(30.0, config="b/rcnn.config", overrides=["model.faster_rcnn.first_stage_max_proposals=50"], gflops=None),
    ]
    lines = report.text(rows).splitlines()
    assert lines[0] == "Some CPU, 2 cores, TensorFlow 2.21.0, float32"
    (first,) = (line for line in lines if line.startswith("ssd "))
    assert "20.0" in first and "19.0 to 22.0" in first and "300 x 300" in first and "2.50" in first
    (second,) = (line for line in lines if line.startswith("rcnn "))
    assert "rcnn first_stage_max_proposals=50" in second and "?" in second and "7.5" in second


def test_json_is_a_row_or_a_list():
    assert json.loads(report.to_json([_row()]))["size"] == 300
    assert [row["images"] for row in json.loads(report.to_json([_row(), _row()]))] == [500, 500]


def test_a_results_file_grows_by_lines(tmp_path):
    path = str(tmp_path / "rows.jsonl")
    assert report.read(path) == []
    report.append(path, _row())
    report.append(path, _row(40.0))
    assert [row["milliseconds"]["end_to_end"]["median"] for row in report.read(path)] == [20.0, 40.0]
    with open(path, "a", encoding="utf-8") as stream:
        stream.write('{"half": \n')
    with pytest.raises(DataError, match="line 3: not a benchmark row"):
        report.read(path)
    with pytest.raises(ConfigError, match="--results="):
        report.append(str(tmp_path / "absent" / "rows.jsonl"), _row())
    with pytest.raises(ConfigError, match="--json="):
        report.save("x", str(tmp_path / "absent" / "x.json"))


def test_devices_are_not_mixed_by_accident():
    here, there = _row(), _row(device="Some GPU")
    report.check_devices([here, here], "Some CPU, 2 cores", "x")
    for rows, device in (([here, there], None), ([there], "Some CPU, 2 cores")):
        with pytest.raises(
            ConfigError, match="x: times on Some CPU, 2 cores and Some GPU are not comparable.*--allow_mixed_devices"
        ):
            report.check_devices(rows, device, "x")
    text = report.text([here, there])
    assert "Some GPU, TensorFlow" in text and text.splitlines()[3].endswith("device")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("milliseconds", {"end_to_end": {"median": 1}}),
        ("milliseconds", []),
        ("device", ["cpu"]),
        ("config", 5),
        ("overrides", "a=b"),
        ("overrides", [1]),
        ("batch", float("inf")),
        ("parameters", 10**400),
        ("size", "300"),
        ("gflops", float("nan")),
        ("tensorflow", None),
        ("network_input", None),
        ("host_mib", "x"),
    ],
)
def test_every_field_of_a_results_file_is_checked(tmp_path, field, value):
    path = tmp_path / "rows.jsonl"
    path.write_text(f"{json.dumps(_row())}\n{json.dumps(_row(**{field: value}))}\n{'[' * 100_000}\n")
    before = path.read_bytes()
    with pytest.raises(
        DataError,
        match=rf"line 2: not a benchmark row \('{field}' is .*line 3: not a benchmark row \(lists or objects",
    ):
        report.read(str(path))
    assert path.read_bytes() == before


def test_a_line_is_added_behind_one_without_its_end(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(_row()))
    report.append(str(path), _row(5.0))
    assert [row["milliseconds"]["end_to_end"]["median"] for row in report.read(str(path))] == [20.0, 5.0]
