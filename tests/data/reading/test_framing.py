"""Record files whose headers announce more than there is: TensorFlow is kept from those that would end the process."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from detection.data.reading import damage
from detection.data.reading.damage import Damage, Stretch, stretches
from detection.data.reading.framing import masked_crc, safe_records
from detection.data.reading.input import eval_dataset, train_dataset
from detection.data.reading.shard_files import find_corruption, list_shards
from detection.data.resize import FixedShapeResizer
from detection.errors import DataError

RESIZER = FixedShapeResizer(height=16, width=16)
IMPOSSIBLE = (2**31, 2**40, 2**62, 2**63, 2**64 - 5, 2**64 - 1)


def header(length: int) -> bytes:
    """A header with the right checksum."""
    data = struct.pack("<Q", length)
    return data + struct.pack("<I", masked_crc(data))


@pytest.fixture
def shard(write, example):
    """shard(length) -> path of two records, a header that announces `length`, and two records."""

    def make(length: int) -> str:
        path = Path(write(example(), example()))
        whole = path.read_bytes()
        path.write_bytes(whole + header(length) + bytes(40) + whole)
        return str(path)

    return make


@pytest.mark.parametrize("length", IMPOSSIBLE)
def test_headers_that_announce_too_much_are_refused_by_record(shard, options, length):
    path = shard(length)
    assert safe_records(path) == 2 and safe_records(path, 0, 2) is None
    settings = options(path)
    says = "data.record, record 2: the file .* corrupted .*a length that a record cannot have.*detection validate"
    for read in (
        lambda: list_shards([path], "input_path"),
        lambda: train_dataset(settings, (), RESIZER, 1, 0),
        lambda: eval_dataset(settings, RESIZER, 1),
    ):
        with pytest.raises(DataError, match=says):
            read()
    assert "record 2" in str(find_corruption([path]))


@pytest.mark.parametrize("length", IMPOSSIBLE)
def test_records_around_such_a_header_are_found(shard, length):
    """For validation, and for training without what is bad."""
    parts = list(stretches(shard(length)))
    assert [part[0] for part in parts if not isinstance(part, Stretch | Damage)] == [0, 1, 3, 4]
    (lost,) = (part for part in parts if isinstance(part, Damage))
    assert (lost.number, lost.size) == (2, 52)


def test_other_damage_is_left_to_tensorflow(write, example):
    path = Path(write(example(), example()))
    whole = path.read_bytes()
    assert safe_records(str(path)) is None
    path.write_bytes(whole + header(2**20))  # cut short
    assert safe_records(str(path)) is None
    path.write_bytes(whole + bytes(8) + bytes(4) + struct.pack("<Q", 2**62) + bytes(4))  # a wrong checksum
    assert safe_records(str(path)) is None


def test_pieces_of_a_long_file_are_one_stretch(write, monkeypatch):
    monkeypatch.setattr(damage, "_AT_ONCE", 3)
    for count in (0, 2, 3, 6, 7):
        *records, stretch = list(stretches(write(*[b"abc"] * count))) or [None]
        assert [number for number, _ in records] == list(range(count))
        assert stretch == (Stretch(0, count, 0) if count else None)
