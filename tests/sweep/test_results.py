"""Rows go out and come back whole; what a killed writer left does no harm; errors name file and line."""

from __future__ import annotations

import dataclasses
import json

import pytest

from detection.errors import ConfigError, DataError
from detection.sweep.results import DONE, FAILED, FILE, Row, append, read


def row(name: str = "ssd-mobilenet_v1-300", key: str = "k1", **values) -> Row:
    return Row(id=name, key=key, **{"status": DONE, "metrics": {"DetectionBoxes_Precision/mAP": 0.25}, **values})


def test_a_row_comes_back_as_it_was(tmp_path):
    timed = {"milliseconds": {"end_to_end": {"median": 12.5}}, "device": "a CPU"}
    first = row(proposals=300, axes={"resolution": "600"}, benchmark=timed, train={"steps": 3, "seconds": 1.5, "weights_of": None}, resolution=600)
    second = row("b", "k2", status=FAILED, reason="out of memory", other={"shard": 3})
    for one in (first, second):
        append(tmp_path / FILE, one)
    assert read(tmp_path) == [first, second] == read([tmp_path / FILE])
    assert (first.milliseconds, first.mean_ap, first.device) == (12.5, 0.25, "a CPU")
    assert (second.milliseconds, second.device, second.done) == (None, "", False)


def test_unknown_keys_are_kept():
    line = json.dumps({"id": "a", "key": "k", "status": "done", "from_the_future": [1, 2]})
    assert json.loads(Row.from_json(line).to_json())["from_the_future"] == [1, 2]


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
    assert [(found.id, found.status) for found in read(sorted(tmp_path.glob("*.jsonl")))] == [("ssd-mobilenet_v1-300", DONE), ("b", DONE)]


def test_what_was_timed_on_two_devices_counts_on_both(tmp_path):
    """In one file, or in two: the same configuration on a processor and on an accelerator; what failed somewhere is not missed."""
    timed = [row(benchmark={"device": device, "milliseconds": {"end_to_end": {"median": 1.0}}}) for device in ("cpu", "gpu")]
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
    "line, reason",
    [
        ("not json", "Expecting value"),
        ("[1]", "JSON object"),
        ('{"id": "a", "status": "done"}', "'key'"),
        ('{"id": "a", "key": "k", "status": "perhaps"}', "'perhaps'"),
        ('{"id": "a", "key": "k", "status": "done", "metrics": []}', "'metrics'"),
        ('{"id": "a", "key": "k", "status": "done", "benchmark": 1}', "'benchmark'"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, line, reason):
    path = tmp_path / FILE
    path.write_text(f"{row().to_json()}\n{line}\n")
    with pytest.raises(DataError, match=f"{FILE}:2: no row of a sweep.*{reason}"):
        read(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match="results.jsonl"):
        read(tmp_path)


def test_rows_are_values():
    assert row() == dataclasses.replace(row(), reason="")
