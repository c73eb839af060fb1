"""The sharded writer: names, order, manifest, and that unfinished shards never look finished."""

from __future__ import annotations

import hashlib
import json
import os

import pytest
import tensorflow as tf

from detection.data import record_writer
from detection.data.record_writer import RecordBox, RecordImage, ShardedWriter
from detection.errors import DataError


def image(number: int, boxes: int = 1) -> RecordImage:
    box = RecordBox(0.1, 0.2, 0.3, 0.4, 2, "dog", 12.0)
    return RecordImage(b"bytes %d" % number, "jpeg", 10, 20, f"{number}.jpg", str(number), (box,) * boxes)


def append(writer: ShardedWriter, image: RecordImage) -> None:
    writer.write(record_writer.to_example(image).SerializeToString(deterministic=True), image)


def write(prefix, count: int, num_shards: int, overwrite: bool = False) -> None:
    with ShardedWriter(prefix, num_shards, overwrite) as writer:
        for number in range(count):
            append(writer, image(number, boxes=number % 3))


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_round_robin_over_named_shards(tmp_path):
    write(tmp_path / "new" / "train.record", 5, 3)
    assert names(tmp_path / "new") == [
        *(f"train.record-0000{index}-of-00003" for index in range(3)),
        "train.record.manifest.json",
    ]
    ids = []
    for index in range(3):
        shard = record_writer.shard_path(tmp_path / "new" / "train.record", index, 3)
        examples = [
            tf.train.Example.FromString(data) for data in tf.data.TFRecordDataset(str(shard)).as_numpy_iterator()
        ]
        ids.append([example.features.feature["image/source_id"].bytes_list.value[0] for example in examples])
    assert ids == [[b"0", b"3"], [b"1", b"4"], [b"2"]]


def test_manifest_tells_counts_and_checksums(tmp_path):
    prefix = tmp_path / "train.record"
    write(prefix, 5, 2)
    manifest = json.loads(record_writer.manifest_path(prefix).read_text())
    assert (manifest["records"], manifest["boxes"], manifest["classes"]) == (
        5,
        4,
        [{"id": 2, "name": "dog", "boxes": 4}],
    )
    for shard in manifest["shards"]:
        data = (tmp_path / shard["name"]).read_bytes()
        assert (shard["bytes"], shard["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    assert (
        record_writer.read_manifest(record_writer.shard_path(prefix, 1, 2))["shards"]["train.record-00001-of-00002"][
            "records"
        ]
        == 2
    )
    assert record_writer.read_manifest(tmp_path / "other.record-00000-of-00001") is None
    assert record_writer.read_manifest(tmp_path / "other.tfrecord") is None


def test_broken_manifest_is_named(tmp_path):
    record_writer.manifest_path(tmp_path / "a").write_text("{}")
    with pytest.raises(DataError, match="a.manifest.json: not a manifest"):
        record_writer.read_manifest(tmp_path / "a-00000-of-00001")


def test_nothing_remains_of_an_unfinished_run(tmp_path):
    with pytest.raises(KeyboardInterrupt), ShardedWriter(tmp_path / "train.record", 2) as writer:
        append(writer, image(0))
        assert all(name.startswith(".") for name in names(tmp_path))
        raise KeyboardInterrupt
    assert names(tmp_path) == []


def test_an_unfinished_run_leaves_older_records_alone(tmp_path):
    write(tmp_path / "a", 3, 2)
    before = {name: (tmp_path / name).read_bytes() for name in names(tmp_path)}
    with pytest.raises(KeyboardInterrupt), ShardedWriter(tmp_path / "a", 3, overwrite=True) as writer:
        append(writer, image(0))
        raise KeyboardInterrupt
    assert {name: (tmp_path / name).read_bytes() for name in names(tmp_path)} == before


def test_overwriting_removes_shards_of_another_count(tmp_path):
    write(tmp_path / "a", 3, 4)
    (tmp_path / "ab-00000-of-00001").write_bytes(b"of another prefix")
    with pytest.raises(DataError, match="a-00000-of-00004: exists already"):
        write(tmp_path / "a", 3, 2)
    write(tmp_path / "a", 3, 2, overwrite=True)
    assert names(tmp_path) == ["a-00000-of-00002", "a-00001-of-00002", "a.manifest.json", "ab-00000-of-00001"]


def test_leftovers_of_a_killed_process_are_removed(tmp_path):
    dead, alive = tmp_path / ".a-00000-of-00001.tmp-999999999", tmp_path / f".a-00000-of-00009.tmp-{os.getppid()}"
    dead.write_bytes(b"")
    alive.write_bytes(b"")
    write(tmp_path / "a", 1, 1)
    assert not dead.exists() and alive.exists()


def test_unwritable_folder_and_bad_count(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataError, match="file/a: cannot write records: .*; check the folder"):
        write(tmp_path / "file" / "a", 1, 1)
    with pytest.raises(DataError, match="num_shards is 0"):
        ShardedWriter(tmp_path / "a", 0)


def test_json_that_cannot_be_written_names_the_file_and_leaves_nothing(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataError, match="absent/report.json: cannot be written: no such file or directory; check"):
        record_writer.write_json(tmp_path / "absent" / "report.json", {})
    with pytest.raises(DataError, match="file/report.json: cannot be written: not a directory"):
        record_writer.write_json(tmp_path / "file" / "report.json", {})
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="folder: cannot be written: is a directory"):
        record_writer.write_json(tmp_path / "folder", {})
    assert names(tmp_path) == ["file", "folder"]


@pytest.mark.skipif(os.name != "posix", reason="limits the size of files as POSIX does")
def test_a_full_disk_leaves_no_part_of_a_report(tmp_path):
    import resource
    import signal

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(DataError, match="report.json: cannot be written: file too large"):
            record_writer.write_json(tmp_path / "report.json", ["x" * 100] * 100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert names(tmp_path) == []


def test_file_names_that_are_not_utf8_survive():
    name = os.fsdecode(b"caf\xe9.jpg")
    example = record_writer.to_example(image(0)._replace(filename=name, source_id=name))
    assert example.features.feature["image/filename"].bytes_list.value[0] == b"caf\xe9.jpg"
