"""Validation of records: each fault is made here, in a shard of its own, and must be named by shard, record and
field."""

from __future__ import annotations

import gzip
import io
import json

import numpy as np
import pytest
import tensorflow as tf

from detection.config import label_map
from detection.data import record_writer
from detection.data.validation.validate import validate_records
from detection.errors import DataError, DetectionError


def png(width: int = 8, height: int = 6) -> bytes:
    return tf.io.encode_png(np.zeros((height, width, 3), np.uint8)).numpy()


def example(number: int = 0, **changes: object) -> bytes:
    """A good record with two dogs and some fields changed (None: left out); `__` stands for `/`."""
    fields = {
        "image/encoded": [png()],
        "image/format": [b"png"],
        "image/height": [6],
        "image/width": [8],
        "image/source_id": [b"id %d" % number],
        "image/object/bbox/ymin": [0.1, 0.2],
        "image/object/bbox/xmin": [0.1, 0.2],
        "image/object/bbox/ymax": [0.5, 0.6],
        "image/object/bbox/xmax": [0.5, 0.6],
        "image/object/class/label": [3, 3],
        "image/object/class/text": [b"dog", b"dog"],
    }
    fields |= {key.replace("__", "/"): value for key, value in changes.items()}
    message = tf.train.Example()
    for key, values in fields.items():
        if values:
            kind = (
                "bytes_list"
                if isinstance(values[0], bytes)
                else "int64_list"
                if isinstance(values[0], int)
                else "float_list"
            )
            getattr(message.features.feature[key], kind).value.extend(values)
    return message.SerializeToString()


def shard(folder, *serialized: bytes, name: str = "a.tfrecord") -> str:
    path = str(folder / name)
    with tf.io.TFRecordWriter(path) as writer:
        for data in serialized:
            writer.write(data)
    return path


@pytest.fixture
def classes(tmp_path) -> label_map.LabelMap:
    path = tmp_path / "map.pbtxt"
    path.write_text('item { name: "dog" id: 3 } item { name: "/m/2" display_name: "cat" id: 2 }')
    return label_map.load(path)


def kinds(report) -> list[str]:
    return [fault.kind for fault in report.faults]


def test_good_records_are_counted(tmp_path, classes):
    shard(
        tmp_path,
        example(0),
        example(1, **{"image/object/class/text": [b"cat", b"/m/2"], "image/object/class/label": None}),
    )
    progress = io.StringIO()
    report = validate_records([str(tmp_path / "*.tfrecord")], classes, progress_to=progress, use_display_name=True)
    assert not report.faults and (report.images, report.boxes, report.found_images) == (2, 4, 2)
    assert {row["name"]: row["boxes"] for row in report.to_dict()["classes"]} == {"cat": 2, "dog": 2}


BOX = "image/object/bbox/"


@pytest.mark.parametrize(
    ("changes", "kind", "parts"),
    [
        ({"image/encoded": None}, "record_unreadable", ["image/encoded", "missing or empty"]),
        ({"image/encoded": [b"nonsense"]}, "image_unreadable", ["image/encoded", "text: 'nonsense'"]),
        ({"image/encoded": [png()[:-20]]}, "image_unreadable", ["image/encoded"]),
        ({"image/encoded": [png(80, 60)]}, "image_too_large", ["80x60"]),
        ({"image/height": [7]}, "size_mismatch", ["image/width, image/height", "8x7", "8x6"]),
        ({"image/height": None}, "size_absent", ["None"]),
        ({"image/height": [6.0]}, "field_type", ["image/height", "float_list", "int64_list"]),
        ({"image/format": [b"jpeg"]}, "format_differs", ["image/format", "'jpeg'", "png"]),
        ({"image/key/sha256": [b"0" * 64]}, "sha256_differs", ["image/key/sha256"]),
        ({"image/source_id": None}, "source_id_absent", ["image/source_id"]),
        ({BOX + "ymin": [0.1]}, "field_length", ["ymin 1, xmin 2"]),
        ({"image/object/area": [1.0]}, "field_length", ["image/object/area", "1 values for 2 boxes"]),
        ({"image/object/class/label": [3.0, 3.0]}, "field_type", ["image/object/class/label"]),
        ({BOX + "ymax": [0.5, float("nan")]}, "box_unreadable", ["box 1", "nan"]),
        ({BOX + "ymax": [0.05, 0.6]}, "box_inverted", ["box 0", "0.05"]),
        ({BOX + "ymax": [0.1, 0.6]}, "box_zero_area", ["box 0"]),
        ({BOX + "ymin": [-0.5, 0.2], BOX + "ymax": [-0.1, 0.6]}, "box_outside", ["box 0"]),
        ({BOX + "ymax": [1.05, 0.6]}, "box_clipped", ["box 0", "1.05"]),
        ({BOX + "ymin": [-0.2, 0.2]}, "box_outside", ["box 0", "-0.2", "is an error in training"]),
        ({BOX + "ymax": [5.0, float("nan")]}, "box_not_normalised", ["values up to 5"]),
        ({"image/object/area": [1.0, float("nan")]}, "number_unusable", ["image/object/area of box 1", "nan"]),
        ({"image/object/weight": [-1.0, 0.0]}, "number_unusable", ["image/object/weight of box 0", "-1"]),
        ({BOX + "ymax": [5.0, 6.0]}, "box_not_normalised", ["values up to 6"]),
        ({"image/object/class/text": [b"dog", b"wolf"]}, "class_unknown", ["box 1", "'wolf'", "map.pbtxt"]),
        (
            {"image/object/class/text": None, "image/object/class/label": [3, 4]},
            "class_unknown",
            ["box 1", "label 4", "map.pbtxt"],
        ),
        ({"image/object/class/text": None, "image/object/class/label": None}, "class_missing", ["missing for 2 boxes"]),
        ({"image/object/class/label": [3, 2]}, "class_disagrees", ["box 1", "'dog'", "label 2"]),
    ],
)
def test_each_fault_names_shard_record_field_and_value(tmp_path, classes, changes, kind, parts):
    path = shard(tmp_path, example(0), example(1, **changes))
    report = validate_records([path], classes, max_image_pixels=1000)
    fault = report.faults[0]
    assert fault.kind == kind and len(report.faults) == (2 if kind == "field_type" and "image/height" in changes else 1)
    for part in (path, "record 1", *parts):
        assert part in str(fault)
    assert report.found_images == 2


