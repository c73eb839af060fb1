"""TFRecord files as files: which there are, how many records they hold, and which of them is broken.

TensorFlow's own reader says neither which field of a config named a missing file, nor which shard is corrupted, nor
that a file is compressed or ends too early between two records (the manifest that `record_writer` writes knows the
length) or inside a record's header, which it takes for the end of the file. To count, reading the lengths of the
records is enough (`framing`).
"""

from __future__ import annotations

import os
import re
import struct
from collections import Counter
from collections.abc import Iterable, Iterator

import tensorflow as tf
from absl import logging

from detection.data.listing import list_files
from detection.data.reading.example_format import parse_example
from detection.data.reading.framing import FOOTER, HEADER, ends_whole, safe_records
from detection.data.record_writer import MANIFEST_SUFFIX, check_published, manifest_path, read_manifest
from detection.errors import ConfigError, DataError, first_line, number_of, printable

REMEDY = "create or copy it again; `detection validate` tells what else is wrong"

_BESIDE = (MANIFEST_SUFFIX, ".report.json")  # what create_tf_record leaves beside its shards
_NAME = r"(.*)-\d{5}-of-(\d{5})"
_GZIP, _ZLIB = b"\x1f\x8b", (b"\x78\x01", b"\x78\x9c", b"\x78\xda")


def list_shards(patterns: Iterable[str], field: str, damaged: bool = False) -> tuple[str, ...]:
    """All files that match the globs, sorted.

    Raises:
        ConfigError, DataError: naming `field`: no pattern, no match, unreadable, compressed, two sets under one name, a
            set half written, nothing
            inside; and unless `damaged` files are wanted too, one that is cut short.
    """
    patterns = tuple(patterns)
    if not patterns:
        raise ConfigError(f"{field} is empty; name the TFRecord files to read, e.g. data/train.record-?????-of-00010")
    shards: list[str] = []
    for pattern in patterns:
        shards.extend(list_files(pattern, field, "create the records with `detection convert`", _BESIDE))
    shards = list(dict.fromkeys(shards))
    for line in check_sets(shards):
        raise DataError(f"{field}: {line}")
    _warn_of_missing(shards)
    if not sum(_check_start(path, field, damaged) for path in shards):
        do = "does" if len(shards) == 2 else "do"
        others = f", nor {do} {number_of(len(shards) - 1, 'other')}" if shards[1:] else ""
        raise DataError(f"{field}: {shards[0]} holds no records{others}; create them again")
    return tuple(shards)


def _check_start(path: str, field: str, damaged: bool) -> bool:
    """Whether the file holds anything; raises DataError if it is compressed, not as long as its manifest says, cut
    short, or cannot be read.
    """
    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            start = file.read(HEADER)
    except tf.errors.OpError as error:
        raise DataError(
            f"{field}: {path} cannot be read: {first_line(error)}; check that it exists and is readable"
        ) from error
    if start[:2] == _GZIP or (
        start[:2] in _ZLIB and len(start) == HEADER and struct.unpack("<Q", start[:8])[0] > 1 << 40
    ):
        raise DataError(
            f"{field}: {path} is compressed; uncompress it first (gunzip for .gz), records are read as they are"
        )
    manifest = None if "://" in path else read_manifest(path)
    size = tf.io.gfile.stat(path).length
    if manifest:
        check_published(path, manifest)
        expected = manifest["shards"][os.path.basename(path)]
        if expected.get("bytes", size) != size and not damaged:
            fix = "copy or create it again (or delete the manifest)"
            raise DataError(f"{field}: {path} has {size} bytes, its manifest says {expected['bytes']}; {fix}")
    elif not damaged:
        _check_end(path, size)
    if not damaged and safe_records(path) is not None:
        raise find_corruption([path])
    return bool(start)


def _check_end(path: str, size: int) -> None:
    """Raises DataError, naming the record, where a file does not end with a whole one."""
    with tf.io.gfile.GFile(path, "rb") as file:
        whole = ends_whole(file, size)
    if whole is None:
        count_records(path)
    if whole is not False:
        return
    error = find_corruption([path])
    if error is not None:
        raise error
    raise DataError(
        f"{path}, record {count_records(path, until=True)}: cut short at {size} bytes, inside the record's header;"
        f" {REMEDY}"
    )


