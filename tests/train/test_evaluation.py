from __future__ import annotations

import dataclasses
import io
import json
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from detection.checkpoints import checkpoint_files
from detection.errors import ConfigError, DataError
from detection.train import loop
from detection.train.evaluation import evaluate_checkpoints
from detection.train.options import RunOptions
from tests.helpers import memory
from tests.helpers.tiny import TinyDetector, make_pipeline, write_records

_QUICK = RunOptions(checkpoint_every=2, log_every=2, seed=5)


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory):
    """A pipeline, and what training by it, without an evaluation, has left."""
    folder = tmp_path_factory.mktemp("trained")
    pipeline = make_pipeline(folder)
    alone = dataclasses.replace(pipeline, eval_inputs=())
    loop.train(alone, folder / "run", options=_QUICK, stream=io.StringIO())
    return pipeline, folder / "run"


@pytest.fixture
def run(trained_once, tmp_path) -> Path:
    """A copy of that."""
    return Path(shutil.copytree(trained_once[1], tmp_path / "run"))


def test_the_newest_checkpoint_evaluated_apart_gives_the_same_numbers(tmp_path):
    pipeline = make_pipeline(tmp_path)
    trained = loop.train(pipeline, tmp_path / "run", options=_QUICK, stream=io.StringIO())
    apart = evaluate_checkpoints(pipeline, tmp_path / "run", tmp_path / "apart", run_once=True, stream=io.StringIO())
    assert apart == pytest.approx(trained)
    assert json.loads((tmp_path / "apart" / "eval" / "metrics.json").read_text())["step"] == 6
    prefix = evaluate_checkpoints(
        pipeline, tmp_path / "run" / "model.ckpt-6", tmp_path / "apart", run_once=True, stream=io.StringIO()
    )
    assert prefix == pytest.approx(apart)


def test_following_a_training_run_until_nothing_new_appears(tmp_path):
    pipeline = make_pipeline(tmp_path)
    pipeline = dataclasses.replace(pipeline, evaluate=dataclasses.replace(pipeline.evaluate, interval_seconds=0))
    alone = dataclasses.replace(pipeline, eval_inputs=())
    trainer = threading.Thread(
        target=loop.train, args=(alone, tmp_path / "run"), kwargs={"options": _QUICK, "stream": io.StringIO()}
    )
    trainer.start()
    metrics = evaluate_checkpoints(pipeline, tmp_path / "run", tmp_path / "run", timeout=6.0, stream=io.StringIO())
    trainer.join()
    lines = (tmp_path / "run" / "eval" / "metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["step"] == 6 and "Loss/total_loss" in metrics


def test_following_ends_with_the_last_step_of_the_training(trained_once, run):
    pipeline, _ = trained_once
    patient = dataclasses.replace(pipeline, evaluate=dataclasses.replace(pipeline.evaluate, interval_seconds=3600))
    assert patient.train.num_steps == 6
    metrics = evaluate_checkpoints(patient, run, run, timeout=3600.0, stream=io.StringIO())
    assert "Loss/total_loss" in metrics


def test_without_regularisation_in_training_there_is_none_in_evaluation(tmp_path):
    pipeline = make_pipeline(tmp_path)
    bare = dataclasses.replace(pipeline, train=dataclasses.replace(pipeline.train, regularize=False, num_steps=1))
    metrics = loop.train(bare, tmp_path / "run", options=_QUICK, stream=io.StringIO())
    assert "Loss/total_loss" in metrics and "Loss/regularization_loss" not in metrics


def test_what_was_put_right_in_the_records_is_told_once(tmp_path, caplog):
    pipeline = make_pipeline(tmp_path)
    write_records(tmp_path, right=1.05)
    options = dataclasses.replace(_QUICK, evaluate_every=2)
    loop.train(pipeline, tmp_path / "run", options=options, num_steps=4, stream=io.StringIO())
    line = "12 boxes clipped to the image, in 12 records"
    lines = [record.getMessage() for record in caplog.records if line in record.getMessage()]
    assert sum(line.startswith("evaluation records: ") for line in lines) == 1, lines
    assert any(line.startswith("records: ") for line in lines), "the summary at the end of training"


def test_out_of_memory_names_the_batch_size_of_evaluation(trained_once, run):
    class Greedy(TinyDetector):
        def loss(self, predictions, groundtruth):
            return {"Loss/localization_loss": memory.exhausted()}

    def make_greedy():
        detector = Greedy()
        detector.build_weights()
        return detector

    pipeline, _ = trained_once
    greedy = dataclasses.replace(pipeline, make_detector=make_greedy)
    with pytest.raises(
        ConfigError,
        match="evaluation of step 6: out of memory with eval_config.batch_size 1; lower it, or the sizes of",
    ):
        evaluate_checkpoints(greedy, run, run, run_once=True, stream=io.StringIO())


def test_no_checkpoint_and_no_input(tmp_path, caplog):
    pipeline = make_pipeline(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="holds no checkpoint"):
        evaluate_checkpoints(pipeline, tmp_path / "empty", tmp_path / "empty", run_once=True, stream=io.StringIO())
    with pytest.raises(
        ConfigError, match="--checkpoint_dir=.*empty: no checkpoint that can be read appeared within 0.1 seconds"
    ):
        evaluate_checkpoints(pipeline, tmp_path / "empty", tmp_path / "empty", timeout=0.1, stream=io.StringIO())
    assert "no such folder" not in caplog.text
    with pytest.raises(ConfigError, match="--checkpoint_dir=.*absent: no checkpoint"):
        evaluate_checkpoints(pipeline, tmp_path / "absent", tmp_path / "empty", timeout=0.1, stream=io.StringIO())
    assert "absent: no such folder yet" in caplog.text
    with pytest.raises(ConfigError, match="no eval_input_reader"):
        evaluate_checkpoints(dataclasses.replace(pipeline, eval_inputs=()), tmp_path, tmp_path)


def test_a_damaged_record_is_named(tmp_path, run):
    pipeline = make_pipeline(tmp_path)
    shard = tmp_path / "tiny.record-00000-of-00001"
    raw = bytearray(shard.read_bytes())
    raw[len(raw) // 2] ^= 1
    shard.write_bytes(bytes(raw))
    with pytest.raises(DataError, match="tiny.record-00000-of-00001"):
        evaluate_checkpoints(pipeline, run, run, run_once=True, stream=io.StringIO())


def test_a_checkpoint_of_another_network_is_evaluated_on_request_only(trained_once, run, tmp_path, caplog):
    pipeline, _ = trained_once
    values = checkpoint_files.read(run / "model.ckpt-6")
    stray = "FeatureExtractor/TinyNet/Conv2d_1/weights"
    checkpoint_files.write(tmp_path / "model.ckpt-6", {**values, stray: np.zeros(2, np.float32)})
    given = (pipeline, tmp_path / "model.ckpt-6", tmp_path / "apart")
    with pytest.raises(
        ConfigError, match=f"{stray} has no counterpart in the model.*--allow_unused_checkpoint_variables"
    ):
        evaluate_checkpoints(*given, run_once=True, stream=io.StringIO())
    metrics = evaluate_checkpoints(*given, run_once=True, allow_unused=True, stream=io.StringIO())
    assert "Loss/total_loss" in metrics and f"{stray} has no counterpart in the model and is ignored" in caplog.text