def test_image_of_another_type(tmp_path):
    path = shard(
        tmp_path,
        example(**{"image/encoded": [b"BM" + b"\0" * 3]}),
        example(1, **{"image/encoded": [_gif()], "image/format": [b"gif"]}),
    )
    report = validate_records([path])
    assert kinds(report) == ["image_unreadable", "format_differs"] and "neither JPEG nor PNG" in report.faults[1].value


def _gif() -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.new("RGB", (8, 6)).save(stream, "GIF")
    return stream.getvalue()


def test_what_is_no_example(tmp_path):
    report = validate_records([shard(tmp_path, b"\xff\xff nonsense", example(1))])
    assert kinds(report) == ["record_unreadable"] and "record 0" in str(report.faults[0]) and report.images == 1


def test_without_label_map_texts_must_agree_with_each_other(tmp_path):
    path = shard(
        tmp_path,
        example(0),
        example(1, **{"image/object/class/label": [3, 4]}),
        example(2, **{"image/object/class/label": [0, 3]}),
    )
    report = validate_records([path])
    assert kinds(report) == ["class_disagrees", "class_unknown"]
    assert "record 1 (id 1)" in str(report.faults[0]) and "labels start at 1" in str(report.faults[1])


def test_texts_and_labels_that_disagree_are_refused(tmp_path, classes):
    """Training takes the text and goes on; the script ends with code 3 for whatever is in `bad`."""
    (fault,) = validate_records([shard(tmp_path, example(0, **{"image/object/class/label": [3, 2]}))], classes).bad
    assert "record 0 (id 0), box 1: text 'dog' is label 3 in" in str(fault) and "the record says label 2" in str(fault)


def test_repeated_source_id_names_both_places(tmp_path):
    first, second = (
        shard(tmp_path, example(0), name="a.tfrecord"),
        shard(tmp_path, example(1), example(0), name="b.tfrecord"),
    )
    (fault,) = validate_records([first, second]).faults
    assert (
        fault.kind == "duplicate_id"
        and f"{second}: record 1 (id 0)" in str(fault)
        and f"{first} record 0" in str(fault)
    )


def test_cut_within_a_record(tmp_path):
    path = shard(tmp_path, example(0), example(1), example(2))
    data = open(path, "rb").read()
    with open(path, "wb") as stream:
        stream.write(data[:-30])
    report = validate_records([path])
    (fault,) = report.faults
    assert (
        fault.kind == "shard_unreadable"
        and f"{path}: record 2" in str(fault)
        and "at byte" in fault.value
        and report.images == 2
    )


