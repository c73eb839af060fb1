from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from detection.checkpoints import checkpoint_files
from detection.errors import ConfigError, ModelDirInUseError
from detection.train import run_dir

_TEXT = (
    "model {\n  ssd {\n    num_classes: 3\n  }\n}\ntrain_config {\n  batch_size: 4\n  num_steps: 6\n  step {\n  }\n "
    ' step {\n    a: "x: {"\n  }\n}\n'
)


def test_a_folder_is_made_and_left_clean(tmp_path):
    (tmp_path / "a").mkdir()
    leftover = tmp_path / "a" / f"{checkpoint_files.TEMPORARY}99"
    leftover.mkdir()
    with run_dir.claimed(tmp_path / "a") as folder:
        assert folder.is_dir() and not leftover.exists()
        assert (folder / ".train.owner").exists()
    assert [name for name in os.listdir(folder) if name != ".train.lock"] == []


def test_a_second_trainer_is_told_who_is_there(tmp_path):
    code = f"from detection.train import run_dir\nwith run_dir.claimed({str(tmp_path)!r}): pass"
    with run_dir.claimed(tmp_path):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2], timeout=60
        )
    assert "ModelDirInUseError" in done.stderr and f"process {os.getpid()} on " in done.stderr
    assert ModelDirInUseError.exit_code == 5
    with run_dir.claimed(tmp_path):
        pass


def test_a_dead_process_holds_nothing(tmp_path):
    code = (
        f"import os\nfrom detection.train import run_dir\nwith run_dir.claimed({str(tmp_path)!r}):"
        " os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=Path(__file__).parents[2], timeout=60)
    assert (tmp_path / ".train.owner").exists()
    with run_dir.claimed(tmp_path):
        pass


def test_a_folder_that_cannot_be_written_is_an_error_at_start(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(ConfigError, match="--model_dir .*file/x: cannot be written"),
        run_dir.claimed(tmp_path / "file" / "x"),
    ):
        pass


def test_fields_by_path():
    assert run_dir.flatten(_TEXT) == {
        "model.ssd.num_classes": "3",
        "train_config.batch_size": "4",
        "train_config.num_steps": "6",
        "train_config.step": "{}",
        "train_config.step[1].a": '"x: {"',
    }


def test_the_config_is_saved_and_a_changed_one_refused_by_field(tmp_path):
    run_dir.settle_config(tmp_path, _TEXT, resuming=False, allow_change=False)
    assert (tmp_path / "pipeline.config").read_text() == _TEXT
    changed = _TEXT.replace("batch_size: 4", "batch_size: 8").replace("num_classes: 3", "num_classes: 2")
    with pytest.raises(
        ConfigError,
        match=(
            r"pipeline\.config: model\.ssd\.num_classes was 3, is now 2 \(and 1 more changes\).*--allow_config_change"
        ),
    ):
        run_dir.settle_config(tmp_path, changed, resuming=True, allow_change=False)
    assert (tmp_path / "pipeline.config").read_text() == _TEXT
    run_dir.settle_config(tmp_path, changed, resuming=True, allow_change=True)
    assert (tmp_path / "pipeline.config").read_text() == changed


def test_the_folders_own_file_edited_is_a_changed_config_and_stays_the_users(tmp_path):
    source = tmp_path / "pipeline.config"
    run_dir.settle_config(tmp_path, _TEXT, resuming=False, allow_change=False, source=None)
    edited = "# mine\n" + _TEXT.replace("batch_size: 4", "batch_size: 8")
    source.write_text(edited)
    with pytest.raises(ConfigError, match=r"pipeline\.config: train_config\.batch_size was 4, is now 8 since"):
        run_dir.settle_config(tmp_path, edited, resuming=True, allow_change=False, source=str(source))
    run_dir.settle_config(tmp_path, edited, resuming=True, allow_change=True, source=str(source))
    assert source.read_text() == edited and (tmp_path / run_dir.OWN_COPY).read_text() == edited
    run_dir.settle_config(tmp_path, edited, resuming=True, allow_change=False, source=str(source))


def test_a_folder_without_the_own_copy_is_compared_with_the_file_people_see(tmp_path):
    (tmp_path / "pipeline.config").write_text(_TEXT)
    with pytest.raises(ConfigError, match="num_classes was 3, is now 2"):
        run_dir.settle_config(
            tmp_path, _TEXT.replace("num_classes: 3", "num_classes: 2"), resuming=True, allow_change=False
        )


def test_more_steps_and_other_evaluation_are_no_change(tmp_path):
    run_dir.settle_config(tmp_path, _TEXT, resuming=False, allow_change=False)
    longer = _TEXT.replace("num_steps: 6", "num_steps: 60") + "eval_config {\n  batch_size: 2\n}\n"
    run_dir.settle_config(tmp_path, longer, resuming=True, allow_change=False)
    assert (tmp_path / "pipeline.config").read_text() == longer


def test_a_field_that_vanished_is_a_change():
    assert run_dir.differences("a {\n  b: 1\n}\n", "") == ["a.b was 1, is now not set"]
