"""The border between pipelines and people: errors that come out of an iterator become one line with file and record.

    for example in iterate(dataset, options): ...

Errors found by our own checks carry the record's address. Those of TensorFlow's readers and decoders do not, so the shards are read once more, until
the record that fails: slow, but only ever done once, and then the run ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import tensorflow as tf
from absl import logging

from detection.data import shards
from detection.data.decode import parse
from detection.data.record_errors import describe, find
from detection.errors import DataError

if TYPE_CHECKING:
    from detection.data.input import InputOptions
    from detection.data.remarks import Remarks

# What bad bytes cause; anything else (memory, cancelled, internal) is not the data's fault.
_DATA_FAULTS = (
    tf.errors.InvalidArgumentError,
    tf.errors.DataLossError,
    tf.errors.OutOfRangeError,
    tf.errors.NotFoundError,
    tf.errors.UnimplementedError,
)


def iterate(dataset: Iterable, options: InputOptions | None = None, remarks: Remarks | None = None) -> Iterator[Any]:
    """The elements of a dataset (also a distributed one); bad records raise DataError.

    With `remarks`, what was put right in the records is logged once a kind, when it first appears, and summed up at the end.
    """
    iterator = iter(dataset)
    told: set[str] = set()
    for number in range(1 << 62):
        try:
            element = next(iterator)
        except StopIteration:
            break
        except tf.errors.OpError as error:
            known = translate(error, options)
            if known is None:
                raise
            raise known from error
        yield element
        if remarks is not None and number % 200 == 0:
            _tell(remarks, told)
    if remarks is not None:
        _tell(remarks, set())


def _tell(remarks: Remarks, told: set[str]) -> None:
    for kind, line in remarks.lines().items():
        if kind not in told:
            logging.warning("records: %s", line)
            told.add(kind)


def translate(error: BaseException, options: InputOptions | None = None) -> DataError | None:
    """What an error from an iterator says about the data; None if it says nothing. Without `options` only addressed errors are understood fully."""
    if isinstance(error, DataError):
        return error
    marked = find(error)
    if marked is not None:
        return marked
    if not isinstance(error, _DATA_FAULTS):
        return None
    if options is not None:
        logging.info("looking for the record that cannot be read")
        files = options.shards()
        return shards.find_corruption(files) or find_undecodable(files)
    if isinstance(error, tf.errors.DataLossError):
        return DataError(f"a record file is corrupted or cut short ({shards.first_line(error)}); create it again")
    return None


def find_undecodable(paths: Iterable[str]) -> DataError | None:
    """The first record that is no tf.Example, or whose image does not decode."""

    def broken(serialized: tf.Tensor) -> tf.data.Dataset:
        """One bool: whether the record fails. The failure is caught by dropping it and appending the answer."""
        attempt = tf.data.Dataset.from_tensors(serialized).map(lambda s: tf.size(decode_image(s)) < 0).ignore_errors()
        return attempt.concatenate(tf.data.Dataset.from_tensors(True)).take(1)

    for path in paths:
        records = tf.data.TFRecordDataset(path, buffer_size=1 << 20)
        checks = records.interleave(broken, cycle_length=8, block_length=1, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        for index, bad in enumerate(checks.as_numpy_iterator()):
            if bad:
                serialized = next(iter(records.skip(index)))
                return DataError(describe(path, index, *_reason(serialized)))
    return None


def decode_image(serialized: tf.Tensor) -> tf.Tensor:
    return tf.io.decode_image(parse(serialized)["image/encoded"], channels=3, expand_animations=False)


def _reason(serialized: tf.Tensor) -> tuple[str, str, str]:
    """Field, value and remedy of a record that does not decode."""
    try:
        encoded = parse(serialized)["image/encoded"].numpy()
    except tf.errors.OpError as error:
        return "", f"is not a usable tf.Example ({shards.first_line(error)})", "write the keys with the types of the TF Object Detection API"
    try:
        decode_image(serialized)
    except tf.errors.OpError as error:
        what = f"cannot be decoded ({len(encoded)} bytes, {_kind(encoded)}: {shards.first_line(error)})"
        return "image/encoded", what, "store a whole JPEG, PNG, BMP or GIF file"
    return "", "failed once but can be read now", "check disk and memory"


def _kind(encoded: bytes) -> str:
    """What the first bytes say the file is."""
    starts = {
        b"\xff\xd8\xff": "JPEG",
        b"\x89PNG": "PNG",
        b"GIF8": "GIF",
        b"BM": "BMP",
        b"RIFF": "WebP",
        b"II*\0": "TIFF",
        b"MM\0*": "TIFF",
        b"\x1f\x8b": "gzip",
        b"%PDF": "PDF",
        b"<": "XML or HTML text",
    }
    return next((name for start, name in starts.items() if encoded.startswith(start)), "no known image format")
