"""Iterates over a pipeline and turns its errors into one line that names the file and the record.

    for example in iterate(dataset, options): ...

Errors of our own checks contain the record's address. Those of TensorFlow's readers and decoders do not, so the shards
are read again up to the record that fails: slow, but only done once, at the end of the run. Bad records are never
skipped here: those to skip are known before a run begins (`bad_records`). `detection validate` finds all faults of a
data set.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import tensorflow as tf
from absl import logging

from detection.data.image_decode import UndecodableImage, decode
from detection.data.reading import shard_files
from detection.data.reading.corrections import Corrections
from detection.data.reading.decode import parse
from detection.data.reading.options import InputOptions
from detection.data.reading.record_errors import describe, find
from detection.data.record_faults import RECORD_FAULTS
from detection.errors import DataError, first_line, printable

# Errors that bad data can cause; others (memory, cancelled, internal) are not faults of the data.
_DATA_FAULTS = (
    tf.errors.InvalidArgumentError,
    tf.errors.DataLossError,
    tf.errors.OutOfRangeError,
    tf.errors.NotFoundError,
    tf.errors.UnimplementedError,
    # TensorFlow quotes the bytes of a record that it cannot parse, and Python cannot decode the message.
    UnicodeDecodeError,
)
_AT_ONCE = 64  # records in memory while searching for a bad one


def iterate(
    dataset: Iterable, options: InputOptions | None = None, corrections: Corrections | None = None
) -> Iterator[Any]:
    """Yields the elements of a dataset (also a distributed one).

    Args:
        dataset: the dataset.
        options: the input, to find the record of an error.
        corrections: corrections made to the records; each kind is logged when it first appears, and its final count
            when the iteration ends (at the end of the data, by an error, or by closing the generator).

    Raises:
        DataError: a record cannot be used.
    """
    iterator = iter(dataset)
    logged: dict[str, str] = {}
    try:
        for number in range(1 << 62):
            try:
                element = next(iterator)
            except StopIteration:
                break
            except (tf.errors.OpError, UnicodeDecodeError) as error:
                data_error = translate(error, options)
                if data_error is None:
                    raise
                raise data_error from error
            yield element
            if corrections is not None and number % 200 == 0:
                _log(corrections.lines(), logged, new_kinds_only=True)
    finally:
        # At interpreter shutdown, generators are collected after TensorFlow is gone.
        if corrections is not None and not sys.is_finalizing():
            _log(corrections.lines(), logged, new_kinds_only=False)


def _log(lines: dict[str, str], logged: dict[str, str], new_kinds_only: bool) -> None:
    for kind, line in lines.items():
        if logged.get(kind) != line and not (new_kinds_only and kind in logged):
            logging.warning("records: %s", line)
            logged[kind] = line


def translate(error: BaseException, options: InputOptions | None = None) -> DataError | None:
    """Turns an error from an iterator into a DataError; None if it is not caused by the data.

    Args:
        error: the error.
        options: the input; without it, the record is named only for errors of our own checks.
    """
    if isinstance(error, DataError):
        return error
    if options is not None and options.python is not None and options.python.failure is not None:
        return options.python.failure
    record_error = find(error)
    if record_error is not None:
        return record_error
    if not isinstance(error, _DATA_FAULTS):
        return None
    if options is not None:
        logging.info("looking for the record that cannot be read")
        files = options.shards()
        return shard_files.find_corruption(files) or find_undecodable(files, options)
    if isinstance(error, tf.errors.DataLossError):
        return DataError(f"a record file is corrupted or truncated ({first_line(error)}); {shard_files.REMEDY}")
    return None


def find_undecodable(paths: Iterable[str], options: InputOptions) -> DataError | None:
    """Finds the first record that is not a tf.Example or whose image cannot be decoded; None if there is none."""
    reason_of = functools.partial(_reason, options=options)
    with ThreadPoolExecutor() as pool:
        for path in paths:
            batches = tf.data.TFRecordDataset(path, buffer_size=1 << 20).batch(_AT_ONCE).as_numpy_iterator()
            reasons = (reason for batch in batches for reason in pool.map(reason_of, batch))
            for index, reason in enumerate(reasons):
                if reason is not None:
                    return DataError(describe(path, index, *reason))
    return None


def describe_fault(error: BaseException, serialized: bytes, options: InputOptions) -> str:
    """Describes the fault of a record that failed with `error`, without its address."""
    marked = find(error)
    if marked is not None:
        return str(marked).partition(", record ")[2].partition(": ")[2]
    reason = first_line(error) if isinstance(error, tf.errors.OpError) else "it cannot be parsed"
    field, value, _ = _reason(serialized, options) or ("", f"cannot be decoded ({reason})", "")
    return printable(f"{field} {value}").strip()


def _reason(serialized: bytes, options: InputOptions) -> tuple[str, str, str] | None:
    """Field, value and fix for a record that cannot be decoded; None if it can be, or holds many images."""
    if options.sequences:
        return None
    try:
        extra_features = options.proposals.features if options.proposals else None
        encoded = parse(tf.constant(serialized), extra_features)["image/encoded"]
    except (tf.errors.OpError, UnicodeDecodeError) as error:
        reason = first_line(error) if isinstance(error, tf.errors.OpError) else "it cannot be parsed"
        return "", f"is not a usable tf.Example ({reason})", RECORD_FAULTS["field_type"].fix
    data = encoded.numpy()
    try:
        decode(data)
    except UndecodableImage as error:
        # An image that is too large is reported by training's own check.
        return (
            None
            if error.too_large
            else (
                "image/encoded",
                f"cannot be decoded ({len(data)} bytes, {error})",
                RECORD_FAULTS["image_unreadable"].fix,
            )
        )
    return None
