"""Faults of checkpoints and of the folder they lie in: what a run that is started again does, and with which exit code
it refuses."""

from __future__ import annotations

import dataclasses
import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from detection.checkpoints import checkpoint_files
from detection.checkpoints.checkpoint_files import DATA, INDEX
from detection.checkpoints.restore import FineTune
from detection.errors import ConfigError
from detection.train import loop, run_dir
from detection.train.options import RunOptions
from tests.helpers import tiny

QUICK = RunOptions(checkpoint_every=2, log_every=100, seed=5, summaries=False)


def train(pipeline, folder: Path, steps: int = 4, **options: object) -> str:
    """Returns what was said. A run that has made its steps already is restored and checked, and makes none, which would
    take longer."""
    stream = io.StringIO()
    loop.train(pipeline, folder, options=dataclasses.replace(QUICK, **options), num_steps=steps, stream=stream)
    return stream.getvalue()


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory: pytest.TempPathFactory):
    """A pipeline without evaluation, and a folder in which it has made four steps: checkpoints of 2 and 4."""
    folder = tmp_path_factory.mktemp("trained")
    pipeline = dataclasses.replace(tiny.make_pipeline(folder), eval_inputs=())
    train(pipeline, folder / "run", steps=4)
    return pipeline, folder / "run"


@pytest.fixture
def run(trained_once, tmp_path: Path) -> Path:
    """A copy of that folder, to be damaged."""
    return Path(shutil.copytree(trained_once[1], tmp_path / "run"))


@pytest.fixture
def pipeline(trained_once):
    return trained_once[0]


def flip(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 3] ^= 8
    path.write_bytes(bytes(raw))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "39-cut": lambda path: path.write_bytes(path.read_bytes()[:100]),
    "40-flipped bit": flip,
    "41-missing": os.remove,
    "39-empty": lambda path: path.write_bytes(b""),
}


@pytest.mark.parametrize("suffix", [DATA, INDEX])
@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_checkpoint_costs_one_interval_and_is_named(pipeline, run, caplog, holds, case, suffix):
    DAMAGE[case](run / f"model.ckpt-4{suffix}")
    holds(train(pipeline, run, steps=2), f"resuming from {run / 'model.ckpt-2'}")
    if suffix == DATA or case != "41-missing":  # Without its index a checkpoint is not there, only a file of data.
        holds(caplog.text, run / "model.ckpt-4", "model.ckpt-2")


@pytest.mark.parametrize("case", DAMAGE)
def test_where_no_checkpoint_is_left_nothing_starts_anew(pipeline, run, holds, case):
    for step in (2, 4):
        DAMAGE[case](run / f"model.ckpt-{step}{DATA}")
    with pytest.raises(ConfigError) as raised:
        train(pipeline, run)
    assert raised.value.exit_code == 2
    holds(str(raised.value), run, "none of the 2 checkpoints")


@pytest.mark.parametrize(
    "state", [b"", b"\xff\xfe rubbish", b"model_checkpoint_path: "], ids=["43-empty", "42-garbage", "42-cut"]
)
def test_a_damaged_state_file_never_means_step_0(pipeline, run, caplog, holds, state):
    (run / "checkpoint").write_bytes(state)
    holds(train(pipeline, run), f"resuming from {run / 'model.ckpt-4'}")
    holds(caplog.text, run / "checkpoint")


def changed(run: Path, step: int, change: Callable[[dict], None]) -> None:
    values = dict(checkpoint_files.read(run / f"model.ckpt-{step}"))
    change(values)
    for path in run.glob(f"model.ckpt-{step}.*"):
        path.unlink()
    checkpoint_files.write(run / f"model.ckpt-{step}", values)


BIASES = "BoxPredictor_0/biases"


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (
            lambda values: values.update({BIASES: np.zeros(5, np.float32)}),
            (BIASES, "[5] in the checkpoint", "[28] in the model"),
        ),
        (lambda values: values.pop(BIASES), (BIASES, "is not in the checkpoint")),
        (
            lambda values: values.update({"Other/weights": np.zeros(5, np.float32)}),
            ("Other/weights", "--allow_config_change"),
        ),
    ],
    ids=["44-shape", "45-missing", "45-extra"],
)
def test_a_checkpoint_of_another_model_is_refused_by_variable(pipeline, run, holds, change, parts):
    changed(run, 4, change)
    with pytest.raises(ConfigError) as raised:
        train(pipeline, run)
    assert raised.value.exit_code == 2
    holds(str(raised.value), run / "model.ckpt-4", *parts)


def test_a_checkpoint_to_start_from_that_is_not_there(pipeline, run, tmp_path, holds):
    """Row 46, for a pipeline made in Python; of a config the field is named before (test_configs.py)."""
    start = FineTune(str(run / "none"), "full")
    with pytest.raises(ConfigError) as raised:
        train(
            dataclasses.replace(pipeline, train=dataclasses.replace(pipeline.train, fine_tune=start)), tmp_path / "new"
        )
    assert raised.value.exit_code == 2
    holds(str(raised.value), run / "none", "no such checkpoint")


def test_another_config_is_refused_by_field(pipeline, run, holds):
    """Row 56."""
    other = dataclasses.replace(pipeline, text=pipeline.text.replace("batch_size: 4", "batch_size: 2"))
    with pytest.raises(ConfigError) as raised:
        train(other, run)
    assert raised.value.exit_code == 2
    holds(
        str(raised.value), run / "pipeline.config", "train_config.batch_size was 4, is now 2", "--allow_config_change"
    )
    train(other, run, allow_config_change=True)
    assert (run / "pipeline.config").read_text() == other.text


def test_a_folder_in_use_ends_with_5(command, config, tmp_path, holds):
    """Row 55."""
    with run_dir.claimed(tmp_path / "run"):
        done = command("model_main.py", f"--pipeline_config_path={config}", f"--model_dir={tmp_path / 'run'}")
    assert done.code == 5
    holds(done.error, f"--model_dir {tmp_path / 'run'}", f"process {os.getpid()} on ", "choose another folder")


def test_a_folder_that_cannot_be_made(command, config, tmp_path, holds):
    """Row 57."""
    (tmp_path / "file").write_text("")
    done = command("model_main.py", f"--pipeline_config_path={config}", f"--model_dir={tmp_path / 'file' / 'run'}")
    assert done.code == 2
    holds(done.error, f"--model_dir {tmp_path / 'file' / 'run'}: cannot be written", "choose another folder")


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only to root")
def test_a_folder_that_is_read_only(command, config, tmp_path, holds):
    """Row 57."""
    (tmp_path / "run").mkdir(mode=0o555)
    done = command("model_main.py", f"--pipeline_config_path={config}", f"--model_dir={tmp_path / 'run'}")
    assert done.code == 2
    holds(done.error, f"--model_dir {tmp_path / 'run'}: cannot be written (permission denied)")
