"""model_main.py as people use it: a config file, a folder, signals."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from detection.builders import pipeline as pipelines
from detection.checkpoints import checkpoint_files, rotation
from detection.errors import ConfigError
from detection.train import main
from detection.train.options import RunOptions
from tests.helpers import forked
from tests.helpers.tiny import write_records

_ROOT = Path(__file__).parents[2]
_CONFIG = """
model {{
  ssd {{
    num_classes: 2
    image_resizer {{ fixed_shape_resizer {{ height: 64 width: 64 }} }}
    feature_extractor {{
      type: "ssd_mobilenet_v1"
      depth_multiplier: 0.05
      min_depth: 4
      num_layers: 2
      conv_hyperparams {{
        regularizer {{ l2_regularizer {{ weight: 0.0001 }} }}
        initializer {{ truncated_normal_initializer {{ stddev: 0.1 }} }}
        batch_norm {{ scale: true }}
      }}
      override_base_feature_extractor_hyperparams: true
    }}
    anchor_generator {{ ssd_anchor_generator {{ num_layers: 2 aspect_ratios: 1.0 }} }}
    box_coder {{ faster_rcnn_box_coder {{}} }}
    matcher {{ argmax_matcher {{ force_match_for_each_row: true }} }}
    similarity_calculator {{ iou_similarity {{}} }}
    box_predictor {{
      convolutional_box_predictor {{
        use_dropout: false
        conv_hyperparams {{
          regularizer {{ l2_regularizer {{ weight: 0.0001 }} }}
          initializer {{ truncated_normal_initializer {{ stddev: 0.1 }} }}
        }}
      }}
    }}
    loss {{ classification_loss {{ weighted_sigmoid {{}} }} localization_loss {{ weighted_smooth_l1 {{}} }} }}
    post_processing {{ batch_non_max_suppression {{ score_threshold: 0.01 }} score_converter: SIGMOID }}
  }}
}}
train_config {{
  batch_size: 4
  num_steps: 20
  optimizer {{ rms_prop_optimizer {{ learning_rate {{ constant_learning_rate {{ learning_rate: 0.001 }} }} }} }}
  data_augmentation_options {{ random_horizontal_flip {{}} }}
}}
train_input_reader {{ tf_record_input_reader {{ input_path: "{records}" }} label_map_path: "{labels}" }}
eval_config {{ num_visualizations: 1 }}
eval_input_reader {{ tf_record_input_reader {{ input_path: "{records}" }} label_map_path: "{labels}" }}
"""


@pytest.fixture
def config(tmp_path) -> str:
    labels = tmp_path / "labels.pbtxt"
    labels.write_text("item { id: 1 name: 'a' } item { id: 2 name: 'b' }")
    path = tmp_path / "tiny.config"
    path.write_text(_CONFIG.format(records=write_records(tmp_path), labels=labels))
    return str(path)


def _flags(config: str, folder: Path, *more: str) -> list[str]:
    return [f"--pipeline_config_path={config}", f"--model_dir={folder}", *more]


@pytest.fixture
def start(server, config) -> Callable[..., forked.Program]:
    """start(folder, "--flag=...", ...): model_main.py in a process of its own."""
    return lambda folder, *flags: server.start([_ROOT / "scripts/model_main.py", *_flags(config, folder, *flags)])


def _finish(process: forked.Program) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def _wait_for(path: Path, process: forked.Program) -> None:
    while not path.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def test_settings_in_one_flag():
    assert main.split_settings("batch_size=8,learning_rate=0.01") == ["batch_size=8", "learning_rate=0.01"]
    assert main.split_settings("a.b=[x, y],c[0]=1,d+={e: 1, f: 2}") == ["a.b=[x, y]", "c[0]=1", "d+={e: 1, f: 2}"]
    assert main.split_settings("") == []


def test_a_file_is_trained_and_then_evaluated_apart(tmp_path, config):
    options = RunOptions(checkpoint_every=2, log_every=2, seed=1)
    settings = ["train_config.num_steps=3", "train_config.batch_size=2"]
    trained = main.run(pipelines.load(config, settings), str(tmp_path / "run"), options=options, num_replicas=1)
    assert "batch_size: 2" in (tmp_path / "run" / "pipeline.config").read_text()
    only = main.EvalOnly(str(tmp_path / "run"), run_once=True)
    pipeline = pipelines.load(config)
    assert main.run(pipeline, str(tmp_path / "run"), eval_only=only)["Loss/total_loss"] == pytest.approx(
        trained["Loss/total_loss"], rel=1e-5
    )
    on_training_data = main.EvalOnly(str(tmp_path / "run"), run_once=True, training_data=True, sample_1_of_n=4)
    held_out = (tmp_path / "run" / "eval" / "metrics.json").read_text()
    assert main.run(pipeline, str(tmp_path / "run"), eval_only=on_training_data).keys() >= {"Loss/total_loss"}
    assert (tmp_path / "run" / "eval" / "metrics.json").read_text() == held_out
    assert (tmp_path / "run" / "training_data" / "eval" / "metrics.json").exists()
    with pytest.raises(ConfigError, match="--num_replicas 99"):
        main.run(pipeline, str(tmp_path / "other"), num_replicas=99)
    with pytest.raises(ConfigError, match="train_config.nm_steps"):
        pipelines.load(config, ["train_config.nm_steps=3"])


@pytest.mark.slow
def test_killed_anywhere_and_started_again_equals_a_run_that_was_never_killed(start, tmp_path, config):
    flags = ("--checkpoint_every_n=1", "--seed=3", "--deterministic", "--eval_every_n=1000")
    code, _, err = _finish(start(tmp_path / "whole", *flags))
    assert code == 0, err
    for step in (4, 12):
        process = start(tmp_path / "parts", *flags)
        _wait_for(tmp_path / "parts" / f"model.ckpt-{step}.index", process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    code, _, err = _finish(start(tmp_path / "parts", *flags))
    assert code == 0 and "resuming from" in err, err
    whole, parts = (checkpoint_files.read(tmp_path / run / "model.ckpt-20") for run in ("whole", "parts"))
    assert whole.keys() == parts.keys() and {"global_step"} < whole.keys()
    for name, value in whole.items():
        np.testing.assert_array_equal(parts[name], value, err_msg=name)
    assert not list((tmp_path / "parts").glob(".saving-*"))


@pytest.mark.slow
def test_exit_codes(start, command, tmp_path, config):
    process = start(tmp_path / "run", "--num_train_steps=100000", "--checkpoint_every_n=5")
    _wait_for(tmp_path / "run" / "model.ckpt-5.index", process)
    second = command("model_main.py", *_flags(config, tmp_path / "run"))
    assert second[0] == 5 and f"process {process.pid} on" in second[2]
    process.send_signal(signal.SIGTERM)
    code, _, err = _finish(process)
    assert code == 143 and "stopped by signal 15" in err
    assert rotation.steps_in(tmp_path / "run")[-1] >= 5
    changed = command("model_main.py", *_flags(config, tmp_path / "run", "--set", "train_config.batch_size=2"))
    assert changed[0] == 2 and "train_config.batch_size was 4, is now 2" in changed[2]
    diverged = command(
        "model_main.py", *_flags(config, tmp_path / "diverged", "--hparams_overrides=learning_rate=1e38")
    )
    assert diverged[0] == 4 and "learning rate 1e+38" in diverged[2] and "image_" in diverged[2]
    evaluated = command(
        "model_main.py",
        *_flags(
            config,
            tmp_path / "run",
            f"--checkpoint_dir={tmp_path / 'run'}",
            "--run_once",
            "--sample_1_of_n_eval_examples=2",
        ),
    )
    assert evaluated[0] == 0 and "DetectionBoxes_Precision/mAP" in evaluated[1]
    assert "metrics" in json.loads((tmp_path / "run" / "eval" / "metrics.json").read_text())
    for _, _, err in (second, changed, diverged):
        assert sum(line.startswith("error: ") for line in err.splitlines()) == 1 and "Traceback" not in err, err


@pytest.mark.slow
def test_sigterm_during_an_evaluation_leaves_at_once_with_the_checkpoint_saved(start, tmp_path, config):
    write_records(tmp_path, images=3000)  # So that an evaluation takes seconds.
    process = start(tmp_path / "run", "--num_train_steps=100000", "--checkpoint_every_n=5", "--eval_every_n=5")
    _wait_for(tmp_path / "run" / "model.ckpt-5.index", process)
    time.sleep(1.0)
    process.send_signal(signal.SIGTERM)
    begun = time.monotonic()
    code, _, err = _finish(process)
    assert (
        code == 143
        and "stopped by signal 15; the last checkpoint is" in err
        and "model.ckpt-5" in err
        and "Traceback" not in err
    ), err
    assert time.monotonic() - begun < 10
    assert not (tmp_path / "run" / "eval" / "metrics.json").exists(), "the signal came after the evaluation"
    assert checkpoint_files.read(tmp_path / "run" / "model.ckpt-5")["global_step"] == 5


@pytest.mark.slow
def test_killed_in_the_middle_of_a_save(start, tmp_path, config):
    run, flags = tmp_path / "run", ("--checkpoint_every_n=1", "--eval_every_n=100000", "--num_train_steps=100000")
    for _ in range(5):
        process = start(run, *flags)
        while not (saving := list(run.glob(f"{checkpoint_files.TEMPORARY}*/*"))):
            assert process.poll() is None, process.communicate()
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if saving := list(run.glob(f"{checkpoint_files.TEMPORARY}*")):
            break
    assert saving, "no kill struck during a save"
    steps = rotation.steps_in(run)
    for step in steps:
        assert checkpoint_files.read(run / f"model.ckpt-{step}")["global_step"] == step
    last = steps[-1] if steps else 0
    code, _, err = _finish(start(run, f"--num_train_steps={last + 2}", "--eval_every_n=100000"))
    assert code == 0 and "removed an unfinished checkpoint" in err, err
    assert rotation.steps_in(run)[-1] == last + 2 and not list(run.glob(f"{checkpoint_files.TEMPORARY}*"))


_TWO_REPLICAS = """
import sys, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from detection.builders import pipeline as pipelines
from detection.train import main
from detection.train.options import RunOptions
options = RunOptions(checkpoint_every=2, log_every=2, seed=1)
settings = ["train_config.optimizer.use_moving_average=true", "eval_config.use_moving_averages=true"]
for steps in (2, 4):
    given = [*settings, f"train_config.num_steps={steps}"]
    metrics = main.run(pipelines.load(sys.argv[1], given), sys.argv[2], options=options, num_replicas=2)
print(metrics["Loss/total_loss"])
"""


@pytest.mark.slow
def test_two_replicas_train_save_evaluate_and_resume(server, tmp_path, config):
    code, out, err = _finish(server.start(["-c", _TWO_REPLICAS, config, tmp_path / "run"]))
    assert code == 0 and "resuming from" in err, err[-3000:]
    values = checkpoint_files.read(tmp_path / "run" / "model.ckpt-4")
    assert values["global_step"] == 4 and np.isfinite(float(out.split()[-1]))
    name = "FeatureExtractor/MobilenetV1/Conv2d_0/BatchNorm/moving_variance"
    assert np.all(values[name] != checkpoint_files.read(tmp_path / "run" / "model.ckpt-2")[name])
    single = main.run(
        pipelines.load(config, ["eval_config.use_moving_averages=true"]),
        str(tmp_path / "run"),
        eval_only=main.EvalOnly(str(tmp_path / "run"), run_once=True),
    )
    assert single["Loss/total_loss"] == pytest.approx(float(out.split()[-1]), rel=1e-4)
