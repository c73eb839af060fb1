"""Bytes that make TensorFlow's own tf.Example parser crash or ask for gigabytes are an ordinary bad record, wherever
records are parsed."""

from __future__ import annotations

import resource
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import detection
from detection.data.reading import shard_files
from detection.data.reading.example_format import parse_example, parse_sequence
from detection.data.reading.input import checker, eval_dataset, train_dataset
from detection.data.reading.iteration import iterate
from detection.data.resize import FixedShapeResizer
from detection.data.validation.record_check import Classes, check_record
from detection.errors import DataError

RESIZER = FixedShapeResizer(height=16, width=16)
YMIN = "image/object/bbox/ymin"
SPEC = {
    YMIN: tf.io.RaggedFeature(tf.float32),
    "image/encoded": tf.io.FixedLenFeature((), tf.string, ""),
    "image/height": tf.io.FixedLenFeature((), tf.int64, -1),
}
BYTES_LIST, FLOAT_LIST, INT64_LIST = 1, 2, 3


def delimited(field: int, content: bytes, length: int | None = None) -> bytes:
    """A length-delimited field of the wire format; `length` says another one than the content has."""
    return bytes([field << 3 | 2]) + varint(len(content) if length is None else length) + content


def varint(number: int) -> bytes:
    """`number` in the wire format."""
    parts = []
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])


def damaged(length: int, kind: int = FLOAT_LIST, key: str = YMIN) -> bytes:
    """A tf.Example of one feature, whose values say that they are `length` bytes long; 8 are there."""
    feature = delimited(kind, delimited(1, bytes(8), length))
    entry = delimited(1, key.encode()) + delimited(2, feature)
    return delimited(1, delimited(1, entry))


HOSTILE = {
    "crash": damaged(2**31),
    "crash at the largest": damaged(2**32 - 1),
    "crash beyond 32 bits": damaged(2**63 + 2**31),
    "crash in bytes": damaged(2**31 + 5, BYTES_LIST, "image/encoded"),
    "a gigabyte": damaged(2**30),
    "numbers": damaged(2**31, INT64_LIST, "image/height"),
    "not a key that is read": damaged(2**31, FLOAT_LIST, "image/none"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_lengths_that_are_not_there_fail(name):
    """Alone and in a pipeline, which rewrites its graph; nor is room made for them."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises((tf.errors.OpError, UnicodeDecodeError)):
        parse_example(tf.constant(HOSTILE[name]), SPEC)
    records = tf.data.Dataset.from_tensors(HOSTILE[name]).map(lambda data: parse_example(data, SPEC)[YMIN])
    with pytest.raises((tf.errors.OpError, UnicodeDecodeError)):
        list(records)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 256 << 10


def test_good_records_are_parsed_as_before(example):
    for data in (b"", example(), example(boxes=[]), example(boxes=[(0, 0, 1, 1)] * 7, image__height=None)):
        found, expected = parse_example(tf.constant(data), SPEC), tf.io.parse_single_example(tf.constant(data), SPEC)
        assert found.keys() == expected.keys()
        for key, values in found.items():
            np.testing.assert_array_equal(values.numpy(), expected[key].numpy())


def test_training_evaluation_and_the_search_for_bad_records_name_the_record(write, options, example):
    path = write(example(), example(), HOSTILE["crash"])
    settings = options(path)
    for dataset in (train_dataset(settings, (), RESIZER, 1, 0), eval_dataset(settings, RESIZER, 1)):
        with pytest.raises(DataError, match="data.record, record 2: is not a usable tf.Example"):
            list(iterate(dataset, settings))
    assert shard_files.most_boxes(path) == 0  # unknown; whoever decodes the records says why
    check = checker(settings)
    assert check(path, 0, example()) is None
    for data in HOSTILE.values():
        assert check(path, 1, data).startswith("is not a usable tf.Example")


def test_validation_says_the_same():
    for data in HOSTILE.values():
        (fault,) = check_record("a.record", 3, data, Classes(None), 10**6).faults
        assert fault.kind == "record_unreadable"


def test_nothing_else_parses_examples_with_tensorflow():
    for path in Path(detection.__file__).parent.rglob("*.py"):
        if path.name != "example_format.py":
            text = path.read_text(encoding="utf-8")
            assert not any(f"tf.io.parse_{what}" in text for what in ("single", "example", "sequence")), path


def test_damaged_sequences_do_not_end_the_process():
    """TensorFlow's own parser of tf.SequenceExamples ends it with a segmentation fault at some of these."""
    message = tf.train.SequenceExample()
    message.context.feature["image/height"].int64_list.value.append(20)
    lists = message.feature_lists.feature_list
    for number in range(2):
        lists["image/encoded"].feature.add().bytes_list.value.append(b"x" * 50)
        lists["region/bbox/ymin"].feature.add().float_list.value.extend([0.1, 0.2, 0.3][number:])
        lists["region/label/index"].feature.add().int64_list.value.extend([1, 2, 3][number:])
    good = message.SerializeToString()
    per_frame = {
        "image/encoded": tf.io.VarLenFeature(tf.string),
        "region/bbox/ymin": tf.io.VarLenFeature(tf.float32),
        "region/label/index": tf.io.VarLenFeature(tf.int64),
    }
    context = {"image/height": tf.io.FixedLenFeature((), tf.int64, -1)}
    parse = tf.function(
        lambda serialized: parse_sequence(serialized, context, per_frame),
        input_signature=[tf.TensorSpec([], tf.string)],
        autograph=False,
    )
    assert parse(tf.constant(good))[1]["region/bbox/ymin"].values.shape == (5,)
    rng, refused = np.random.default_rng(0), 0
    for _ in range(2000):
        data = bytearray(good)
        for place in rng.integers(len(data), size=rng.integers(1, 4)):
            data[place] = rng.integers(256)
        try:
            parse(tf.constant(bytes(data[: rng.integers(1, len(data) + 1)])))
        except (tf.errors.InvalidArgumentError, UnicodeDecodeError):
            refused += 1
    assert refused > 1000
