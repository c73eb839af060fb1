"""Measuring train steps on records that are really read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from detection.benchmark import training_speed
from detection.data import synthetic_set
from detection.errors import ConfigError


@pytest.fixture
def config(tmp_path: Path) -> str:
    """The detector of the other tests, with data of its own."""
    text = (Path(__file__).resolve().parents[1] / "helpers" / "tiny.config").read_text(encoding="utf-8")
    synthetic_set.make(tmp_path, {"train": 6}, 0, ((64, 64),), 0, True)
    text = text.replace("num_classes: 3", "num_classes: 4").replace("LABEL_MAP", str(tmp_path / "label_map.pbtxt"))
    (tmp_path / "pipeline.config").write_text(
        text.replace("absent.record", str(tmp_path / "train.record-*")), encoding="utf-8"
    )
    return str(tmp_path / "pipeline.config")


def test_steps_are_timed_and_nothing_is_written(config):
    before = sorted(Path(config).parent.iterdir())
    report = training_speed.benchmark(config, ["train_config.batch_size=3"], warmup=1, steps=4)
    assert report.batch_size == 3 and report.step.runs == 4
    assert 0 <= report.wait_share < 1
    assert report.images_per_second == pytest.approx(3 * 4 / (report.step.median * 4 / 1e3), rel=0.9)
    assert report.traces == 1
    assert json.loads(report.to_json())["step"]["median"] == report.step.median
    assert "waits for input" in report.table()
    assert sorted(Path(config).parent.iterdir()) == before


def test_a_config_without_training_is_told_apart(config):
    text = Path(config).read_text(encoding="utf-8")
    Path(config).write_text(
        "\n".join(line for line in text.splitlines() if not line.startswith("train_config")), encoding="utf-8"
    )
    with pytest.raises(ConfigError, match="train_config"):
        training_speed.benchmark(config, [], warmup=1, steps=1)
