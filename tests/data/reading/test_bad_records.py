"""Records that cannot be used, found before a run begins: what is left out, what damaged shards still give, and that
nothing else changes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import tensorflow as tf

from detection.data.reading import framing
from detection.data.reading.bad_records import BadRecords, find
from detection.data.reading.input import checker, eval_dataset, train_dataset
from detection.data.reading.iteration import iterate
from detection.data.reading.options import InputOptions
from detection.data.reading.streams import count_records, read_in_order
from detection.data.resize import FixedShapeResizer
from detection.types import Category

RESIZER = FixedShapeResizer(height=16, width=16)


def read(options) -> list[str]:
    """Source ids of all records that the options let through, in order."""
    records = read_in_order(options, options.shards())
    examples = [tf.train.Example.FromString(record.serialized.numpy()) for record in records]
    return [example.features.feature["image/source_id"].bytes_list.value[0].decode() for example in examples]


def trained(options, batches: int, start: int = 0) -> list[str]:
    """Source ids of the batches of a shuffled training."""
    dataset = train_dataset(options, (), RESIZER, 2, 7, start_step=start).take(batches)
    return [
        source_id.decode() for example in iterate(dataset, options) for source_id in example.info.source_ids.numpy()
    ]


@pytest.fixture(scope="module")
def check():
    """Whether training can use a record; traced once."""
    settings = {
        "categories": (Category(1, "cat"), Category(3, "dog")),
        "text_ids": (("cat", 1), ("dog", 3)),
        "label_source": "pets.pbtxt",
    }
    return checker(InputOptions(paths=(), **settings))


@pytest.fixture
def without(check):
    """without(options) -> the options, with what is bad left out."""

    def make(options):
        tolerant = dataclasses.replace(options, bad_records=BadRecords())
        return dataclasses.replace(options, bad_records=find(tolerant.shards(), check))

    return make


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
        return write(
            *(
                example(**{"image__source_id": f"{name[0]}{number}"} | changed.get(number, {}))
                for number in range(count)
            ),
            name=name,
        )

    return make


BAD = {
    "no image": {"image__encoded": b"nonsense"},
    "a label that is not in the map": {"image__object__class__label": [2]},
    "pixels": {"boxes": [(3, 4, 9, 9)]},
}


@pytest.mark.parametrize("case", BAD)
def test_one_bad_record_is_left_out_and_named(shard, options, without, case):
    path = shard(5, {2: BAD[case]})
    settings = without(options(path))
    (bad,) = settings.bad_records.found
    assert (bad.path, bad.number, settings.bad_records.lost) == (path, 2, 1) and bad.reason
    assert f"{path}, record 2: " in str(bad)
    assert read(settings) == ["a0", "a1", "a3", "a4"] and count_records(settings) == 4


def test_good_shards_are_read_as_ever(shard, options, without):
    settings = options(shard(5), shard(4, name="b.record"))
    tolerant = without(settings)
    assert (
        tolerant.bad_records.found == ()
        and tolerant.bad_records.lost == 0
        and trained(tolerant, 12) == trained(settings, 12)
    )


def flipped(path: str, place: int) -> None:
    data = bytearray(Path(path).read_bytes())
    data[place] ^= 1
    Path(path).write_bytes(bytes(data))


@pytest.mark.parametrize(
    ("within", "records"),
    [(-20, 1), (12, 1), (3, -1), (9, -1), (-2, 1)],
    ids=["data", "first byte of data", "length", "checksum of the length", "checksum of the data"],
)
def test_a_flipped_bit_costs_its_record_alone(shard, options, without, within, records):
    path = shard(5)
    places = ends(path)
    flipped(path, (places[2] if within < 0 else places[1]) + within)
    settings = without(options(path, shuffle=False))
    (bad,) = settings.bad_records.found
    assert (bad.number, bad.records) == (
        2,
        records,
    ) and f"bytes {places[1]} to {places[2]} cannot be read" in bad.reason
    assert read(settings) == ["a0", "a1", "a3", "a4"] and count_records(settings) == 4


@pytest.mark.parametrize("left", [5, 30, -1])
def test_a_shard_that_is_cut(shard, options, without, left):
    path = shard(4)
    places = ends(path)
    whole = Path(path).read_bytes()
    Path(path).write_bytes(whole[: places[2] + left] if left > 0 else whole[:left])
    settings = without(options(path))
    (bad,) = settings.bad_records.found
    assert bad.number == 3 and "damaged or truncated" in bad.reason and read(settings) == ["a0", "a1", "a2"]


def test_a_cut_between_records_is_counted_by_the_manifest(shard, options, without, tmp_path):
    path = shard(4, name="a-00000-of-00001")
    Path(path).write_bytes(Path(path).read_bytes()[: ends(path)[1]])
    (tmp_path / "a.manifest.json").write_text(
        json.dumps({"shards": [{"name": "a-00000-of-00001", "records": 4, "bytes": 10**6, "sha256": ""}]})
    )
    settings = without(options(path))
    (bad,) = settings.bad_records.found
    assert settings.bad_records.lost == 2 and "2 records are lost" in bad.reason and len(read(settings)) == 2


def test_several_places_in_several_shards(shard, options, without):
    one, two = shard(6, {4: BAD["pixels"]}), shard(3, name="b.record")
    flipped(one, ends(one)[0] + 30)
    flipped(two, ends(two)[1] + 30)
    settings = without(options(one, two))
    assert [(Path(bad.path).name, bad.number) for bad in settings.bad_records.found] == [
        ("a.record", 1),
        ("a.record", 4),
        ("b.record", 2),
    ]
    left = ["a0", "a2", "a3", "a5", "b0", "b1"]
    dataset = iterate(eval_dataset(settings, RESIZER, 1), settings)
    assert read(settings) == [example.info.source_ids.numpy()[0].decode() for example in dataset] == left
    whole = trained(settings, 9)  # three epochs, shuffled
    assert [sorted(whole[start : start + 6]) for start in (0, 6, 12)] == [left] * 3 and whole[:6] != whole[6:12]
    for start in (1, 5):  # A stopped run goes on where it was.
        assert trained(settings, 9 - start, start) == whole[2 * start :]


def test_what_was_found_can_be_kept(shard, options, without):
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
