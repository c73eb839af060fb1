"""Records that cannot be used, found before a run begins: what is left out, what damaged shards still give, and that nothing else changes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import tensorflow as tf

from detection.data import framing
from detection.data.bad_records import BadRecords, find
from detection.data.input import checker, count_records, eval_dataset, train_dataset
from detection.data.reading import iterate
from detection.data.resize import FixedShapeResizer

RESIZER = FixedShapeResizer(height=16, width=16)


def ids(options, batches=None) -> list[str]:
    """Source ids of one evaluation, or of so many batches of a shuffled training."""
    dataset = eval_dataset(options, RESIZER, 1) if batches is None else train_dataset(options, (), RESIZER, 2, 7).take(batches)
    return [source_id.decode() for example in iterate(dataset, options) for source_id in example.info.source_ids.numpy()]


def without(options):
    """The options, with what is bad left out."""
    tolerant = dataclasses.replace(options, bad_records=BadRecords())
    return dataclasses.replace(options, bad_records=find(tolerant.shards(), checker(options)))


def ends(path: str) -> list[int]:
    """Where each record of a shard ends."""
    places, offset = [], 0
    for data in tf.data.TFRecordDataset(path).as_numpy_iterator():
        offset += len(data) + framing.HEADER + framing.FOOTER
        places.append(offset)
    return places


@pytest.fixture
def shard(write, example):
    """shard(n, {number: changes}, name) -> path of n records with ids 0 to n - 1, some of them changed."""

    def make(count: int, changed: dict[int, dict] | None = None, name: str = "a.record") -> str:
        changed = changed or {}
        return write(*(example(**{"image__source_id": f"{name[0]}{number}"} | changed.get(number, {})) for number in range(count)), name=name)

    return make


BAD = {
    "no image": {"image__encoded": b"nonsense"},
    "a label that is not in the map": {"image__object__class__label": [2]},
    "pixels": {"boxes": [(3, 4, 9, 9)]},
}


@pytest.mark.parametrize("case", BAD)
def test_one_bad_record_is_left_out_and_named(shard, options, case):
    path = shard(5, {2: BAD[case]})
    settings = without(options(path))
    (bad,) = settings.bad_records.found
    assert (bad.path, bad.number, settings.bad_records.lost) == (path, 2, 1) and bad.reason
    assert f"{path}, record 2: " in str(bad)
    assert ids(settings) == ["a0", "a1", "a3", "a4"] and count_records(settings) == 4


def test_good_shards_are_read_as_ever(shard, options):
    settings = options(shard(5), shard(4, name="b.record"))
    assert without(settings).bad_records.found == () and ids(without(settings), 12) == ids(settings, 12)


def flipped(path: str, place: int) -> None:
    data = bytearray(Path(path).read_bytes())
    data[place] ^= 1
    Path(path).write_bytes(bytes(data))


@pytest.mark.parametrize(
    ("within", "records"),
    [(-20, 1), (12, 1), (3, -1), (9, -1), (-2, 1)],
    ids=["data", "first byte of data", "length", "checksum of the length", "checksum of the data"],
)
def test_a_flipped_bit_costs_its_record_alone(shard, options, within, records):
    path = shard(5)
    places = ends(path)
    flipped(path, (places[2] if within < 0 else places[1]) + within)
    settings = without(options(path, shuffle=False))
    (bad,) = settings.bad_records.found
    assert (bad.number, bad.records) == (2, records) and f"bytes {places[1]} to {places[2]} cannot be read" in bad.reason
    assert ids(settings) == ["a0", "a1", "a3", "a4"] and count_records(settings) == 4
    assert ids(settings, 4) == ["a0", "a1", "a3", "a4"] * 2


@pytest.mark.parametrize("left", [5, 30, -1])
def test_a_shard_that_is_cut(shard, options, left):
    path = shard(4)
    places = ends(path)
    whole = Path(path).read_bytes()
    Path(path).write_bytes(whole[: places[2] + left] if left > 0 else whole[:left])
    settings = without(options(path))
    (bad,) = settings.bad_records.found
    assert bad.number == 3 and "damaged or cut short" in bad.reason and ids(settings) == ["a0", "a1", "a2"]


def test_a_cut_between_records_is_counted_by_the_manifest(shard, options, tmp_path):
    path = shard(4, name="a-00000-of-00001")
    Path(path).write_bytes(Path(path).read_bytes()[: ends(path)[1]])
    (tmp_path / "a.manifest.json").write_text(json.dumps({"shards": [{"name": "a-00000-of-00001", "records": 4, "bytes": 10**6, "sha256": ""}]}))
    settings = without(options(path))
    (bad,) = settings.bad_records.found
    assert settings.bad_records.lost == 2 and "2 records are lost" in bad.reason and len(ids(settings)) == 2


def test_several_places_in_several_shards(shard, options):
    one, two = shard(6, {4: BAD["pixels"]}), shard(3, name="b.record")
    flipped(one, ends(one)[0] + 30)
    flipped(two, ends(two)[1] + 30)
    settings = without(options(one, two))
    assert [(Path(bad.path).name, bad.number) for bad in settings.bad_records.found] == [("a.record", 1), ("a.record", 4), ("b.record", 2)]
    assert ids(settings) == ["a0", "a2", "a3", "a5", "b0", "b1"]
    assert sorted(ids(settings, 3)) == ids(settings)  # one epoch, shuffled


def test_a_stopped_run_goes_on_where_it_was(shard, options):
    one, two = shard(6, {4: BAD["pixels"]}), shard(5, name="b.record")
    flipped(one, ends(one)[0] + 30)
    settings = without(options(one, two))
    whole = ids(settings, 14)  # three epochs and more
    for start in (1, 5, 9):
        rest = train_dataset(settings, (), RESIZER, 2, 7, start_step=start).take(14 - start)
        assert [i.decode() for example in rest for i in example.info.source_ids.numpy()] == whole[2 * start :]


def test_what_was_found_can_be_kept(shard, options):
    path = shard(5, {2: BAD["pixels"]})
    flipped(path, ends(path)[3] + 30)
    found = without(options(path)).bad_records
    assert BadRecords.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_a_record_that_pretends_to_be_a_header_is_not_taken_for_one(tmp_path):
    """The bytes of a whole record inside another's data."""
    inner, outer = tmp_path / "inner", tmp_path / "outer"
    with tf.io.TFRecordWriter(str(inner)) as writer:
        writer.write(b"x" * 40)
    with tf.io.TFRecordWriter(str(outer)) as writer:
        writer.write(inner.read_bytes() + b"y" * 10)
    data = outer.read_bytes()
    with outer.open("rb") as stream:
        assert framing.ends_whole(stream, len(data))
    outer.write_bytes(data[:-1])
    with outer.open("rb") as stream:
        assert not framing.ends_whole(stream, len(data) - 1)


@pytest.mark.parametrize("size", [1, 1000, 300_000, 5_000_000])
def test_the_end_of_a_file_is_looked_at_however_long_its_records(tmp_path, size):
    path = tmp_path / "a"
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(b"first")
        writer.write(b"\0" * size)
    length = path.stat().st_size
    with path.open("rb") as stream:
        assert framing.ends_whole(stream, length)
    for cut in (1, 4, 7):
        with path.open("r+b") as stream:
            stream.truncate(length - cut)
            assert not framing.ends_whole(stream, length - cut)
