"""Training that writes object-based checkpoints: what is in them, who restores them, and that a resumed run is the same
run."""

from __future__ import annotations

import io

import numpy as np
import pytest
import tensorflow as tf

import detection
from detection.checkpoints import checkpoint_files, object_files, object_write, rotation
from detection.checkpoints.object_files import SLOT
from detection.checkpoints.object_names import ObjectNames
from detection.errors import ConfigError
from detection.train.state import TrainState
from tests.helpers import keras_ssd
from tests.helpers.tf2_parity import Reference

TRAINING = """
train_config {
  batch_size: 2 num_steps: 3
  optimizer { adam_optimizer { learning_rate { constant_learning_rate { learning_rate: 0.01 } } }
    use_moving_average: true moving_average_decay: 0.9 }
}
train_input_reader { shuffle: false tf_record_input_reader { input_path: "absent.record" } }
eval_config { use_moving_averages: true }
"""
IMAGE = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
DATA = [(IMAGE, [[8, 8, 40, 48]], [1]), (255 - IMAGE, [[4, 20, 50, 60]], [2])]


def _pipeline(folder, type_: str = keras_ssd.TYPE):
    path = folder / f"{type_}.config"
    path.write_text(keras_ssd.config(type_) + TRAINING)
    return detection.load_pipeline(path, check_paths=False).with_data(training=DATA)


def _train(pipeline, folder, steps: int, **options) -> str:
    detection.run_training(pipeline, folder, num_steps=steps, seed=1, summaries=False, stream=io.StringIO(), **options)
    return str(folder / f"model.ckpt-{steps}")


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    return _pipeline(tmp_path_factory.mktemp("config"))


@pytest.fixture(scope="module")
def run(pipeline, tmp_path_factory) -> str:
    """Three steps, stopped and resumed after each, the first by name; the newest checkpoint."""
    folder = tmp_path_factory.mktemp("run")
    _train(pipeline, folder, 1)
    _train(pipeline, folder, 2, checkpoint_format="object")
    return _train(pipeline, folder, 3, checkpoint_format="object")


@pytest.mark.slow
def test_the_file_is_one_of_the_original_trainer(pipeline, run):
    found, keys = object_files.contents(run), pipeline.detector().object_keys()
    assert {key for key in found.entries if key.startswith("model/")} == set(keys)
    assert {"step", "save_counter", "optimizer/iter"} <= set(found.entries) and found.step() == 3
    trained = [key for key, variable in keys.items() if variable.trainable]
    slots = {f"{key}{SLOT}optimizer/{slot}" for key in trained for slot in ("m", "v", "average")}
    assert set(found.slots) == slots
    assert tf.train.latest_checkpoint(run.rpartition("/")[0]) == run


@pytest.mark.slow
def test_a_resumed_run_is_the_same_bit_for_bit(pipeline, run, tmp_path):
    """As one by name that was never stopped."""
    by_name = checkpoint_files.read(_train(pipeline, tmp_path, 3))
    by_object = checkpoint_files.read(run, checkpoint_files.raw_entries(run))
    keys = {variable.path: key for key, variable in pipeline.detector().object_keys().items()}
    assert len(keys) > 50
    again = ObjectNames(keys).decoded(by_object, by_name)
    assert set(again) == set(by_name)
    for name, value in by_name.items():
        np.testing.assert_array_equal(again[name], value, err_msg=name)


@pytest.mark.slow
def test_evaluation_and_export_take_the_averages(pipeline, run):
    detector = pipeline.detector()
    assert pipeline.restore(detector, run) == 3
    (key, variable), *_ = detector.object_keys().items()
    slot = f"{key}{SLOT}optimizer/average"
    np.testing.assert_array_equal(variable.numpy(), object_files.read(run, [slot])[slot])


def test_everything_comes_back(pipeline, tmp_path):
    """Without training."""
    states = [TrainState(pipeline.detector(), pipeline.train.optimizer, lambda name: True) for _ in range(2)]
    random = np.random.default_rng(0)
    for variable in states[0].variables().values():
        variable.assign(tf.cast(random.uniform(1, 9, variable.shape), variable.dtype))
    states[0].step.assign(5)
    kept = rotation.Checkpoints(tmp_path)
    kept.save(5, states[0].to_save(object_based=True))
    step, values = kept.read_newest()
    states[1].load(step, values, kept.prefix(step))
    for name, variable in states[1].variables().items():
        np.testing.assert_array_equal(variable.numpy(), states[0].variables()[name].numpy(), err_msg=name)


def test_a_model_without_keys_is_refused_before_it_trains(tmp_path):
    with pytest.raises(
        ConfigError, match="--checkpoint_format=object: the TF Object Detection API has no object-based"
    ):
        _train(_pipeline(tmp_path, "ssd_mobilenet_v1"), tmp_path / "run", 1, checkpoint_format="object")
    with pytest.raises(ConfigError, match="checkpoint_format \\('keras'\\): one of name, object"):
        detection.RunOptions(checkpoint_format="keras")


def test_keys_are_those_of_a_real_one(shared, tmp_path):
    """Of the same model, written by the original code."""
    name = "ssd_mobilenet_v2_fpnlite_320x320"
    reference = Reference(shared, name)
    values = {**reference.keys, object_write.SAVE_COUNTER: np.int64(1)}
    checkpoint_files.write(tmp_path / "ckpt-0", object_write.tensors(values))
    original = str(shared / "parity_tf2" / "ckpt" / name / "ckpt-0")
    assert dict(tf.train.list_variables(str(tmp_path / "ckpt-0"))) == dict(tf.train.list_variables(original))
    ours, theirs = object_files.contents(tmp_path / "ckpt-0"), object_files.contents(original)
    for key in theirs.entries:
        assert ours.find(key) == key and theirs.find(key) == key
