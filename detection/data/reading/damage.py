"""Shards that are damaged: which stretches of them can be read, and reading those alone.

TensorFlow's reader stops for good at the first record whose checksum is wrong. Where the damage leaves the rest of the
file alone, reading can go on at the next record that is whole; a stretch is what can be read without a break.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

import tensorflow as tf
from absl import logging

from detection.data.reading.framing import FOOTER, HEADER, length_of, next_record, safe_records
from detection.data.sample import Record

_AT_ONCE = 1000  # records whose headers are looked at before they are read


class Stretch(NamedTuple):
    """Records that lie in one piece."""

    offset: int  # bytes before the first
    count: int
    first: int  # number of the first, where each damaged place counts as one record


class Damage(NamedTuple):
    """A place that cannot be read."""

    number: int  # that its record has, as far as anybody can tell
    offset: int  # where it begins, bytes
    size: int
    records: int  # that are lost: 1, or -1 where nobody can tell


def read_at(path: tf.Tensor | str, offset: tf.Tensor | int) -> tf.data.Dataset:
    """The records (strings) of a file from a byte on."""

    def opened(path: tf.Tensor, offset: tf.Tensor) -> tf.data.Dataset:
        variant = tf.raw_ops.TFRecordDatasetV2(
            filenames=path, compression_type="", buffer_size=1 << 20, byte_offsets=offset
        )
        return tf.data.experimental.from_variant(variant, tf.TensorSpec([], tf.string))

    # Inside a function alone: TensorFlow forgets the offsets where it copies the graph of a dataset that stands by
    # itself.
    start = tf.reshape(path, [1]), tf.reshape(tf.cast(offset, tf.int64), [1])
    return tf.data.Dataset.from_tensors(start).flat_map(tf.autograph.experimental.do_not_convert(opened))


def stretches(path: str) -> Iterator[tuple[int, bytes] | Stretch | Damage]:
    """Reads a file to its end, over everything that is damaged: (number, record), and behind each stretch or damaged
    place what it was.
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
            logging.debug(
                "%s, record %d: %s", path, number, error.message
            )  # What is wrong follows from where it stopped.
        yield Stretch(start, number - first, first)
        if offset < size:
            with open(path, "rb") as stream:
                stream.seek(offset)
                length = length_of(stream.read(HEADER))
                following = next_record(stream, offset + 1, size)
            end = size if following is None else following
            alone = length is not None and offset + HEADER + length + FOOTER == end
            yield Damage(number, offset, end - offset, 1 if alone else -1)
            offset, number = end, number + 1


def _records_from(path: str, offset: int) -> Iterator[bytes]:
    """The records of a file from a byte on, up to what TensorFlow cannot read, or must not try to."""
    count = _AT_ONCE
    while count == _AT_ONCE:
        count, safe = 0, safe_records(path, offset, _AT_ONCE)
        for data in read_at(path, offset).take(_AT_ONCE if safe is None else safe).as_numpy_iterator():
            yield data
            offset, count = offset + HEADER + len(data) + FOOTER, count + 1


def read_stretches(path: tf.Tensor, damaged: dict[str, tuple[Stretch, ...]]) -> tf.data.Dataset:
    """`Record`s of one file (string scalar), in a graph; of the files in `damaged` their stretches alone."""
    names = tf.constant([name for name, parts in damaged.items() for _ in parts], tf.string)
    rows = tf.constant(
        [part for parts in damaged.values() for part in parts],
        tf.int64,
        shape=[None if not damaged else names.shape[0], 3],
    )
    mine = names == path
    chosen = tf.cond(
        tf.reduce_any(mine), lambda: tf.boolean_mask(rows, mine), lambda: tf.constant([[0, -1, 0]], tf.int64)
    )

    def stretch(row: tf.Tensor) -> tf.data.Dataset:
        records = read_at(path, row[0]).take(row[1])
        numbers = tf.data.Dataset.range(row[2], tf.int64.max)
        return tf.data.Dataset.zip((numbers, records)).map(as_is(lambda number, data: Record(path, number, data)))

    as_is = tf.autograph.experimental.do_not_convert
    return tf.data.Dataset.from_tensor_slices(chosen).flat_map(as_is(stretch))
