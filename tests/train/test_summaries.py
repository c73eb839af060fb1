from __future__ import annotations

import importlib.util
import json

import tensorflow as tf

from detection.train.summaries import Summaries


def _events(folder) -> dict[str, float]:
    found = {}
    for path in folder.glob("events.*"):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                found[value.tag] = (event.step, float(tf.make_ndarray(value.tensor)))
    return found


def test_scalars_are_events_under_their_tags(tmp_path):
    summaries = Summaries(tmp_path / "train")
    summaries.scalars(3, {"Loss/total_loss": 0.5, "learning_rate": 0.25})
    summaries.close()
    assert _events(tmp_path / "train") == {"Loss/total_loss": (3, 0.5), "learning_rate": (3, 0.25)}


def test_without_tensorboard_they_are_lines_of_json(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    summaries = Summaries(tmp_path)
    summaries.scalars(3, {"a": 0.5})
    summaries.scalars(4, {"a": 0.25})
    summaries.close()
    lines = (tmp_path / "scalars.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [{"step": 3, "a": 0.5}, {"step": 4, "a": 0.25}]
    assert summaries.writer is None and "pip install tensorboard" in caplog.text


def test_switched_off(tmp_path):
    Summaries(tmp_path / "none", enabled=False).scalars(1, {"a": 1.0})
    assert not (tmp_path / "none").exists()


def test_what_cannot_be_written_costs_one_warning(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    summaries = Summaries(tmp_path / "file" / "train")
    summaries.scalars(1, {"a": 1.0})
    summaries.scalars(2, {"a": 1.0})
    assert caplog.text.count("continuing without") == 1
