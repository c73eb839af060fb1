"""Object-based checkpoints are read by the key of an array, by any path of attributes to it, and with their slots told
apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from detection.checkpoints import checkpoint_files as files
from detection.checkpoints import object_files
from detection.checkpoints.checkpoint_files import UnreadableCheckpointError
from tests.helpers import object_checkpoints

VALUES = {"model/a/kernel": np.float32([[1, 2]]), "model/a/bias": np.float32([3]), "model/b-0/gamma": np.float32([4])}


def test_variables_slots_and_step_of_a_training_checkpoint(tmp_path: Path) -> None:
    prefix = object_checkpoints.write(tmp_path, VALUES, slot="momentum")
    assert object_files.is_object_based(prefix)
    found = object_files.contents(prefix)
    assert set(VALUES) <= set(found.entries) and found.entries["model/a/kernel"].shape == (1, 2)
    assert set(found.slots) == {f"{key}/.OPTIMIZER_SLOT/optimizer/momentum" for key in VALUES}
    assert found.step() == 7
    values = object_files.read(prefix, VALUES)
    assert all(np.array_equal(values[key], value) for key, value in VALUES.items())


def test_a_variable_is_found_by_every_path_that_leads_to_it(tmp_path: Path) -> None:
    shared = tf.Module()
    shared.kernel = tf.Variable([5.0])
    root = tf.train.Checkpoint(near=shared, far=tf.Module())
    root.far.same = shared
    setattr(root.far, "box/scale", shared)
    prefix = root.save(str(tmp_path / "ckpt"))
    found = object_files.contents(prefix)
    for path in ("near/kernel", "far/same/kernel", "far/box.Sscale/kernel"):
        assert found.find(path) == "near/kernel"
    assert found.find("far/other/kernel") is None and found.find("far/same") is None
    assert found.step() == 0


def test_name_based_and_damaged_files_are_told_apart(tmp_path: Path) -> None:
    files.write(tmp_path / "model.ckpt-1", {"a": np.float32([1])})
    assert not object_files.is_object_based(tmp_path / "model.ckpt-1")
    prefix = object_checkpoints.write(tmp_path, VALUES)
    Path(f"{prefix}.data-00000-of-00001").write_bytes(b"")
    with pytest.raises(UnreadableCheckpointError, match="truncated or damaged"):
        object_files.contents(prefix)


def test_the_average_that_an_optimizer_keeps_of_a_variable() -> None:
    entry = files.Entry((1,), tf.float32)
    slots = {
        "model/a/.OPTIMIZER_SLOT/optimizer/average": entry,
        "model/ab/.OPTIMIZER_SLOT/optimizer/average": entry,
        "model/b/.OPTIMIZER_SLOT/optimizer/momentum": entry,
    }
    assert object_files.average("model/a", slots) == "model/a/.OPTIMIZER_SLOT/optimizer/average"
    assert object_files.average("model/b", slots) is None
