from __future__ import annotations

import dataclasses
import io
import json
import logging
import os
import signal

import numpy as np
import pytest
import tensorflow as tf

from detection import files
from detection.checkpoints import checkpoint_files
from detection.checkpoints.restore import FineTune
from detection.errors import ConfigError, DivergedError, ModelDirInUseError
from detection.evaluate.results import read_history
from detection.optimizers.schedules import CosineDecay
from detection.train import loop, run_dir
from detection.train import run as training_run
from detection.train.interrupt import Interrupted
from detection.train.options import RunOptions
from tests.helpers.tiny import TinyDetector, make_optimizer, make_pipeline

_QUICK = RunOptions(checkpoint_every=2, log_every=2, seed=5)


def _train(pipeline, folder, options=_QUICK, **more) -> dict[str, float]:
    """Without evaluation, which takes longer than these few steps."""
    return loop.train(
        dataclasses.replace(pipeline, eval_inputs=()), folder, options=options, stream=io.StringIO(), **more
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A pipeline, and what a run of it that nobody disturbs ends with."""
    folder = tmp_path_factory.mktemp("whole")
    pipeline = make_pipeline(folder, optimizer=make_optimizer(decay=0.5))
    _train(pipeline, folder / "run")
    return pipeline, _final(folder / "run")


def _final(folder, step=6) -> dict[str, np.ndarray]:
    return checkpoint_files.read(folder / f"model.ckpt-{step}")


def _assert_equal(first: dict, second: dict) -> None:
    assert first.keys() == second.keys()
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name], err_msg=name)


def test_a_run_leaves_what_it_says(tmp_path):
    stream = io.StringIO()
    metrics = loop.train(make_pipeline(tmp_path), tmp_path / "run", options=_QUICK, stream=stream)
    folder = tmp_path / "run"
    assert "DetectionBoxes_Precision/mAP" in metrics and "Loss/total_loss" in metrics
    names = set(os.listdir(folder))
    assert {
        "pipeline.config",
        "checkpoint",
        "best",
        "train",
        "eval",
        "model.ckpt-2.index",
        "model.ckpt-6.index",
    } <= names
    saved = json.loads((folder / "eval" / "metrics.json").read_text())
    assert saved["step"] == 6 and saved["metrics"]["Loss/total_loss"] == pytest.approx(metrics["Loss/total_loss"])
    assert {"global_step", "BoxPredictor_0/weights", "BoxPredictor_0/weights/Momentum"} <= _final(folder).keys()
    tags = {
        value.tag
        for path in (folder / "train").glob("events.*")
        for event in tf.compat.v1.train.summary_iterator(str(path))
        for value in event.summary.value
    }
    assert {
        "Loss/localization_loss",
        "Loss/classification_loss",
        "Loss/regularization_loss",
        "Loss/total_loss",
        "learning_rate",
    } <= tags
    assert {"global_step/sec", "images/sec", "input_wait_share"} <= tags
    assert "stopped at the last step; the last checkpoint is" in stream.getvalue()
    assert "loss" in stream.getvalue() and "images/s" in stream.getvalue()


def test_resuming_equals_never_having_stopped(tmp_path, whole):
    pipeline, expected = whole
    _train(pipeline, tmp_path, num_steps=3)
    _train(pipeline, tmp_path)
    _assert_equal(_final(tmp_path), expected)


def test_a_damaged_newest_checkpoint_costs_one_interval_only(tmp_path, whole):
    pipeline, expected = whole
    _train(pipeline, tmp_path, num_steps=4)
    data = tmp_path / f"model.ckpt-4{checkpoint_files.DATA}"
    data.write_bytes(data.read_bytes()[:-100])
    _train(pipeline, tmp_path)
    _assert_equal(_final(tmp_path), expected)


def test_sigterm_saves_and_says_143(tmp_path):
    class Killer(io.StringIO):
        def write(self, text):
            if text.startswith("train  3/") and not self.getvalue().count("train  3/"):
                os.kill(os.getpid(), signal.SIGTERM)
            return super().write(text)

    pipeline = make_pipeline(tmp_path, num_steps=1000)
    options = dataclasses.replace(_QUICK, checkpoint_every=10_000, log_every=10_000, progress_seconds=0.0)
    with pytest.raises(Interrupted, match="stopped by signal 15; the last checkpoint is .*model.ckpt-") as raised:
        loop.train(dataclasses.replace(pipeline, eval_inputs=()), tmp_path / "run", options=options, stream=Killer())
    assert raised.value.exit_code == 143
    assert len(list((tmp_path / "run").glob("model.ckpt-*.index"))) == 1


def test_divergence_stops_with_the_last_good_checkpoint(tmp_path):
    pipeline = make_pipeline(tmp_path, num_steps=100, optimizer=make_optimizer(rate=1e30))
    with pytest.raises(DivergedError, match="learning rate 1e[+]30; images of the first one: image_") as raised:
        _train(pipeline, tmp_path / "run", dataclasses.replace(_QUICK, checkpoint_every=1))
    record = tmp_path / "run" / "diverged.json"
    assert raised.value.exit_code == 4 and str(record) in str(raised.value)
    assert all(row["source_ids"] for row in json.loads(record.read_text())["steps"])
    steps = sorted(int(path.stem.split("-")[1]) for path in (tmp_path / "run").glob("model.ckpt-*.index"))
    for step in steps:
        values = _final(tmp_path / "run", step)
        assert all(np.isfinite(value).all() for value in values.values() if value.dtype.kind == "f"), step
    assert json.loads((tmp_path / "run" / "diverged.json").read_text())["steps"]


def test_resuming_with_another_config_is_refused_unless_allowed(tmp_path):
    pipeline = make_pipeline(tmp_path)
    _train(pipeline, tmp_path / "run", num_steps=2)
    changed = dataclasses.replace(pipeline, text=pipeline.text.replace("batch_size: 4", "batch_size: 2"))
    with pytest.raises(ConfigError, match="train_config.batch_size was 4, is now 2"):
        _train(changed, tmp_path / "run")
    _train(changed, tmp_path / "run", dataclasses.replace(_QUICK, allow_config_change=True), num_steps=4)
    assert (tmp_path / "run" / "pipeline.config").read_text() == changed.text


def test_another_optimiser_on_resume_is_named_or_starts_anew(tmp_path, caplog):
    pipeline = make_pipeline(tmp_path)
    _train(pipeline, tmp_path / "run", num_steps=2)
    from detection.optimizers.rules import Adam

    other = make_pipeline(tmp_path, optimizer=make_optimizer(rule=Adam(), decay=0.9))
    with pytest.raises(ConfigError, match="model.ckpt-2: .*Adam"):
        _train(other, tmp_path / "run")
    _train(other, tmp_path / "run", dataclasses.replace(_QUICK, allow_config_change=True), num_steps=4)
    assert "keep their initial values" in caplog.text
    assert "BoxPredictor_0/weights/Adam_1" in _final(tmp_path / "run", 4)


def test_fine_tuning_starts_from_somebody_elses_weights(tmp_path):
    pipeline = make_pipeline(tmp_path)
    assert (
        _train(pipeline, tmp_path / "first")["Loss/total_loss"] > 0
    )  # Without an evaluation, the last losses are the result.
    start = FineTune(str(tmp_path / "first" / "model.ckpt-6"), "full")
    stream = io.StringIO()
    second = make_pipeline(tmp_path, num_steps=2, fine_tune=start, optimizer=make_optimizer(rate=0.0))
    loop.train(dataclasses.replace(second, eval_inputs=()), tmp_path / "second", options=_QUICK, stream=stream)
    np.testing.assert_array_equal(
        _final(tmp_path / "second", 2)["BoxPredictor_0/weights"], _final(tmp_path / "first")["BoxPredictor_0/weights"]
    )
    assert "(full):" in stream.getvalue() and "7  restored" in stream.getvalue()
    missing = make_pipeline(tmp_path, fine_tune=FineTune(str(tmp_path / "none"), "full"))
    with pytest.raises(ConfigError, match="none: no such checkpoint"):
        _train(missing, tmp_path / "third")


def test_early_stopping(tmp_path):
    pipeline = make_pipeline(tmp_path, num_steps=1000, optimizer=make_optimizer(rate=0.0))
    stream = io.StringIO()
    options = dataclasses.replace(_QUICK, evaluate_every=1, stop_after=3, best_metric="DetectionBoxes_Recall/AR@100")
    loop.train(pipeline, tmp_path / "run", options=options, stream=stream)
    assert "stopped early" in stream.getvalue()
    assert max(int(path.stem.split("-")[1]) for path in (tmp_path / "run").glob("model.ckpt-*.index")) < 20


def test_averaged_weights_are_evaluated_when_asked_for(tmp_path):
    pipeline = make_pipeline(tmp_path, optimizer=make_optimizer(rate=0.5, decay=1.0))
    averaged = dataclasses.replace(pipeline, evaluate=dataclasses.replace(pipeline.evaluate, use_moving_averages=True))
    own = loop.train(pipeline, tmp_path / "run", options=_QUICK, stream=io.StringIO())
    before = _final(tmp_path / "run")
    average = loop.train(
        averaged, tmp_path / "run", options=_QUICK, stream=io.StringIO()
    )  # All steps are made: this only evaluates.
    assert own["Loss/total_loss"] != average["Loss/total_loss"]
    _assert_equal(before, _final(tmp_path / "run"))


def test_a_full_disk_does_not_stop_training_but_its_end_tells(tmp_path, caplog):
    pipeline = make_pipeline(tmp_path)
    run = tmp_path / "run"

    def refuse(self, step, tensors, interim=False):
        raise OSError(f"{run}/model.ckpt-{step}: cannot be saved: no space left on device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training_run.Checkpoints, "save", refuse)
        with pytest.raises(
            ConfigError,
            match="model.ckpt-6: cannot be saved: no space left on device; the last checkpoint is none .nothing was",
        ):
            _train(pipeline, run)
    assert caplog.text.count("training continues") >= 2


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_a_disk_too_full_for_the_files_of_an_evaluation_does_not_stop_training_but_its_end_tells(tmp_path, caplog):
    partial = files.partial(tmp_path / "run" / "eval" / "metrics.jsonl")
    partial.parent.mkdir(parents=True)
    full = dataclasses.replace(_QUICK, evaluate_every=4)
    original = training_run.Evaluation.run

    def run(self, *arguments):
        partial.symlink_to("/dev/full")  # Removed by whoever fails to write it.
        return original(self, *arguments)

    said = (
        r"step 6: the metrics in .*eval cannot be written \(no space left on device\); the last checkpoint is"
        r" .*model.ckpt-6; make room"
    )
    with pytest.MonkeyPatch.context() as patch, pytest.raises(ConfigError, match=said):
        patch.setattr(training_run.Evaluation, "run", run)
        loop.train(make_pipeline(tmp_path), tmp_path / "run", options=full, stream=io.StringIO())
    assert _final(tmp_path / "run")["global_step"] == 6
    assert (
        f"step 4: the metrics in {partial.parent} cannot be written (no space left on device); continuing"
        in caplog.text
    )
    loop.train(make_pipeline(tmp_path), tmp_path / "run", options=full, stream=io.StringIO())  # There is room now.
    assert [record["step"] for record in read_history(tmp_path / "run")] == [6]


def test_out_of_memory_says_what_to_lower(tmp_path):
    class Greedy(TinyDetector):
        def loss(self, predictions, groundtruth):
            size = tf.cast(tf.reduce_sum(groundtruth.counts), tf.int64) * 2**42
            return {"Loss/localization_loss": tf.reduce_sum(tf.random.uniform([size]))}

    def make_greedy():
        detector = Greedy()
        detector.build_weights()
        return detector

    text = (
        "model {\n  ssd {\n    image_resizer {\n      fixed_shape_resizer {\n        height: 6000\n        width:"
        " 8000\n      }\n    }\n  }\n}\n"
    )
    pipeline = dataclasses.replace(make_pipeline(tmp_path), make_detector=make_greedy, text=text)
    with pytest.raises(
        ConfigError, match="step 0: out of memory with train_config.batch_size 4; lower it, or the sizes of "
    ) as raised:
        _train(pipeline, tmp_path / "run")
    assert (
        "model.ssd.image_resizer.fixed_shape_resizer (height 6000, width 8000) (" in str(raised.value)
        and raised.value.exit_code == 2
    )


def test_the_end_of_the_data_ends_the_run_in_order(tmp_path):
    pipeline = make_pipeline(tmp_path, num_steps=1000)
    pipeline = dataclasses.replace(
        pipeline, train_input=dataclasses.replace(pipeline.train_input, num_epochs=2)
    )  # 24 images: 6 steps.
    stream = io.StringIO()
    metrics = loop.train(
        pipeline, tmp_path / "run", options=dataclasses.replace(_QUICK, checkpoint_every=4), stream=stream
    )
    assert (
        "step 6: stopped at the end of the data: the 2 epochs of train_input_reader.num_epochs are done; the last"
        in stream.getvalue()
    )
    assert json.loads((tmp_path / "run" / "eval" / "metrics.json").read_text())["step"] == 6 and metrics
    assert _final(tmp_path / "run")["global_step"] == 6
    again = _train(pipeline, tmp_path / "run")  # There is nothing left to read.
    assert again == {} and _final(tmp_path / "run")["global_step"] == 6
    large = dataclasses.replace(pipeline, train=dataclasses.replace(pipeline.train, batch_size=30))
    with pytest.raises(
        ConfigError,
        match="the 2 epochs of train_input_reader.num_epochs do not fill one batch of train_config.batch_size 30",
    ):
        _train(large, tmp_path / "large")


def test_nothing_to_train_on_and_a_folder_in_use(tmp_path):
    pipeline = make_pipeline(tmp_path)
    with pytest.raises(ConfigError, match="no train_config"):
        _train(dataclasses.replace(pipeline, train=None), tmp_path / "run")
    with pytest.raises(ConfigError, match="no train_input_reader"):
        _train(dataclasses.replace(pipeline, train_input=None), tmp_path / "run")
    assert ModelDirInUseError.exit_code == 5 and run_dir.AS_RUN == "pipeline.config"


def test_what_is_frozen_is_said_and_must_exist(tmp_path):
    pipeline = dataclasses.replace(make_pipeline(tmp_path), eval_inputs=())
    frozen = dataclasses.replace(pipeline, train=dataclasses.replace(pipeline.train, frozen=("FeatureExtractor/",)))
    stream = io.StringIO()
    loop.train(frozen, tmp_path / "run", num_steps=1, options=_QUICK, stream=stream)
    assert (
        "2 of 5 variables are trained; 3 are frozen: FeatureExtractor/TinyNet/Conv2d_0/weights, FeatureExtractor/"
        in stream.getvalue()
    )
    wrong = dataclasses.replace(pipeline, train=dataclasses.replace(pipeline.train, frozen=("FeatureExtracter/",)))
    with pytest.raises(
        ConfigError,
        match=r"train_config.freeze_variables \('FeatureExtracter/'\) matches none of the 5 variables that can be",
    ):
        loop.train(wrong, tmp_path / "other", num_steps=1, options=_QUICK, stream=io.StringIO())


def test_more_steps_than_a_cosine_has_are_a_warning(tmp_path, caplog):
    """At a learning rate of 0, as the TF Object Detection API makes them."""
    pipeline = make_pipeline(tmp_path)
    settings = dataclasses.replace(
        pipeline.train, optimizer=dataclasses.replace(pipeline.train.optimizer, schedule=CosineDecay(0.1, 1))
    )
    caplog.set_level(logging.WARNING, logger="absl")
    loop.train(
        dataclasses.replace(pipeline, train=settings),
        tmp_path / "run",
        num_steps=3,
        options=_QUICK,
        stream=io.StringIO(),
    )
    assert "num_steps (3) is more than the total_steps (1) of cosine_decay_learning_rate" in caplog.text
