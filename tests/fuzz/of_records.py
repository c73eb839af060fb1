"""Records: tf.Examples and the files that hold them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

from detection.errors import DataError
from tests.fuzz.mutate import Material
from tests.fuzz.of_images import picture
from tests.fuzz.reading import IMAGE, TEXT, Reader, reading


def _example(**more: object) -> bytes:
    """A record of two boxes; `more` are floats of image/object/..."""
    import tensorflow as tf

    def floats(*values: float) -> tf.train.Feature:
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))

    def ints(*values: int) -> tf.train.Feature:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

    def texts(*values: bytes) -> tf.train.Feature:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))

    features = {
        "image/encoded": texts(picture("JPEG", size=(16, 12))),
        "image/format": texts(b"jpeg"),
        "image/filename": texts(b"a.jpg"),
        "image/source_id": texts(b"7"),
        "image/height": ints(12),
        "image/width": ints(16),
        "image/object/bbox/ymin": floats(0.1, 0.0),
        "image/object/bbox/xmin": floats(0.2, 0.0),
        "image/object/bbox/ymax": floats(0.5, 1.0),
        "image/object/bbox/xmax": floats(0.6, 1.0),
        "image/object/class/label": ints(1, 2),
        "image/object/class/text": texts(b"cat", b"dog"),
        "image/object/is_crowd": ints(0, 1),
        "image/object/difficult": ints(0, 0),
        **{f"image/object/{key}": floats(*values) for key, values in more.items()},
    }
    example = tf.train.Example(features=tf.train.Features(feature=features))
    return example.SerializeToString(deterministic=True)


def _examples() -> Material:
    corpus = [_example(), _example(area=(1.0, 2.0)), _example(weight=(1.0, 0.5)), _example()[:-5]]
    keys = [
        b"bbox/ymin",
        b"bbox/xmin",
        b"bbox/ymax",
        b"bbox/xmax",
        b"class/text",
        b"class/label",
        b"is_crowd",
        b"difficult",
        b"area",
        b"weight",
    ]
    tokens = [b"image/object/" + key for key in keys] + [
        b"image/encoded",
        b"image/height",
        b"image/width",
        b"image/source_id",
        b"image/filename",
    ]
    return Material(
        corpus,
        [
            *tokens,
            b"\x12\x0a\x0a\x08",
            b"\x1a\x03\x0a\x01\x02",
            b"\x0a\x00",
            # Lengths of packed lists that are not there.
            b"\x0a\xff\xff\xff\xff\x0f",
            b"\x0a\x80\x80\x80\x80\x08",
            b"\x0a\x80\x80\x80\x80\x04",
            struct.pack("<4f", 2, float("nan"), -1, float("inf")),
        ],
    )


def _prepare_validation(folder: Path) -> Callable[[bytes], str]:
    from detection.config.label_map import load
    from detection.data.validation.record_check import Classes, check_record
    from detection.types import MAX_PIXELS

    (folder / "map.pbtxt").write_text('item { id: 1 name: "cat" }\nitem { id: 2 name: "dog" }\n')
    classes = Classes(load(folder / "map.pbtxt"))

    def run(data: bytes) -> str:
        checked = check_record("a.record", 3, data, classes, MAX_PIXELS)
        return "read" if not checked.faults else "left out" if checked.image is None else "faults"

    return run


def _prepare_training(folder: Path) -> Callable[[bytes], str]:
    import tensorflow as tf

    from detection.data.reading import iteration
    from detection.data.reading.corrections import Corrections
    from detection.data.reading.decode import Decoder
    from detection.data.reading.labels import LabelLookup
    from detection.data.reading.options import InputOptions
    from detection.data.sample import Record

    decoder = Decoder(LabelLookup((("cat", 1), ("dog", 2)), (1, 2), 2), Corrections(), "map.pbtxt")
    path = folder / "a.record"

    @tf.function(input_signature=[tf.TensorSpec([], tf.string)])
    def decode(serialized: tf.Tensor) -> tf.Tensor:
        sample, _ = decoder(Record(tf.constant(str(path)), tf.constant(3, tf.int64), serialized))
        return tf.shape(sample.boxes)[0]

    def run(data: bytes) -> str:
        try:
            decode(tf.constant(data))
        except (tf.errors.OpError, UnicodeDecodeError) as error:
            known = iteration.translate(error)
            if known is None and isinstance(error, iteration._DATA_FAULTS) and zlib.crc32(data) % 50:
                return "DataError, not looked for"
            if known is None:  # Only the file says which record it is, and looking for it takes fifty times as long.
                path.write_bytes(_framed([data]))
                known = iteration.translate(error, InputOptions(paths=(str(path),)))
            if known is None:
                raise
            assert "a.record" in str(known), str(known)
            return type(known).__name__
        return "read"

    return run


def _framed(records: Sequence[bytes]) -> bytes:
    """A record file."""
    parts = []
    for record in records:
        parts += [_header(len(record)), record, masked_checksum(record)]
    return b"".join(parts)


def _header(length: int) -> bytes:
    """A record's length and its checksum."""
    data = struct.pack("<Q", length)
    return data + masked_checksum(data)


def _crc_table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


_TABLE = _crc_table()


def masked_checksum(data: bytes) -> bytes:
    """The checksum of a record file: CRC-32C, rotated, plus a constant."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _record_files() -> Material:
    import gzip

    small = [b"\n\x00", b"", b"abc" * 30]
    corpus = [_framed(small), _framed([_example()]), _framed(small[:1] * 20), gzip.compress(_framed(small), mtime=0)]
    return Material(
        corpus,
        [_framed([b""]), _framed(small[:1]), struct.pack("<Q", 2**63), struct.pack("<Q", 2**62), _framed([b""])[:12]]
        + [_header(length) for length in (2**31, 2**40, 2**62, 2**64 - 1)],
    )


def _prepare_records(folder: Path) -> Callable[[bytes], str]:
    """The checks before a training, its reading, and, of some inputs, the search for what is wrong, which takes thirty
    times as long."""
    import tensorflow as tf

    from detection.data.reading import shard_files

    @tf.function(input_signature=[tf.TensorSpec([], tf.string)])
    def count(path: tf.Tensor) -> tf.Tensor:
        return tf.data.TFRecordDataset(path).reduce(tf.constant(0, tf.int64), lambda number, record: number + 1)

    def read(path: str) -> None:
        (found,) = shard_files.list_shards([path], "input_path")
        shard_files.count_records(found)
        try:
            count(tf.constant(found))
        except (tf.errors.DataLossError, tf.errors.OutOfRangeError, tf.errors.InvalidArgumentError) as error:
            known = (
                shard_files.find_corruption([found])
                if zlib.crc32(Path(path).read_bytes()) % 50 == 0
                else DataError(f"{path}: {error.message}")
            )
            raise known from error

    return reading("a.record", read)(folder)


READERS = {
    "example_validation": Reader(_examples, _prepare_validation, TEXT),
    "example_training": Reader(_examples, _prepare_training, TEXT),
    # Where one is damaged, TensorFlow makes a pipeline to find the place, which takes as long as decoding many images.
    "record_file": Reader(_record_files, _prepare_records, IMAGE),
}
