"""A benchmark from end to end, on few runs: numbers that make sense, as text and as JSON."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from detection.benchmark import report
from detection.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def measured(exported) -> report.Report:
    return report.benchmark(str(exported), report.Options(image_size=(60, 80), batch=2, warmup=1, runs=5))


def test_numbers_make_sense(measured):
    assert set(measured.times) == {"end_to_end", "network", "preprocess", "postprocess"}
    assert all(0 < timing.low <= timing.median <= timing.high and timing.runs == 5 for timing in measured.times.values())
    assert measured.ratio > 0.5
    assert measured.images_per_second == pytest.approx(2000 / measured.times["end_to_end"].median)
    assert measured.input == "uint8 [2, 60, 80, 3]" and measured.network_input == "[2, 96, 96, 3]"
    assert 100_000 < measured.parameters < 10_000_000
    assert 0.001 < measured.gflops < 1
    assert measured.serving_host_mib > measured.model_host_mib >= 0
    assert 0 < measured.detections <= 50


def test_table_and_json_hold_the_same(measured, tmp_path):
    assert f"{measured.times['network'].median:.2f}" in measured.table()
    report.save(measured.to_json(), str(tmp_path / "x.json"))
    saved = json.loads((tmp_path / "x.json").read_text())
    assert saved["ratio"] == measured.ratio
    assert saved["times"]["network"]["median"] == measured.times["network"].median


def test_images_of_ones_own(exported_strings, tmp_path):
    for number, size in enumerate([(30, 40), (50, 20)]):
        Image.new("RGB", size, (9, 99, 199)).save(tmp_path / f"{number}.png")
    measured = report.benchmark(str(exported_strings), report.Options(images=(str(tmp_path),), warmup=1, runs=4))
    assert measured.input.startswith("string [1]")


def test_mistakes_name_the_flag(exported, tmp_path):
    with pytest.raises(ConfigError, match="--batch"):
        report.benchmark(str(exported), report.Options(batch=0))
    with pytest.raises(ConfigError, match="--image_size=10,x"):
        report.parse_size(["10", "x"])
    with pytest.raises(ConfigError, match="--image_size=10"):
        report.parse_size(["10"])
    with pytest.raises(DataError, match="absent"):
        report.benchmark(str(exported), report.Options(images=(str(tmp_path / "absent.png"),)))
    with pytest.raises(ConfigError, match="--saved_model="):
        report.benchmark(str(tmp_path), report.Options())