def test_flipped_bit(tmp_path):
    path = shard(tmp_path, example(0), example(1), example(2))
    data = bytearray(open(path, "rb").read())
    data[len(data) // 2] ^= 1
    with open(path, "wb") as stream:
        stream.write(data)
    report = validate_records([path])
    assert (
        kinds(report) == ["shard_unreadable"]
        and "record 1" in str(report.faults[0])
        and "this record is lost" in str(report.faults[0])
    )
    assert report.images == 2, "the records before it and behind it"


@pytest.mark.parametrize("left", [1, 7, 11])
def test_cut_within_the_header_of_a_record(tmp_path, left):
    """TensorFlow takes it for the end of the file."""
    path = shard(tmp_path, example(0), example(1))
    whole = open(path, "rb").read()
    for start, before in ((0, 0), (len(whole) // 2, 1)):
        with open(path, "wb") as stream:
            stream.write(whole[: start + left])
        (fault,) = validate_records([path]).bad
        assert (
            fault.kind == "shard_unreadable"
            and path in str(fault)
            and (f"record 1: cut at byte {start}" in str(fault)) == bool(before)
        )


def test_no_records_at_all_are_bad_and_one_empty_file_among_others_is_noted(tmp_path):
    empty, full = shard(tmp_path, name="a.tfrecord"), shard(tmp_path, example(0), name="b.tfrecord")
    assert [fault.kind for fault in validate_records([empty]).bad] == ["no_records"]
    report = validate_records([empty, full])
    assert not report.bad and kinds(report) == ["shard_empty"] and empty in str(report.faults[0])


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"hello, I am text " * 9, "text: 'hello"),
        (
            gzip.compress(b"xy", mtime=0),
            "gunzip",
        ),  # The bytes are in the test's name, on which processes must agree: no time of day.
        (b"\x89PNG" * 9, "PNG"),
    ],
)
def test_what_is_no_tfrecord(tmp_path, data, says):
    (tmp_path / "a").write_bytes(data)
    (fault,) = validate_records([str(tmp_path / "a")]).faults
    assert fault.kind == "shard_unreadable" and says in fault.value


def _written(folder, count: int = 4) -> list[str]:
    with record_writer.ShardedWriter(folder / "train.record", 2) as writer:
        for number in range(count):
            image = record_writer.RecordImage(png(), "png", 6, 8, f"{number}", f"{number}", ())
            writer.write(record_writer.to_example(image).SerializeToString(deterministic=True), image)
    return [str(path) for path in writer.paths]


def test_written_shards_are_what_their_manifest_says(tmp_path):
    _written(tmp_path)
    report = validate_records([str(tmp_path / "train.record*")])
    assert not report.faults and (report.images, report.images_without_boxes) == (4, 4)


def test_manifest_finds_a_shard_cut_between_records(tmp_path):
    first, _ = _written(tmp_path)
    length = len(open(first, "rb").read())
    with open(first, "r+b") as stream:
        stream.truncate(length // 2)
    (fault,) = validate_records([first]).faults
    assert (
        fault.kind == "shard_differs"
        and "1 record can be read, its manifest says 2" in fault.value
        and first in str(fault)
    )


def test_manifest_finds_missing_and_changed_shards(tmp_path):
    first, second = _written(tmp_path)
    (tmp_path / "train.record-00001-of-00002").unlink()
    shard(tmp_path, example(5), example(6), name="train.record-00000-of-00002")
    report = validate_records([first])
    assert kinds(report) == ["shard_differs", "shard_differs"]
    assert "train.record-00001-of-00002: does not exist" in str(
        report.faults[0]
    ) and "have changed since it was written" in str(report.faults[1])


def test_broken_manifest(tmp_path):
    first, _ = _written(tmp_path)
    (tmp_path / "train.record.manifest.json").write_text(json.dumps({"shards": 3}))
    (fault,) = validate_records([first]).faults
    assert fault.kind == "shard_differs" and "not a manifest" in fault.value


def test_nothing_to_read(tmp_path):
    with pytest.raises(DataError, match="nothing-\\*: no such file, or no file matches"):
        validate_records([str(tmp_path / "nothing-*")])
    with pytest.raises(DataError, match="is a folder"):
        validate_records([str(tmp_path)])
    with pytest.raises(DetectionError, match="/dev/zero: is a device or pipe, not a file") as error:
        validate_records(["/dev/zero"])
    assert error.value.exit_code == 2


def test_shards_that_their_numbers_say_there_should_be(tmp_path):
    first = shard(tmp_path, example(), name="a.record-00000-of-00003")
    (fault,) = validate_records([first], workers=1).faults
    assert (
        fault.kind == "shard_missing"
        and fault.bad
        and "a.record-00001-of-00003 and 1 other of 3 shards are missing" in fault.value
    )
    for number in (1, 2):
        shard(tmp_path, example(number), name=f"a.record-{number:05d}-of-00003")
    assert not validate_records([first], workers=1).faults  # A part of a whole set may be looked at alone.
