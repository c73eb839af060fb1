"""Broken files end in one line with exit code 3 (or 2 where the path is wrong), naming file, record and field."""

from __future__ import annotations

import ast
import gzip
import json
from pathlib import Path

import pytest
import tensorflow as tf

import detection
from detection.data.reading.corrections import Corrections
from detection.data.reading.input import eval_dataset, train_dataset
from detection.data.reading.iteration import iterate, translate
from detection.data.reading.shard_files import count_records
from detection.data.resize import FixedShapeResizer
from detection.errors import ConfigError, DataError

RESIZER = FixedShapeResizer(height=16, width=16)


def read_all(options, corrections=None):
    return list(iterate(eval_dataset(options, RESIZER, 1, corrections=corrections), options, corrections))


def line(options, error=DataError) -> str:
    with pytest.raises(error) as raised:
        read_all(options)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_good_records_arrive(write, options, example):
    assert len(read_all(options(write(example(), example())))) == 2


def test_missing_files_name_the_field(options, tmp_path):
    text = line(
        options(str(tmp_path / "none-*"), field="train_input_reader.tf_record_input_reader.input_path"), ConfigError
    )
    assert "train_input_reader.tf_record_input_reader.input_path" in text and "none-*" in text
    with pytest.raises(ConfigError, match="input_path"):
        train_dataset(options(str(tmp_path / "none-*")), (), RESIZER, 1, 0)
    assert "/dev/zero is a device or pipe, not a file; name files" in line(options("/dev/zero"), ConfigError)
    with pytest.raises(ConfigError, match="is empty"):
        eval_dataset(options(), RESIZER, 1)


def test_no_records_is_an_error_and_an_empty_shard_among_others_is_not(write, options, example):
    empty, full = write(name="empty.record"), write(example(), name="full.record")
    text = line(options(empty))
    assert "empty.record" in text and "no records" in text
    assert len(read_all(options(empty, full))) == 1


def test_compressed(write, options, example, tmp_path):
    packed = tmp_path / "packed.record.gz"
    packed.write_bytes(gzip.compress(Path(write(example())).read_bytes()))
    text = line(options(str(packed)))
    assert "packed.record.gz" in text and "gunzip" in text
    zlib = str(tmp_path / "zlib.record")
    with tf.io.TFRecordWriter(zlib, "ZLIB") as writer:
        writer.write(example())
    assert "compressed" in line(options(zlib))


def test_not_a_record_file(options, tmp_path):
    path = tmp_path / "notes.record"
    path.write_text("these are not the records you are looking for")
    text = line(options(str(path)))
    assert "notes.record, record 0" in text and "not a TFRecord" in text


def test_cut_short(write, options, example):
    path = Path(write(example(), example()))
    path.write_bytes(path.read_bytes()[:-10])
    text = line(options(str(path)))
    assert (
        "data.record, record 1" in text
        and "corrupted or truncated" in text
        and "truncated record at" in text
        and "detection validate" in text
    )
    with pytest.raises(DataError, match="data.record, record 1: truncated"):
        count_records(str(path))


def test_flipped_bit(write, options, example):
    path = Path(write(example(), example()))
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(bytes(data))
    text = line(options(str(path)))
    assert "data.record, record 1" in text and "corrupted record at" in text and "detection validate" in text
    with pytest.raises(DataError, match="data.record, record 1: .*[(]corrupted record at .*detection validate"):
        list(iterate(train_dataset(options(str(path)), (), RESIZER, 1, 0), options(str(path))))


@pytest.mark.parametrize(
    ("encoded", "parts"),
    [
        (b"hello, I am text", ("no known image format",)),
        (b"<html>no image</html>", ("HTML",)),
        (b"II*\0rest of a tiff", ("TIFF",)),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x20\0\0\0\x20\0\x08\x02\0\0\0", ("PNG",)),
    ],
)
def test_undecodable_images_name_the_record(write, options, example, encoded, parts):
    path = write(example(), example(), example(image__encoded=encoded), example())
    text = line(options(path))
    assert "data.record, record 2: image/encoded cannot be decoded" in text and all(part in text for part in parts)