def check_sets(paths: Iterable[str]) -> Iterator[str]:
    """One line for each set of shards that lies beside another of the same name and another number of shards: read
    together they repeat images.
    """
    totals: dict[str, set[str]] = {}
    for match in filter(None, (re.fullmatch(_NAME, path) for path in paths)):
        totals.setdefault(match[1], set()).add(match[2])
    for prefix, found in totals.items():
        if len(found) > 1:
            sets = " and ".join(f"{prefix}-*-of-{total}" for total in sorted(found))
            yield (
                f"{sets} are two sets of shards under one name, one of them left over; delete it, or name one set alone"
            )


def check_complete(paths: Iterable[str]) -> Iterator[str]:
    """One line for each set of shards some of which, by their numbers, are not there, where no manifest says what
    should be.
    """
    found = (match.groups() for path in paths if "://" not in path and (match := re.fullmatch(_NAME, path)))
    for prefix, total in dict.fromkeys(found):
        names = (f"{prefix}-{number:05d}-of-{total}" for number in range(int(total)))
        missing = [name for name in names if not os.path.exists(name)]
        if missing and not manifest_path(prefix).exists():
            are, them = ("are", "them") if missing[1:] else ("is", "it")
            others = f" and {number_of(len(missing) - 1, 'other')}" if missing[1:] else ""
            yield (
                f"{missing[0]}{others} of {number_of(int(total), 'shard')} {are} not there; copy {them} here, or create"
                " the records again"
            )


def _warn_of_missing(paths: list[str]) -> None:
    """Sets of shards are numbered; one that is missing may be meant, and should not go unnoticed."""
    found = Counter(match.groups() for path in paths if (match := re.fullmatch(_NAME, path)))
    for (prefix, total), count in found.items():
        if count < int(total):
            logging.warning("%s-*: only %d of %d shards are read", printable(prefix), count, int(total))


def count_records(path: str, until: bool = False) -> int:
    """Number of records, from their headers alone.

    Raises DataError if the file ends inside a record, unless those `until` there are wanted.
    """
    count, offset = 0, 0
    # Unbuffered where possible: 12 bytes a record are wanted, and a buffer would read the whole file.
    with tf.io.gfile.GFile(path, "rb") if "://" in path else open(path, "rb", buffering=0) as file:
        size = tf.io.gfile.stat(path).length
        while offset < size:
            file.seek(offset)
            header = file.read(HEADER)
            length = struct.unpack("<Q", header[:8])[0] if len(header) == HEADER else size
            end = offset + HEADER + length + FOOTER
            if end > size and until:
                return count
            if end > size:
                raise DataError(f"{path}, record {count}: cut short at {size} bytes, or not a TFRecord file; {REMEDY}")
            offset, count = end, count + 1
    return count


def known_most_boxes(path: str) -> int | None:
    """Boxes of the record that has most of them, as the manifest says; None where none does."""
    most = ({} if "://" in path else read_manifest(path) or {}).get("max_boxes")
    return most if isinstance(most, int) else None


def most_boxes(path: str) -> int:
    """Boxes of the record that has most of them: from the manifest where it says so, otherwise by reading them; 0 where
    they cannot be read.
    """
    known = known_most_boxes(path)
    if known is not None:
        return known
    key = "image/object/bbox/ymin"

    def count(serialized: tf.Tensor) -> tf.Tensor:
        return tf.size(parse_example(serialized, {key: tf.io.RaggedFeature(tf.float32)})[key])

    counts = tf.data.TFRecordDataset(path, buffer_size=1 << 20).map(count, num_parallel_calls=tf.data.AUTOTUNE)
    try:
        return int(counts.reduce(tf.constant(0), tf.maximum))
    except (tf.errors.OpError, UnicodeDecodeError):
        return 0  # Whoever decodes these records says what is wrong with them, and where.


def find_corruption(paths: Iterable[str]) -> DataError | None:
    """Reads all files until one fails, checksums included; names file and record."""
    for path in paths:
        count = 0
        try:
            safe = safe_records(path)
            for _ in tf.data.TFRecordDataset(path, buffer_size=1 << 20).take(-1 if safe is None else safe):
                count += 1
            if safe is not None:
                what = "its header announces more bytes than a record can have"
                return DataError(
                    f"{path}, record {count}: the file is not a TFRecord file or corrupted ({what}); {REMEDY}"
                )
        except (tf.errors.DataLossError, tf.errors.OutOfRangeError, tf.errors.InvalidArgumentError) as error:
            kind = "is not a TFRecord file" if count == 0 and "corrupted" in str(error) else "is corrupted or cut short"
            return DataError(f"{path}, record {count}: the file {kind} ({first_line(error)}); {REMEDY}")
        except tf.errors.OpError as error:
            return DataError(
                f"{path}, record {count}: cannot be read ({first_line(error)}); check that the file exists and is"
                " readable"
            )
    return None
