"""Indexes of checkpoints that would end the process inside TensorFlow are refused before it reads them."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from detection.checkpoints import index_check
from detection.checkpoints.checkpoint_files import UnreadableCheckpointError, entries, read
from detection.data.reading.framing import masked_crc
from detection.errors import ConfigError
from detection.export.predictor import Predictor


@pytest.fixture
def prefix(tmp_path) -> str:
    """A checkpoint of three variables and a partitioned one."""
    prefix = str(tmp_path / "model.ckpt-5")
    tf.raw_ops.SaveV2(
        prefix=prefix,
        tensor_names=["conv/weights", "global_step", "words", "parts", "parts"],
        shape_and_slices=["", "", "", "4 2 0,2:-", "4 2 2,2:-"],
        tensors=[
            tf.ones([3, 4]),
            tf.constant(5, tf.int64),
            tf.constant(["x", "", "yz"]),
            tf.ones([2, 2]),
            tf.ones([2, 2]),
        ],
    )
    return prefix


def change(prefix: str, old: bytes, new: bytes) -> None:
    """Replaces bytes of the first block of an index and makes its checksum right again."""
    path = Path(f"{prefix}.index")
    data = path.read_bytes()
    size = (
        data.index(bytes(4) + b"\1\0\0\0\0", 20) + 8
    )  # the block ends with its only place to start from, and its count
    block = data[:size].replace(old, new, 1)
    assert len(block) == size and block != data[:size]
    path.write_bytes(block + b"\0" + struct.pack("<I", masked_crc(block + b"\0")) + data[size + 5 :])


def test_what_tensorflow_writes_is_accepted(prefix):
    index_check.check(prefix)
    assert set(entries(prefix)) == {"conv/weights", "global_step", "words", "parts"}
    np.testing.assert_array_equal(read(prefix)["parts"], np.ones([4, 2], np.float32))
    assert index_check.check(prefix + "0") is None  # not there


SHAPE = b"\x12\x08\x12\x02\x08\x03\x12\x02\x08\x04"  # [3, 4]
PARTS = b"\x3a\x06\x0a\x02\x10\x02\x0a\x00\x3a\x08\x0a\x04\x08\x02\x10\x02\x0a\x00"  # [0:2, :], [2:4, :] of "parts"
PART = b"\x08\x01\x12\x08\x12\x02\x08\x02\x12\x02\x08\x02"  # float [2, 2]
HOSTILE = {
    "a part twice": (PARTS, PARTS.replace(b"\x04\x08\x02", b"\x04\x18\x02"), "'parts' has a part twice"),
    "a part outside": (PARTS, PARTS.replace(b"\x04\x08\x02", b"\x04\x08\x03"), "'parts' has a part outside its shape"),
    "a part of a different type": (PART, b"\x08\x03" + PART[2:], "'parts' has a part of a different type"),
    "a reference": (PART, b"\x08\x7f" + PART[2:], "parts.* has the type 127, which no variable has"),
    "no entry": (b"\x08\x01" + SHAPE, b"\x08\x01\x12\x7f" + SHAPE[2:], "an entry of its index is damaged"),
    "no shape": (SHAPE, SHAPE[:6] + b"\x18\x01" * 2, "'conv/weights' has no usable shape"),
    "an unknown type": (
        b"\x08\x01" + SHAPE,
        b"\x08\x49" + SHAPE,
        "'conv/weights' has the type 73, which no variable has",
    ),
    "a huge shape": (
        SHAPE,
        b"\x12\x08\x12\x06\x08\xff\xff\xff\xff\x07",
        "which needs 8589934588 bytes; the file has fewer",
    ),
    "a place to start from in an entry": (bytes(4) + b"\1\0\0\0", b"\5\0\0\0\1\0\0\0", "its index is damaged"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_entries_with_right_checksums_that_cannot_be(prefix, name):
    old, new, says = HOSTILE[name]
    change(prefix, old, new)
    for reader in (entries, read):
        with pytest.raises(UnreadableCheckpointError, match=f"model.ckpt-5: cannot be read, .*({says})"):
            reader(prefix)


def test_damage_of_the_table_itself(prefix):
    path = Path(f"{prefix}.index")
    data = path.read_bytes()
    for place in range(len(data)):
        for damaged in (data[:place], data[:place] + b"\xff" + data[place + 1 :]):
            path.write_bytes(damaged)
            try:
                index_check.check(prefix)
            except ValueError as error:
                assert "index" in str(error)  # everything else is found by its checksum, in TensorFlow


def test_saved_models_are_checked_too(tmp_path, prefix):
    module = tf.Module()
    module.conv = tf.Variable(tf.ones([3, 4]))
    tf.saved_model.save(module, str(tmp_path / "saved_model"))
    variables = tmp_path / "saved_model" / "variables" / "variables"
    change(prefix, b"\x08\x01" + SHAPE, b"\x08\x01\x12\x7f" + SHAPE[2:])
    for suffix in (".index", ".data-00000-of-00001"):
        Path(f"{variables}{suffix}").write_bytes(Path(prefix + suffix).read_bytes())
    with pytest.raises(ConfigError, match="saved_model: cannot be loaded: an entry of its index is damaged; export it"):
        Predictor.load(tmp_path)
