"""Reads damaged shards: finds the stretches that can be read, and reads only those.

TensorFlow's reader stops at the first record with a wrong checksum. If the rest of the file is intact, reading can
continue at the next complete record; a stretch is a sequence of records without damage.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

import tensorflow as tf
from absl import logging

from detection.data.reading.framing import FOOTER, HEADER, length_of, next_record, safe_records
from detection.data.sample import Record

_AT_ONCE = 1000  # records whose headers are checked before they are read


class Stretch(NamedTuple):
    """Consecutive records without damage."""

    offset: int  # of the first record, bytes
    count: int
    first: int  # number of the first record; each damaged part counts as one record


class Damage(NamedTuple):
    """A part of a file that cannot be read."""

    number: int  # number of its record, as far as known
    offset: int  # bytes
    size: int  # bytes
    records: int  # number of lost records: 1, or -1 if unknown


def read_at(path: tf.Tensor | str, offset: tf.Tensor | int) -> tf.data.Dataset:
    """The records (strings) of a file from byte `offset` on."""

    def opened(path: tf.Tensor, offset: tf.Tensor) -> tf.data.Dataset:
        variant = tf.raw_ops.TFRecordDatasetV2(
            filenames=path, compression_type="", buffer_size=1 << 20, byte_offsets=offset
        )
        return tf.data.experimental.from_variant(variant, tf.TensorSpec([], tf.string))

    # Inside `flat_map`, because TensorFlow loses the offsets when it copies the graph of a top-level dataset.
    start = tf.reshape(path, [1]), tf.reshape(tf.cast(offset, tf.int64), [1])
    return tf.data.Dataset.from_tensors(start).flat_map(tf.autograph.experimental.do_not_convert(opened))


def stretches(path: str) -> Iterator[tuple[int, bytes] | Stretch | Damage]:
    """Reads a file to its end, skipping damaged parts.

    Yields:
        (number, record) for each record; after each stretch a Stretch, and for each damaged part a Damage.
    """
    size = os.path.getsize(path)
    offset, number = 0, 0
    while offset < size:
        start, first = offset, number
        try:
            for data in _records_from(path, offset):
                yield number, data
                offset += HEADER + len(data) + FOOTER
                number += 1
        except (tf.errors.DataLossError, tf.errors.OutOfRangeError, tf.errors.InvalidArgumentError) as error:
            # The fault is determined below, from the position where reading stopped.
            logging.debug("%s, record %d: %s", path, number, error.message)
        yield Stretch(start, number - first, first)
        if offset < size:
            with open(path, "rb") as stream:
                stream.seek(offset)
                length = length_of(stream.read(HEADER))
                next_offset = next_record(stream, offset + 1, size)
            end = size if next_offset is None else next_offset
            is_single = length is not None and offset + HEADER + length + FOOTER == end
            yield Damage(number, offset, end - offset, 1 if is_single else -1)
            offset, number = end, number + 1


def _records_from(path: str, offset: int) -> Iterator[bytes]:
    """The records of a file from byte `offset` on, up to a record that TensorFlow cannot or must not read."""
    count = _AT_ONCE
    while count == _AT_ONCE:
        count, safe = 0, safe_records(path, offset, _AT_ONCE)
        for data in read_at(path, offset).take(_AT_ONCE if safe is None else safe).as_numpy_iterator():
            yield data
            offset, count = offset + HEADER + len(data) + FOOTER, count + 1


def read_stretches(path: tf.Tensor, damaged: dict[str, tuple[Stretch, ...]]) -> tf.data.Dataset:
    """A dataset of the `Record`s of one file.

    Args:
        path: string scalar.
        damaged: the stretches to read of damaged files; other files are read completely.
    """
    names = tf.constant([name for name, parts in damaged.items() for _ in parts], tf.string)
    rows = tf.constant(
        [part for parts in damaged.values() for part in parts],
        tf.int64,
        shape=[None if not damaged else names.shape[0], 3],
    )
    is_file = names == path
    file_rows = tf.cond(
        tf.reduce_any(is_file), lambda: tf.boolean_mask(rows, is_file), lambda: tf.constant([[0, -1, 0]], tf.int64)
    )

    def stretch(row: tf.Tensor) -> tf.data.Dataset:
        records = read_at(path, row[0]).take(row[1])
        numbers = tf.data.Dataset.range(row[2], tf.int64.max)
        return tf.data.Dataset.zip((numbers, records)).map(as_is(lambda number, data: Record(path, number, data)))

    as_is = tf.autograph.experimental.do_not_convert
    return tf.data.Dataset.from_tensor_slices(file_rows).flat_map(as_is(stretch))
