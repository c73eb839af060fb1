"""TFRecord files as files: which there are, how many records they hold, and which of them is broken.

TensorFlow's own reader says neither which field of a config named a missing file, nor which shard is corrupted, nor that a file is compressed or
ends too early between two records (the manifest that `records` writes knows the length). A record is its length (uint64), a checksum of the length
(uint32), the data, and a checksum of the data (uint32); reading lengths is enough to count.
"""

from __future__ import annotations

import os
import re
import struct
from collections import Counter
from collections.abc import Iterable

import tensorflow as tf
from absl import logging

from detection.data.listing import list_files
from detection.data.records import MANIFEST_SUFFIX, read_manifest
from detection.errors import ConfigError, DataError

REMEDY = "create or copy it again; validate_records.py tells what else is wrong"

_HEADER, _FOOTER = 12, 4
_BESIDE = (MANIFEST_SUFFIX, ".report.json")  # what create_tf_record leaves beside its shards
_GZIP, _ZLIB = b"\x1f\x8b", (b"\x78\x01", b"\x78\x9c", b"\x78\xda")


def list_shards(patterns: Iterable[str], field: str) -> tuple[str, ...]:
    """All files that match the globs, sorted. Raises errors that name `field`: no pattern, no match, unreadable, compressed, or nothing inside."""
    patterns = tuple(patterns)
    if not patterns:
        raise ConfigError(f"{field} is empty; name the TFRecord files to read, e.g. data/train.record-?????-of-00010")
    shards: list[str] = []
    for pattern in patterns:
        shards.extend(list_files(pattern, field, "create the records with create_tf_record.py", _BESIDE))
    shards = list(dict.fromkeys(shards))
    _warn_of_missing(shards)
    if not sum(_check_start(path, field) for path in shards):
        others = f", nor do {len(shards) - 1} others" if shards[1:] else ""
        raise DataError(f"{field}: {shards[0]} holds no records{others}; create them again")
    return tuple(shards)


def _check_start(path: str, field: str) -> bool:
    """Whether the file holds anything; raises DataError if it is compressed, not as long as its manifest says, or cannot be read."""
    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            start = file.read(_HEADER)
    except tf.errors.OpError as error:
        raise DataError(f"{field}: {path} cannot be read: {first_line(error)}; check that it exists and is readable") from error
    if start[:2] == _GZIP or (start[:2] in _ZLIB and len(start) == _HEADER and struct.unpack("<Q", start[:8])[0] > 1 << 40):
        raise DataError(f"{field}: {path} is compressed; uncompress it first (gunzip for .gz), records are read as they are")
    manifest = None if "://" in path else read_manifest(path)
    expected = manifest["shards"].get(os.path.basename(path)) if manifest else None
    size = tf.io.gfile.stat(path).length
    if expected and expected["bytes"] != size:
        raise DataError(f"{field}: {path} has {size} bytes, its manifest says {expected['bytes']}; copy or create it again (or delete the manifest)")
    return bool(start)


def _warn_of_missing(paths: list[str]) -> None:
    """Sets of shards are numbered; one that is missing may be meant, and should not go unnoticed."""
    found = Counter(match.groups() for path in paths if (match := re.fullmatch(r"(.*)-\d{5}-of-(\d{5})", path)))
    for (prefix, total), count in found.items():
        if count < int(total):
            logging.warning("%s-*: only %d of %d shards are read", prefix, count, int(total))


def count_records(path: str) -> int:
    """Number of records, from their headers alone. Raises DataError if the file ends inside a record."""
    count, offset = 0, 0
    # Unbuffered where possible: 12 bytes a record are wanted, and a buffer would read the whole file.
    with tf.io.gfile.GFile(path, "rb") if "://" in path else open(path, "rb", buffering=0) as file:
        size = tf.io.gfile.stat(path).length
        while offset < size:
            file.seek(offset)
            header = file.read(_HEADER)
            length = struct.unpack("<Q", header[:8])[0] if len(header) == _HEADER else size
            end = offset + _HEADER + length + _FOOTER
            if end > size:
                raise DataError(f"{path}, record {count}: cut short at {size} bytes, or not a TFRecord file; {REMEDY}")
            offset, count = end, count + 1
    return count


def find_corruption(paths: Iterable[str]) -> DataError | None:
    """Reads all files until one fails, checksums included; names file and record."""
    for path in paths:
        count = 0
        try:
            for _ in tf.data.TFRecordDataset(path, buffer_size=1 << 20):
                count += 1
        except (tf.errors.DataLossError, tf.errors.OutOfRangeError, tf.errors.InvalidArgumentError) as error:
            kind = "is not a TFRecord file" if count == 0 and "corrupted" in str(error) else "is corrupted or cut short"
            return DataError(f"{path}, record {count}: the file {kind} ({first_line(error)}); {REMEDY}")
        except tf.errors.OpError as error:
            return DataError(f"{path}, record {count}: cannot be read ({first_line(error)}); check that the file exists and is readable")
    return None


def first_line(error: tf.errors.OpError) -> str:
    """TensorFlow's message without the names of its operations."""
    text = str(error.message).split("\n")[0].split(" [[{{node")[0].split(" [Op:")[0]
    return text.split("}} ")[-1].strip()
