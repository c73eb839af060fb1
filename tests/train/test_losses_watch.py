from __future__ import annotations

import json

import pytest
import tensorflow as tf

from detection.errors import DivergedError
from detection.train.losses_watch import LossesWatch
from detection.train.step import StepResult

_TAGS = ("Loss/total_loss", "learning_rate")


def _watch(folder, limit=2) -> LossesWatch:
    return LossesWatch(lambda: _TAGS, limit, folder, lambda ids: (ids,))


def _add(watch, step, loss):
    watch.add(step, StepResult(tf.constant([loss, 0.5]), tf.math.is_finite(loss)), tf.constant([f"image_{step}"]))


def test_means_are_over_finite_steps(tmp_path):
    watch = _watch(tmp_path)
    for step, loss in enumerate((1.0, float("nan"), 3.0), 1):
        _add(watch, step, loss)
    assert watch.check("none") == {"Loss/total_loss": 3.0, "learning_rate": 0.5}
    assert watch.check("none") == {} and watch.streak == 0 and watch.total_skipped == 1
    assert watch.means() == {"Loss/total_loss": 2.0, "learning_rate": 0.5} and watch.means() == {}


def test_one_odd_step_is_told_with_its_images(tmp_path, caplog):
    watch = _watch(tmp_path)
    _add(watch, 7, float("inf"))
    watch.check("none")
    assert watch.streak == 1
    assert "step 7: the loss is not finite (Loss/total_loss inf); update skipped; images: image_7" in caplog.text


def test_a_record_that_cannot_be_written_does_not_hide_the_divergence(tmp_path):
    watch = _watch(tmp_path / "gone", limit=1)
    _add(watch, 8, float("nan"))
    with pytest.raises(
        DivergedError, match=r"images of the first one: image_8 \(.*diverged.json cannot be written: no such file"
    ) as raised:
        watch.check("dir/model.ckpt-5")
    assert raised.value.exit_code == 4


def test_several_in_a_row_end_the_run(tmp_path):
    watch = _watch(tmp_path)
    for step in (8, 9):
        _add(watch, step, float("nan"))
    with pytest.raises(
        DivergedError,
        match=r"step 8: .*Loss/total_loss nan.*learning rate 0\.5; images of the first one: image_8.*ckpt-5",
    ) as raised:
        watch.check("dir/model.ckpt-5")
    assert raised.value.exit_code == 4 and "\n" not in str(raised.value)
    saved = json.loads((tmp_path / "diverged.json").read_text())
    assert saved["last_checkpoint"] == "dir/model.ckpt-5"
    assert [row["source_ids"] for row in saved["steps"]] == [["image_8"], ["image_9"]]
