"""The border between pipelines and people: errors that come out of an iterator become one line with file and record.

    for example in iterate(dataset, options): ...

Errors found by our own checks carry the record's address. Those of TensorFlow's readers and decoders do not, so the
shards are read once more, until the record that fails: slow, but only ever done once, and then the run ends. Bad
records are never skipped here: what is left out is known before a run begins (`bad_records`). `detection validate`
finds everything that is wrong with a data set.
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

# What bad bytes cause; anything else (memory, cancelled, internal) is not the data's fault.
_DATA_FAULTS = (
    tf.errors.InvalidArgumentError,
    tf.errors.DataLossError,
    tf.errors.OutOfRangeError,
    tf.errors.NotFoundError,
    tf.errors.UnimplementedError,
    # TensorFlow quotes a record that it cannot parse byte for byte, and Python cannot read the message.
    UnicodeDecodeError,
)
_AT_ONCE = 64  # records held in memory while looking for a bad one


def iterate(
    dataset: Iterable, options: InputOptions | None = None, corrections: Corrections | None = None
) -> Iterator[Any]:
    """The elements of a dataset (also a distributed one); bad records raise DataError.

    With `corrections`, what was put right in the records is logged once a kind, when it first appears; and summed up,
    where there is more to say by then, at the end: of the data, by an error, or because the generator is closed.
    """
    iterator = iter(dataset)
    told: dict[str, str] = {}
    try:
        for number in range(1 << 62):
            try:
                element = next(iterator)
            except StopIteration:
                break
            except (tf.errors.OpError, UnicodeDecodeError) as error:
                known = translate(error, options)
                if known is None:
                    raise
                raise known from error
            yield element
            if corrections is not None and number % 200 == 0:
                _tell(corrections.lines(), told, new_kinds_only=True)
    finally:
        if (
            corrections is not None and not sys.is_finalizing()
        ):  # An interpreter that ends collects generators when TensorFlow is gone already.
            _tell(corrections.lines(), told, new_kinds_only=False)


def _tell(lines: dict[str, str], told: dict[str, str], new_kinds_only: bool) -> None:
    for kind, line in lines.items():
        if told.get(kind) != line and not (new_kinds_only and kind in told):
            logging.warning("records: %s", line)
            told[kind] = line


def translate(error: BaseException, options: InputOptions | None = None) -> DataError | None:
    """What an error from an iterator says about the data; None if it says nothing.

    Without `options` only addressed errors are understood fully.
    """
    if isinstance(error, DataError):
        return error
    if options is not None and options.python is not None and options.python.failure is not None:
        return options.python.failure
    marked = find(error)
    if marked is not None:
        return marked
    if not isinstance(error, _DATA_FAULTS):
        return None
    if options is not None:
        logging.info("looking for the record that cannot be read")
        files = options.shards()
        return shard_files.find_corruption(files) or find_undecodable(files, options)
    if isinstance(error, tf.errors.DataLossError):
        return DataError(f"a record file is corrupted or cut short ({first_line(error)}); {shard_files.REMEDY}")
    return None


def find_undecodable(paths: Iterable[str], options: InputOptions) -> DataError | None:
    """The first record that is no tf.Example, or whose image does not decode."""
    reason_of = functools.partial(_reason, options=options)
    with ThreadPoolExecutor() as pool:
        for path in paths:
            batches = tf.data.TFRecordDataset(path, buffer_size=1 << 20).batch(_AT_ONCE).as_numpy_iterator()
            reasons = (reason for batch in batches for reason in pool.map(reason_of, batch))
            for index, reason in enumerate(reasons):
                if reason is not None:
                    return DataError(describe(path, index, *reason))
    return None


def why(error: BaseException, serialized: bytes, options: InputOptions) -> str:
    """What is wrong with a record that failed with `error`, without its address."""
    marked = find(error)
    if marked is not None:
        return str(marked).partition(", record ")[2].partition(": ")[2]
    tensorflow = first_line(error) if isinstance(error, tf.errors.OpError) else "it cannot be parsed"
    field, value, _ = _reason(serialized, options) or ("", f"cannot be decoded ({tensorflow})", "")
    return printable(f"{field} {value}").strip()


def _reason(serialized: bytes, options: InputOptions) -> tuple[str, str, str] | None:
    """Field, value and remedy of a record that does not decode."""
    try:
        more = options.proposals.features if options.proposals else None
        encoded = parse(tf.constant(serialized), more)["image/encoded"]
    except (tf.errors.OpError, UnicodeDecodeError) as error:
        why = first_line(error) if isinstance(error, tf.errors.OpError) else "it cannot be parsed"
        return "", f"is not a usable tf.Example ({why})", RECORD_FAULTS["field_type"].fix
    data = encoded.numpy()
    try:
        decode(data)
    except UndecodableImage as error:
        # A larger one has its own message, where training meets it.
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