def test_truncated_jpeg(write, options, example, picture):
    encoded = tf.io.encode_jpeg(picture(64, 64)).numpy()
    text = line(
        options(write(example(), example(height=64, width=64, image__encoded=encoded[: len(encoded) * 6 // 10])))
    )
    assert "data.record, record 1: image/encoded" in text and "JPEG" in text


def test_not_an_example_and_wrong_types(write, options, example):
    assert "record 1: is not a usable tf.Example" in line(options(write(example(), b"garbage")))
    text = line(options(write(example(image__object__bbox__xmin=[1]))))
    assert "record 0" in text and "image/object/bbox/xmin" in text


def test_first_bad_record_in_a_training_stream(write, options, example):
    first, second = (
        write(*[example()] * 5, name="a.record"),
        write(*[example()] * 3, example(boxes=[(5.0, 5.0, 9.0, 9.0)]), name="b.record"),
    )
    settings = options(first, second)
    with pytest.raises(DataError, match="b.record, record 3.*normalised"):
        for number, _ in enumerate(iterate(train_dataset(settings, (), RESIZER, 2, 0), settings)):
            assert number < 10


def test_oddities_are_logged_once(write, options, example, caplog):
    corrections = Corrections()
    with caplog.at_level("WARNING", logger="absl"):
        read_all(options(write(example(boxes=[(0.1, 0.1, 0.1, 0.5), (0, 0, 1, 1)]), *[example()] * 3)), corrections)
    assert any("1 box without area dropped" in message for message in caplog.messages)


def warnings_of(caplog) -> list[str]:
    return [message for message in caplog.messages if "without area" in message]


def test_remarks_are_summed_up_when_the_iterator_is_closed(write, options, example, caplog):
    flat, good = example(boxes=[(0.1, 0.1, 0.1, 0.5), (0, 0, 1, 1)]), example()
    settings, corrections = options(write(flat, good, good, flat), shuffle=False, num_prefetch_batches=1), Corrections()
    elements = iterate(eval_dataset(settings, RESIZER, 1, corrections=corrections), settings, corrections)
    with caplog.at_level("WARNING", logger="absl"):
        for _ in range(4):
            next(elements)
        elements.close()
    assert warnings_of(caplog)[-1].endswith("in 2 records (e.g. " + settings.paths[0] + ":0)")
    assert len(set(warnings_of(caplog))) == len(warnings_of(caplog)) <= 2


def test_a_summary_that_says_nothing_new_is_left_out(write, options, example, caplog):
    settings, corrections = options(write(example(boxes=[(0.1, 0.1, 0.1, 0.5), (0, 0, 1, 1)]))), Corrections()
    with caplog.at_level("WARNING", logger="absl"):
        for _ in iterate(
            train_dataset(settings, (), RESIZER, 1, 0, corrections=corrections).take(3), settings, corrections
        ):
            pass
    assert len(warnings_of(caplog)) == 1


def test_nothing_drops_bad_records_unseen():
    """tf.data's ignore_errors ends a shard at its first bad record and says nothing."""
    package = Path(detection.__file__).parent
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            assert not (isinstance(node, ast.Attribute) and "ignore_errors" in node.attr), f"{path}:{node.lineno}"


def test_errors_of_others_are_left_alone():
    assert translate(tf.errors.ResourceExhaustedError(None, None, "out of memory")) is None
    assert translate(ValueError("x")) is None
    assert isinstance(translate(tf.errors.DataLossError(None, None, "corrupted record at 0")), DataError)


def test_cut_between_records_is_seen_by_the_manifest(options, example, write, tmp_path):
    one, two = (Path(write(*[example()] * count, name=f"{count}.tmp")).read_bytes() for count in (1, 2))
    shard = tmp_path / "train-00000-of-00001"
    shard.write_bytes(one)
    (tmp_path / "train.manifest.json").write_text(
        json.dumps({"shards": [{"name": shard.name, "records": 2, "bytes": len(two)}]})
    )
    text = line(options(str(tmp_path / "train*")))
    assert "train-00000-of-00001" in text and f"{len(one)} bytes" in text and str(len(two)) in text
    shard.write_bytes(two)
    assert len(read_all(options(str(tmp_path / "train*")))) == 2  # and the manifest itself is not taken for a shard


def test_missing_shards_are_noticed(options, example, write, caplog):
    path = write(example(), name="train-00001-of-00003")
    with caplog.at_level("WARNING", logger="absl"):
        assert len(read_all(options(path))) == 1
    assert any("only 1 of 3 shards" in message for message in caplog.messages)
