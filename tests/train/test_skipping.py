"""Training that leaves out bad records: named once, counted, limited, and as repeatable as training without any."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from detection.checkpoints import checkpoint_files
from detection.errors import DataError
from detection.train import loop
from detection.train.options import RunOptions
from tests.helpers.tiny import make_pipeline

_SKIP = RunOptions(checkpoint_every=3, log_every=3, seed=5, skip_bad_records=True, max_bad_records=2)


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    """A pipeline over twelve records, of which number 2 has no image and number 7 a flipped bit; and the shard."""
    folder = tmp_path_factory.mktemp("damaged")
    pipeline = dataclasses.replace(make_pipeline(folder), eval_inputs=())
    shard = folder / "tiny.record-00000-of-00001"
    records = [bytearray(data) for data in tf.data.TFRecordDataset(str(shard)).as_numpy_iterator()]
    records[2] = records[2].replace(b"\x89PNG", b"\x89JPG")
    with tf.io.TFRecordWriter(str(shard)) as writer:
        for data in records:
            writer.write(bytes(data))
    content = bytearray(shard.read_bytes())
    content[sum(len(data) + 16 for data in records[:7]) + 50] ^= 1
    shard.write_bytes(bytes(content))
    return pipeline, shard


def _train(pipeline, folder: Path, options: RunOptions = _SKIP, **more) -> str:
    stream = io.StringIO()
    loop.train(pipeline, folder, options=options, stream=stream, **more)
    return stream.getvalue()


def test_a_resumed_run_equals_one_that_was_never_stopped(tmp_path, damaged, caplog):
    pipeline, shard = damaged
    with caplog.at_level("WARNING", logger="absl"):
        _train(pipeline, tmp_path / "whole")
    skipped = [message for message in caplog.messages if message.startswith("skipped: ")]
    assert len(skipped) == 2 and f"{shard}, record 2: image/encoded cannot be decoded" in skipped[0]
    assert f"{shard}, record 7: damaged: bytes " in skipped[1] and "1 record is lost" in skipped[1]
    assert any("2 records cannot be used (10 can); skipped" in message for message in caplog.messages)
    (summary,) = json.loads((tmp_path / "whole" / "bad_records.json").read_text()).values()
    assert (summary["records"], summary["left_out"]) == (10, 2) and [row[1] for row in summary["found"]] == [2, 7]

    _train(pipeline, tmp_path / "stopped", num_steps=3)
    _train(pipeline, tmp_path / "stopped")
    expected, found = (checkpoint_files.read(tmp_path / name / "model.ckpt-6") for name in ("whole", "stopped"))
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(value, found[name], err_msg=name)


def test_more_than_the_limit_is_an_error_that_names_the_first(tmp_path, damaged):
    pipeline, shard = damaged
    with pytest.raises(
        DataError,
        match=(
            r"2 records cannot be used \(10 can\), more than --max_bad_records=1; first: .*record 2: .*bad_records.json"
        ),
    ):
        _train(pipeline, tmp_path, dataclasses.replace(_SKIP, max_bad_records=1))
    assert len(next(iter(json.loads((tmp_path / "bad_records.json").read_text()).values()))["found"]) == 2


def test_without_being_asked_training_stops(tmp_path, damaged):
    pipeline, shard = damaged
    with pytest.raises(DataError, match=f"{shard}, record (2|7): "):
        _train(pipeline, tmp_path, dataclasses.replace(_SKIP, skip_bad_records=False))
