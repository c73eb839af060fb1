"""What a kill leaves of a set of records: the old one, the new one, or one that every reader refuses."""

from __future__ import annotations

import json
import os

import pytest
import tensorflow as tf

from detection.data import record_writer
from detection.data.reading.shard_files import count_records, list_shards
from detection.data.record_writer import RecordImage, ShardedWriter
from detection.data.validation.validate import validate_records
from detection.errors import DataError

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills processes as POSIX does")
OLD, NEW = (3, b"old"), (2, b"new")  # shards, contents: the same number of bytes, so that sizes tell nothing


def writer_of(prefix, shards: int, content: bytes, overwrite: bool) -> ShardedWriter:
    """A writer with four records, not published yet."""
    writer = ShardedWriter(prefix, shards, overwrite).__enter__()
    for number in range(4):
        image = RecordImage(content, "png", 6, 8, f"{number}", f"{number}", ())
        writer.write(record_writer.to_example(image).SerializeToString(deterministic=True), image)
    return writer


def publish(prefix, shards: int, content: bytes, overwrite: bool = False, die_before: int = 0) -> bool:
    """Publishes in a process of its own, which dies before that file operation; whether it came to the end."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] == 0
    done = 0

    def counted(function):
        def call(*arguments, **named):
            nonlocal done
            done += 1
            if done == die_before:
                os._exit(9)
            return function(*arguments, **named)

        return call

    writer = writer_of(prefix, shards, content, overwrite)
    os.replace, os.unlink, os.rename = counted(os.replace), counted(os.unlink), counted(os.rename)
    writer.__exit__(None, None, None)
    os._exit(0)


def contents(pattern: str) -> set[bytes] | None:
    """What a reader of the pattern would get; None where it is refused."""
    try:
        paths = list_shards([pattern], "input_path")
    except DataError as error:
        assert (
            "convert again with --overwrite" in str(error) or "delete it" in str(error) or "two sets" in str(error)
        ), error
        return None
    assert sum(map(count_records, paths)) == 4
    found = [
        tf.train.Example.FromString(data)
        for path in paths
        for data in tf.data.TFRecordDataset(path).as_numpy_iterator()
    ]
    return {example.features.feature["image/encoded"].bytes_list.value[0] for example in found}


@pytest.mark.parametrize("older", [True, False], ids=["over an older set", "a new set"])
def test_no_kill_leaves_a_mixture(tmp_path, older):
    seen = []
    for moment in range(1, 50):
        prefix = tmp_path / str(moment) / "train.record"
        if older:
            assert publish(prefix, *OLD)
        whole = publish(prefix, *NEW, overwrite=older, die_before=moment)
        if any(prefix.parent.glob("train.record-*")):
            for pattern in ("*", "-?????-of-*"):
                found = contents(f"{prefix}{pattern}")
                assert found in (None, {b"old"}, {b"new"})
                seen.append(found and found.pop())
        if whole:
            break
        # Whatever is left, converting again puts everything right, and leaves nothing over.
        assert publish(prefix, *NEW, overwrite=True)
        assert contents(f"{prefix}*") == {b"new"}
        names = sorted(path.name for path in prefix.parent.iterdir())
        assert names == ["train.record-00000-of-00002", "train.record-00001-of-00002", "train.record.manifest.json"]
    else:
        pytest.fail("it never came to the end")
    assert None in seen and b"new" in seen and (b"old" in seen) == older and moment > 4


def test_a_set_half_published_is_refused_by_validation_too(tmp_path):
    prefix = tmp_path / "train.record"
    assert publish(prefix, *OLD) and not publish(prefix, *NEW, overwrite=True, die_before=3)
    report = validate_records([f"{prefix}-*"])
    assert any(fault.kind == "shard_differs" and "one was killed halfway" in fault.value for fault in report.bad)
    assert json.loads(record_writer.manifest_path(prefix).read_text())["state"] == record_writer.PUBLISHING


def test_leftovers_match_no_pattern_of_a_user(tmp_path):
    prefix = tmp_path / "train.record"
    assert publish(prefix, *OLD) and not publish(prefix, *NEW, overwrite=True, die_before=1)
    assert any(path.name.startswith(".train.record-") for path in tmp_path.iterdir())
    assert contents(f"{prefix}*") == contents(f"{tmp_path}/*record*") == contents(f"{tmp_path}/*-of-*") == {b"old"}


def test_two_sets_under_one_name_are_reported(tmp_path):
    """Shards of another tool, which leaves no manifest and removes nothing."""
    for total in (4, 8):
        for index in range(total):
            with tf.io.TFRecordWriter(str(record_writer.shard_path(tmp_path / "coco", index, total))) as writer:
                writer.write(b"x")
    with pytest.raises(
        DataError, match=r"coco-\*-of-00004 and .*coco-\*-of-00008 are two sets of shards with the same name"
    ) as caught:
        list_shards([f"{tmp_path}/coco-*"], "train_input_reader.input_path")
    assert str(caught.value).startswith("train_input_reader.input_path")
    assert len(list_shards([f"{tmp_path}/coco-*-of-00008"], "input_path")) == 8
    assert any("two sets of shards" in fault.value for fault in validate_records([f"{tmp_path}/coco-*"]).bad)


def test_a_shard_of_another_set_than_the_manifests_is_reported(tmp_path):
    prefix = tmp_path / "train.record"
    assert publish(prefix, *NEW)
    with tf.io.TFRecordWriter(str(record_writer.shard_path(prefix, 0, 1))) as writer:
        writer.write(b"x")
    with pytest.raises(
        DataError,
        match=r"train.record-00000-of-00001: is not in the set of .*manifest.json .*left over from another set; delete",
    ):
        list_shards([f"{prefix}-00000-of-00001"], "input_path")


def test_sets_of_other_tools_need_no_manifest(tmp_path):
    for index in range(2):
        with tf.io.TFRecordWriter(str(record_writer.shard_path(tmp_path / "coco", index, 2))) as writer:
            writer.write(b"x")
    assert len(list_shards([f"{tmp_path}/coco*"], "input_path")) == 2
