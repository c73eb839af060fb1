from __future__ import annotations

import os

import numpy as np
import pytest

from detection.checkpoints import checkpoint_files
from detection.checkpoints.rotation import Checkpoints
from detection.errors import ConfigError
from detection.evaluate.results import write_metrics
from detection.train.best import Best


@pytest.fixture
def saved(tmp_path) -> Checkpoints:
    kept = Checkpoints(tmp_path)
    for step in (1, 2, 3):
        kept.save(step, {"w": np.full(1000, step, np.float32)})
    return kept


def test_the_best_is_kept_beyond_rotation_and_restart(tmp_path, saved):
    best = Best(tmp_path, "mAP")
    assert best.offer(1, {"mAP": 0.3}, saved.prefix(1))
    assert not best.offer(2, {"mAP": 0.3}, saved.prefix(2))
    assert not best.offer(2, {"mAP": float("nan")}, saved.prefix(2))
    assert best.offer(2, {"mAP": 0.4}, saved.prefix(2))
    again = Best(tmp_path, "mAP")
    assert (again.value, again.step) == (0.4, 2)
    assert not again.offer(3, {"mAP": 0.35}, saved.prefix(3))
    for step in saved.steps():
        checkpoint_files.delete(saved.prefix(step))
    assert checkpoint_files.read(checkpoint_files.locate(tmp_path / "best"))["w"][0] == 2
    files = [f"model.ckpt-2{checkpoint_files.DATA}", f"model.ckpt-2{checkpoint_files.INDEX}"]
    assert sorted(os.listdir(tmp_path / "best")) == ["best.json", "checkpoint", *files]


def test_minus_one_means_nothing_to_find_and_is_never_best(tmp_path, saved):
    assert not Best(tmp_path, "mAP").offer(1, {"mAP": -1.0}, saved.prefix(1))


def test_the_metric_is_the_first_usual_one_or_the_one_named(tmp_path, saved):
    best = Best(tmp_path)
    assert not best.offer(1, {"Loss/total_loss": 1.0}, saved.prefix(1)) and best.metric is None
    assert best.offer(1, {"PascalBoxes_Precision/mAP@0.5IOU": 0.5, "Loss/total_loss": 1.0}, saved.prefix(1))
    assert best.metric == "PascalBoxes_Precision/mAP@0.5IOU"
    with pytest.raises(ConfigError, match="--best_metric other: evaluation reports no such metric; it reports a, b"):
        Best(tmp_path, "other").offer(1, {"a": 1.0, "b": 2.0}, saved.prefix(1))


def test_a_best_file_of_another_metric_does_not_count(tmp_path, saved):
    Best(tmp_path, "a").offer(1, {"a": 0.9}, saved.prefix(1))
    assert Best(tmp_path, "b").offer(2, {"b": 0.1}, saved.prefix(2))


def test_giving_up_after_some_evaluations_without_a_better_one(tmp_path, saved):
    best = Best(tmp_path, "a", patience=2)
    for value, stops in ((0.5, False), (0.5, False), (0.6, False), (0.1, False), (0.2, True)):
        best.offer(1, {"a": value}, saved.prefix(1))
        assert best.gives_up() is stops
    assert not Best(tmp_path, "a").gives_up()


def test_the_lowest_loss_is_the_best(tmp_path, saved):
    best = Best(tmp_path, "Loss/total_loss")
    kept = [
        best.offer(step, {"Loss/total_loss": value}, saved.prefix(step))
        for step, value in ((1, 2.0), (2, 2.5), (2, float("nan")), (3, 1.5))
    ]
    assert kept == [True, False, False, True]
    assert (Best(tmp_path, "Loss/total_loss").value, best.step) == (1.5, 3)


def test_patience_goes_on_after_a_restart(tmp_path, saved):
    for step, value in ((1, 0.5), (2, 0.4), (3, 0.3)):
        write_metrics(tmp_path, step, {"a": value})
    Best(tmp_path, "a").offer(1, {"a": 0.5}, saved.prefix(1))
    assert Best(tmp_path, "a", patience=2, resumed_at=3).gives_up()
    going_back = Best(
        tmp_path, "a", patience=2, resumed_at=2
    )  # As after a damaged checkpoint: the evaluation of step 3 comes again.
    assert not going_back.gives_up()
    going_back.offer(3, {"a": 0.3}, saved.prefix(3))
    assert going_back.gives_up()
    assert not Best(tmp_path, "a", patience=2).gives_up()


def test_what_was_not_saved_is_not_kept(tmp_path):
    best = Best(tmp_path, "a")
    assert not best.offer(1, {"a": 0.5}, None) and not best.folder.exists()


def test_a_garbage_best_file_is_no_reason_to_stop(tmp_path, caplog):
    (tmp_path / "best").mkdir()
    (tmp_path / "best" / "best.json").write_text("{")
    assert Best(tmp_path, "mAP").value is None
    assert "the search for the best checkpoint starts again" in caplog.text
