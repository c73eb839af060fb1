"""Rows from end to end, on few runs: numbers that make sense, for every meta-architecture."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detection.benchmark import machine, report, rows
from detection.benchmark.inputs import BenchmarkOptions
from detection.benchmark.served_graph import ServedGraph
from detection.errors import ConfigError, DataError

FEW = BenchmarkOptions(image_size=(60, 80), warmup=1, runs=3, proposals=20)
TWO_STAGES = ("faster_rcnn", "rfcn", "fast_rcnn")
PROPOSALS = "model.faster_rcnn.first_stage_max_proposals"


@pytest.fixture(scope="module")
def measured(exported) -> rows.BenchmarkRow:
    return rows.row_of_saved_model(str(exported), BenchmarkOptions(image_size=(60, 80), batch=2, warmup=1, runs=5))


def test_numbers_make_sense(measured):
    times = measured["milliseconds"]
    assert set(times) == {
        "end_to_end",
        "preprocess",
        "first_stage",
        "second_stage",
        "postprocess",
        "network",
        "without_postprocess",
    }
    assert times["second_stage"] is None and times["first_stage"] == times["network"]
    for name in ("end_to_end", "preprocess", "postprocess", "network"):
        assert 0 < times[name]["low"] <= times[name]["median"] <= times[name]["high"]
        assert times[name]["std"] >= 0 and measured["cpu_milliseconds"][name] > 0
    assert measured["outside_network"] < 1
    assert 0 <= measured["postprocess_share"] <= times["postprocess"]["median"] / times["end_to_end"]["median"]
    assert measured["images_per_second"] == pytest.approx(2000 / times["end_to_end"]["mean"])
    assert (
        measured["input"] == "uint8 [2, 60, 80, 3]"
        and measured["network_input"] == [2, 96, 96, 3]
        and measured["size"] == [60, 80]
    )
    assert (
        measured["images"] == 10 and measured["batch"] == 2 and measured["noise"] and measured["distinct_images"] == 1
    )
    assert 100_000 < measured["parameters"] < 10_000_000 and 0.001 < measured["gflops"] < 1
    assert measured["host_mib"] > measured["model_host_mib"] > 0
    assert 0 < measured["detections"] <= 50 and measured["proposals_given"] is None
    assert measured["tensorflow"] in report.text([measured])


@pytest.mark.parametrize("meta", TWO_STAGES)
def test_two_stages_apart(saved_model_of, meta):
    row = rows.row_of_saved_model(saved_model_of(meta), FEW)
    times = row["milliseconds"]
    assert times["first_stage"]["median"] > 0 and times["second_stage"]["median"] > 0
    assert row["proposals_given"] == (20 if meta == "fast_rcnn" else None)
    assert row["gflops"] > 0.001 and 100_000 < row["parameters"] < 1_000_000


def test_slow_detectors_do_without_more_copies_of_their_graph(saved_model_of, monkeypatch):
    monkeypatch.setattr(rows, "SLOW", 0.0)
    row = rows.row_of_saved_model(saved_model_of("faster_rcnn"), FEW)
    times = row["milliseconds"]
    assert times["without_postprocess"] is None
    assert times["network"]["mean"] == pytest.approx(times["first_stage"]["mean"] + times["second_stage"]["mean"])
    assert row["postprocess_share"] == pytest.approx(times["postprocess"]["median"] / times["end_to_end"]["median"])
    assert row["gflops"] > 0.001 and "outside network" in report.text([row])
    one = rows.row_of_saved_model(saved_model_of("ssd"), FEW)["milliseconds"]  # Its network is its only stage.
    assert (
        one["second_stage"] is None and one["without_postprocess"] is not None and one["first_stage"] == one["network"]
    )


def test_more_proposals_are_more_work(config_of):
    config = config_of("faster_rcnn")
    ten, twenty = (
        rows.row_of_config(config, None, BenchmarkOptions(image_size=(60, 80), warmup=1, runs=1, max_proposals=count))
        for count in (10, 20)
    )
    assert (ten["config"], ten["saved_model"], ten["checkpoint"]) == (config, "", None)
    assert ten["gflops"] < twenty["gflops"] < 2 * ten["gflops"] and ten["overrides"] == [f"{PROPOSALS}=10"]
    with pytest.raises(ConfigError, match="--max_proposals=10.*model.faster_rcnn only"):
        rows.row_of_config(config_of("fast_rcnn"), None, BenchmarkOptions(max_proposals=10))


def test_regions_that_take_turns_are_served_but_not_counted(config_of, saved_model_of):
    """Above some hundred proposals a loop works on a part of them at a time, of sizes that the exported graph does not
    tell."""
    row = rows.row_of_config(
        config_of("fast_rcnn"), None, BenchmarkOptions(image_size=(60, 80), warmup=1, runs=1, proposals=600)
    )
    assert row["gflops"] is None and row["not_counted"].startswith("anything: regions are processed")
    # Within 2 %: a loop holds some constants that are no weights.
    assert row["parameters"] == pytest.approx(ServedGraph(saved_model_of("fast_rcnn")).count_parameters(), rel=0.02)
    assert row["proposals_given"] == 600 and row["detections"] > 0


def test_squares_and_weights_of_a_checkpoint(trained, exported):
    options = BenchmarkOptions(shorter_side=70, warmup=1, runs=1)
    own, served = (
        rows.row_of_config(trained.config, trained.checkpoint, options),
        rows.row_of_saved_model(str(exported), options),
    )
    assert own["size"] == served["size"] == 70 and own["input"] == "uint8 [1, 70, 70, 3]"
    assert own["checkpoint"] == trained.checkpoint and own["parameters"] == served["parameters"]
    assert own["detections"] == served["detections"] and own["gflops"] == served["gflops"]


def test_strings_are_sent_encoded(exported_strings):
    assert rows.row_of_saved_model(str(exported_strings), FEW)["input"] == "string [1]"


def test_mistakes_name_the_flag(exported, tmp_path, config_of):
    with pytest.raises(ConfigError, match="--batch"):
        rows.row_of_saved_model(str(exported), BenchmarkOptions(batch=0))
    with pytest.raises(DataError, match="absent"):
        rows.row_of_saved_model(str(exported), BenchmarkOptions(images=(str(tmp_path / "absent.png"),)))
    with pytest.raises(ConfigError, match="--saved_model="):
        rows.row_of_saved_model(str(tmp_path), BenchmarkOptions())
    with pytest.raises(ConfigError, match="absent"):
        rows.row_of_config(config_of("ssd"), str(tmp_path / "absent"), FEW)


forgets_peaks = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists() or not sys.platform.startswith("linux"),
    reason="only Linux forgets peaks",
)


@forgets_peaks
def test_photographs_are_no_part_of_the_model(exported, tmp_path):
    for index in range(15):  # 9 MiB each, and as much again as it is fed.
        Image.new("RGB", (2000, 1500), (index, 0, 0)).save(tmp_path / f"{index:02}.jpg")
    one, all_of_them = (
        rows.row_of_saved_model(str(exported), BenchmarkOptions(images=(str(tmp_path),), warmup=1, runs=runs))
        for runs in (1, 15)
    )
    assert (one["distinct_images"], all_of_them["distinct_images"]) == (1, 15)
    assert all_of_them["model_host_mib"] < one["model_host_mib"] + 120


@forgets_peaks
def test_peaks_begin_anew():
    held = np.ones(2**25)  # 256 MiB
    high = machine.peak_host_mib()
    del held
    gc.collect()
    machine.reset_peaks()
    assert machine.peak_host_mib() < high - 200
