"""Several detectors at once: which, each in a process of its own, and what becomes of those that fail."""

from __future__ import annotations

import json

import pytest

from detection.benchmark import machine, report, run
from detection.benchmark.inputs import BenchmarkOptions
from detection.errors import ConfigError, DetectionError

FEW = BenchmarkOptions(image_size=(60, 80), warmup=1, runs=1)


def test_targets():
    assert run.targets(["a", "b"], [], []) == (run.Target(saved_model="a"), run.Target(saved_model="b"))
    assert run.targets([], ["c", "d"], ["x", "y"]) == (
        run.Target(config="c", checkpoint="x"),
        run.Target(config="d", checkpoint="y"),
    )
    assert [target.max_proposals for target in run.targets([], ["c"], [], ["10", "50"])] == [10, 50]
    for arguments, words in (
        (([], ["c", "d"], ["x"]), "--checkpoint is given 1 times"),
        ((["a"], [], [], ["10"]), "--max_proposals"),
        (([], ["c"], [], ["x"]), "--max_proposals=x"),
    ):
        with pytest.raises(ConfigError, match=words):
            run.targets(*arguments)


def test_one_detector_writes_all_that_was_asked_for(saved_model_of, tmp_path):
    files = {name: str(tmp_path / name) for name in ("row.json", "rows.jsonl")}
    written: list[str] = []
    request = run.BenchmarkRequest(
        (run.Target(saved_model=str(saved_model_of("ssd"))),), FEW, files["row.json"], files["rows.jsonl"]
    )
    assert run.run(request, written.append) == 0
    assert json.loads((tmp_path / "row.json").read_text())["images"] == 1
    assert len(report.read(files["rows.jsonl"])) == 1 and "end to end" in written[0]
    assert run.run(run.BenchmarkRequest((), FEW, results=files["rows.jsonl"]), written.append) == 0  # only shows
    assert written[1] == written[0]


def test_devices_are_compared_before_anything_is_measured(tmp_path):
    path = tmp_path / "rows.jsonl"
    times = dict.fromkeys(("median", "low", "high", "mean", "std"), 1.0)
    parts = dict.fromkeys(("end_to_end", "preprocess", "first_stage", "second_stage", "postprocess", "network"), times)
    row = {
        "saved_model": "",
        "config": "a.config",
        "checkpoint": None,
        "overrides": [],
        "batch": 1,
        "size": 300,
        "images": 20,
        "distinct_images": 1,
    }
    row |= {
        "noise": True,
        "warmup": 3,
        "input": "uint8 [1]",
        "network_input": [1, 300, 300, 3],
        "proposals_given": None,
        "milliseconds": parts,
    }
    row |= {
        "cpu_milliseconds": {},
        "outside_network": 0.1,
        "postprocess_share": 0.1,
        "images_per_second": 200.0,
        "parameters": 5000,
        "gflops": 2.5,
    }
    row |= {
        "not_counted": "",
        "host_mib": 500.0,
        "model_host_mib": 100.0,
        "held_host_mib": 300.0,
        "device_mib": None,
        "file_mib": 12.5,
    }
    row |= {
        "device": "elsewhere",
        "cpus": 2,
        "load_average": 0.5,
        "tensorflow": "2.21.0",
        "precision": "float32",
        "detections": 20.0,
    }
    path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    request = run.BenchmarkRequest((run.Target(saved_model="absent"),), FEW, results=str(path))
    with pytest.raises(ConfigError, match="are not comparable"):
        run.run(request, print)
    with pytest.raises(ConfigError, match="--saved_model=absent"):
        run.run(run.BenchmarkRequest(request.targets, FEW, results=str(path), allow_mixed_devices=True), print)
    with pytest.raises(ConfigError, match="contains no rows"):
        run.run(run.BenchmarkRequest((), FEW, results=str(tmp_path / "none.jsonl")), print)


@pytest.mark.slow
def test_one_that_fails_costs_only_its_own_row(saved_model_of, tmp_path, capsys):
    found = (run.Target(saved_model=str(saved_model_of("ssd"))), run.Target(saved_model=str(tmp_path)))
    written: list[str] = []
    assert (
        run.run(run.BenchmarkRequest(found, FEW, str(tmp_path / "rows.json")), written.append) == ConfigError.exit_code
    )
    assert json.loads((tmp_path / "rows.json").read_text())["device"] == machine.device()
    assert f"error: --saved_model={tmp_path}: holds no saved_model.pb" in capsys.readouterr().err


def test_a_process_that_dies_is_told(monkeypatch):
    monkeypatch.setattr(run.sys, "executable", "/bin/false")
    with pytest.raises(ConfigError, match="x: the process that measured it ended: no error message"):
        run._in_process(run.Target(config="x"), FEW)


def test_what_a_process_raises_is_told_whatever_its_kind(config_of, tmp_path):
    """An error of a kind that only the module knows which raises it, as that of a checkpoint which is not there."""
    target = run.Target(config=config_of("ssd"), checkpoint=str(tmp_path / "absent"))
    with pytest.raises(DetectionError, match="absent.*no such checkpoint"):
        run._in_process(target, FEW)
