from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from detection import files
from detection.checkpoints import checkpoint_files
from detection.checkpoints.rotation import Checkpoints
from detection.errors import ConfigError


def _tensors(step: int) -> dict:
    return {"w": np.full(1000, step, np.float32), "global_step": np.int64(step)}


def _filled(folder: Path, *steps: int, **options) -> Checkpoints:
    kept = Checkpoints(folder, **options)
    for step in steps:
        kept.save(step, _tensors(step))
    return kept


def test_the_newest_few_are_kept_and_tensorflow_finds_them(tmp_path):
    kept = _filled(tmp_path, 1, 2, 3, 10, keep=3)
    assert kept.steps() == [2, 3, 10]
    assert tf.train.latest_checkpoint(str(tmp_path)) == str(tmp_path / "model.ckpt-10")
    assert list(tf.train.get_checkpoint_state(str(tmp_path)).all_model_checkpoint_paths) == [
        str(tmp_path / f"model.ckpt-{n}") for n in (2, 3, 10)
    ]
    step, values = kept.read_newest()
    assert step == 10 and values["w"][0] == 10


def test_one_for_every_so_many_hours_is_kept_besides_also_after_a_restart(tmp_path):
    kept = _filled(tmp_path, 1, 2, 3, keep=1, keep_every_hours=0.0)
    assert kept.steps() == [1, 2, 3]
    again = Checkpoints(tmp_path, keep=1)
    again.save(4, _tensors(4))
    again.save(5, _tensors(5))
    assert again.steps() == [1, 2, 5]


@pytest.mark.parametrize(
    "state", [b"", b"\xff\xfe rubbish", b"model_checkpoint_path: ", None], ids=["empty", "binary", "cut", "missing"]
)
def test_a_garbage_state_file_never_means_step_0(tmp_path, state, caplog):
    _filled(tmp_path, 1, 2)
    (tmp_path / "checkpoint").unlink()
    if state is not None:
        (tmp_path / "checkpoint").write_bytes(state)
    kept = Checkpoints(tmp_path)
    assert kept.read_newest()[0] == 2
    assert "found by their file names" in caplog.text
    kept.save(3, _tensors(3))
    assert tf.train.latest_checkpoint(str(tmp_path)) == str(tmp_path / "model.ckpt-3")


def test_trouble_after_a_save_is_told_and_the_save_counts(tmp_path, caplog):
    kept = _filled(tmp_path, 1, keep=1)
    files.partial(tmp_path / "checkpoint").mkdir()  # So the state file cannot be written,
    (tmp_path / f"model.ckpt-1{checkpoint_files.DATA}").unlink()
    (tmp_path / f"model.ckpt-1{checkpoint_files.DATA}").mkdir()  # nor the old checkpoint be deleted.
    assert kept.save(2, _tensors(2)) == kept.prefix(2)
    assert checkpoint_files.read(kept.prefix(2))["w"][0] == 2
    assert caplog.text.count("model.ckpt-2 is saved, but old checkpoints or the checkpoint state file") == 2


def test_a_damaged_newest_falls_back_with_one_warning(tmp_path, caplog):
    kept = _filled(tmp_path, 1, 2, 3)
    for step in (2, 3):
        data = tmp_path / f"model.ckpt-{step}{checkpoint_files.DATA}"
        data.write_bytes(data.read_bytes()[:50])
    assert kept.read_newest()[0] == 1
    warnings = [record.getMessage() for record in caplog.records]
    assert (
        len(warnings) == 1
        and "model.ckpt-3" in warnings[0]
        and "model.ckpt-1" in warnings[0]
        and "2 newer" in warnings[0]
    )


def test_going_back_does_not_delete_what_is_saved_next(tmp_path):
    _filled(tmp_path, 8, 9)
    kept = Checkpoints(tmp_path, keep=2)
    kept.save(5, _tensors(5))
    assert 5 in kept.steps()


def test_when_none_can_be_read_the_run_does_not_start_anew(tmp_path):
    kept = _filled(tmp_path, 1, 2)
    for step in (1, 2):
        (tmp_path / f"model.ckpt-{step}{checkpoint_files.DATA}").unlink()
    with pytest.raises(ConfigError, match="none of the 2 checkpoints"):
        kept.read_newest()


def test_data_without_index_is_not_an_empty_folder(tmp_path):
    _filled(tmp_path, 1)
    (tmp_path / f"model.ckpt-1{checkpoint_files.INDEX}").unlink()
    with pytest.raises(ConfigError, match="its .index file is missing"):
        Checkpoints(tmp_path).read_newest()


def test_another_trainers_folder_is_refused_and_an_empty_one_is_new(tmp_path):
    assert Checkpoints(tmp_path).read_newest() is None
    assert Checkpoints(tmp_path / "none").read_newest() is None
    tf.train.Checkpoint(x=tf.Variable(1.0)).write(str(tmp_path / "ckpt-1"))
    with pytest.raises(ConfigError, match="another trainer"):
        Checkpoints(tmp_path).read_newest()
