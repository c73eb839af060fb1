from __future__ import annotations

import os
import resource

import numpy as np
import pytest
import tensorflow as tf

from detection.checkpoints import checkpoint_files
from detection.checkpoints.checkpoint_files import DATA, INDEX, UnreadableCheckpointError

_VALUES = {"a/weights": np.arange(5000, dtype=np.float32), "global_step": np.int64(7)}


def test_written_as_any_name_based_checkpoint(tmp_path):
    checkpoint_files.write(tmp_path / "model.ckpt-7", {**_VALUES, "v": tf.Variable([1.0, 2.0])})
    assert sorted(os.listdir(tmp_path)) == [f"model.ckpt-7{DATA}", f"model.ckpt-7{INDEX}"]
    assert dict(tf.train.list_variables(str(tmp_path / "model.ckpt-7"))) == {
        "a/weights": [5000],
        "global_step": [],
        "v": [2],
    }
    read = checkpoint_files.read(tmp_path / "model.ckpt-7")
    np.testing.assert_array_equal(read["a/weights"], _VALUES["a/weights"])
    assert read["global_step"] == 7 and read["global_step"].dtype == np.int64
    assert list(checkpoint_files.read(tmp_path / "model.ckpt-7", ["v"])) == ["v"]
    assert checkpoint_files.entries(tmp_path / "model.ckpt-7")["v"] == ((2,), tf.float32)


def _cut(path):
    path.write_bytes(path.read_bytes()[:100])


def _flip(path):
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 3] ^= 8
    path.write_bytes(bytes(raw))


@pytest.mark.parametrize("suffix", [DATA, INDEX])
@pytest.mark.parametrize(
    "damage", [_cut, _flip, os.remove, lambda path: path.write_bytes(b"")], ids=["cut", "flip", "missing", "empty"]
)
def test_every_damage_names_the_file(tmp_path, suffix, damage):
    checkpoint_files.write(tmp_path / "model.ckpt-7", _VALUES)
    damage(tmp_path / f"model.ckpt-7{suffix}")
    with pytest.raises(UnreadableCheckpointError, match=r"model\.ckpt-7") as raised:
        checkpoint_files.read(tmp_path / "model.ckpt-7")
    assert raised.value.exit_code == 2 and "\n" not in str(raised.value)


def test_object_based_checkpoints_are_refused(tmp_path):
    prefix = tf.train.Checkpoint(x=tf.Variable(1.0)).save(str(tmp_path / "ckpt"))
    with pytest.raises(UnreadableCheckpointError, match="object-based"):
        checkpoint_files.read(prefix)


def test_a_full_disk_leaves_the_old_checkpoint_and_no_rest(tmp_path):
    checkpoint_files.write(tmp_path / "model.ckpt-7", _VALUES)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(OSError, match=r"model\.ckpt-7: cannot be saved: file too large"):
            checkpoint_files.write(tmp_path / "model.ckpt-7", {"a/weights": np.zeros(100_000, np.float32)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert sorted(os.listdir(tmp_path)) == [f"model.ckpt-7{DATA}", f"model.ckpt-7{INDEX}"]
    np.testing.assert_array_equal(checkpoint_files.read(tmp_path / "model.ckpt-7")["a/weights"], _VALUES["a/weights"])


def test_leftovers_of_a_killed_save_are_removed(tmp_path):
    folder = tmp_path / f"{checkpoint_files.TEMPORARY}123"
    folder.mkdir()
    (folder / "model.ckpt-9.data").write_bytes(b"half")
    assert checkpoint_files.remove_leftovers(tmp_path) == 1 and not os.listdir(tmp_path)


def test_locate_accepts_what_people_write(tmp_path):
    prefix = tmp_path / "model.ckpt"
    checkpoint_files.write(prefix, _VALUES)
    for written in (prefix, f"{prefix}{INDEX}", f"{prefix}{DATA}", f"{prefix}.meta"):
        assert checkpoint_files.locate(written) == str(prefix)
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "model.ckpt"\n')
    assert checkpoint_files.locate(tmp_path) == str(prefix)
    old = tmp_path / "vgg_16.ckpt"
    tf.raw_ops.Save(filename=str(old), tensor_names=["a/weights"], data=[tf.ones([3])])
    assert checkpoint_files.locate(old) == str(old)
    assert checkpoint_files.read(old)["a/weights"].tolist() == [1, 1, 1]


@pytest.mark.parametrize("state", [None, b"", b"\x00garbage", b'model_checkpoint_path: "model.ckpt-999"\n'])
def test_locate_finds_the_newest_without_a_usable_state_file(tmp_path, state):
    for step in (9, 10):
        checkpoint_files.write(tmp_path / f"model.ckpt-{step}", {"w": np.zeros(1, np.float32)})
    if state is not None:
        (tmp_path / "checkpoint").write_bytes(state)
    assert checkpoint_files.locate(tmp_path) == str(tmp_path / "model.ckpt-10")


def test_locate_says_what_is_there_instead(tmp_path):
    checkpoint_files.write(tmp_path / "model.ckpt-7", _VALUES)
    with pytest.raises(UnreadableCheckpointError, match=r"no such checkpoint.*holds .*model\.ckpt-7"):
        checkpoint_files.locate(tmp_path / "model.ckpt")
    with pytest.raises(UnreadableCheckpointError, match="folder does not exist"):
        checkpoint_files.locate(tmp_path / "nowhere" / "model.ckpt")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UnreadableCheckpointError, match="holds no checkpoint"):
        checkpoint_files.locate(empty)


def test_locate_takes_the_only_checkpoint_of_a_folder_and_does_not_guess_between_two(tmp_path):
    checkpoint_files.write(tmp_path / "vgg_16.ckpt", _VALUES)
    assert checkpoint_files.locate(tmp_path) == str(tmp_path / "vgg_16.ckpt")
    checkpoint_files.write(tmp_path / "vgg_19.ckpt", _VALUES)
    with pytest.raises(
        UnreadableCheckpointError, match=r"several checkpoints.*name one: .*vgg_16\.ckpt, .*vgg_19\.ckpt"
    ):
        checkpoint_files.locate(tmp_path)
