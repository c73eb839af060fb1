"""Lists TFRecord files, counts their records, and finds damaged ones.

TensorFlow's reader does not report which field of a config named a missing file, which shard is corrupted, that a file
is compressed, that it is truncated between two records (the manifest of `record_writer` contains the length), or that
it is truncated inside a record's header, which it treats as the end of the file. Records are counted by reading only
their lengths (`framing`).
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

REMEDY = "create or copy it again; `detection validate` lists all faults"

_BESIDE = (MANIFEST_SUFFIX, ".report.json")  # files that `detection convert` writes beside its shards
_NAME = r"(.*)-\d{5}-of-(\d{5})"
_GZIP, _ZLIB = b"\x1f\x8b", (b"\x78\x01", b"\x78\x9c", b"\x78\xda")


def list_shards(patterns: Iterable[str], field: str, damaged: bool = False) -> tuple[str, ...]:
    """Lists all files that match the globs, sorted, and checks them.

    Args:
        patterns: globs.
        field: where they come from, for messages.
        damaged: accept truncated files.

    Raises:
        ConfigError: there is no pattern, or one matches no file.
        DataError: a file is unreadable, compressed or truncated, a set is incomplete, two sets have the same name, or
            there are no records.
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
        verb = "does" if len(shards) == 2 else "do"
        others = f", nor {verb} {number_of(len(shards) - 1, 'other')}" if shards[1:] else ""
        raise DataError(f"{field}: {shards[0]} contains no records{others}; create them again")
    return tuple(shards)


def _check_start(path: str, field: str, damaged: bool) -> bool:
    """Whether the file is not empty; raises DataError if it is compressed, truncated or unreadable."""
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
        raise DataError(f"{field}: {path} is compressed; decompress it first (gunzip for .gz)")
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
    """Raises DataError, naming the record, if a file does not end with a complete record."""
    with tf.io.gfile.GFile(path, "rb") as file:
        is_complete = ends_whole(file, size)
    if is_complete is None:
        count_records(path)
    if is_complete is not False:
        return
    error = find_corruption([path])
    if error is not None:
        raise error
    raise DataError(
        f"{path}, record {count_records(path, count_until_damage=True)}: truncated at {size} bytes, inside the record's"
        f" header; {REMEDY}"
    )


def check_sets(paths: Iterable[str]) -> Iterator[str]:
    """Yields one line for each prefix with two sets of shards (of different numbers), which would repeat images."""
    totals: dict[str, set[str]] = {}
    for match in filter(None, (re.fullmatch(_NAME, path) for path in paths)):
        totals.setdefault(match[1], set()).add(match[2])
    for prefix, counts in totals.items():
        if len(counts) > 1:
            sets = " and ".join(f"{prefix}-*-of-{total}" for total in sorted(counts))
            yield (
                f"{sets} are two sets of shards with the same name, one of them left over; delete it, or name only one"
            )


def check_complete(paths: Iterable[str]) -> Iterator[str]:
    """Yields one line for each set with missing shards, according to their numbers, if the set has no manifest."""
    groups = (match.groups() for path in paths if "://" not in path and (match := re.fullmatch(_NAME, path)))
    for prefix, total in dict.fromkeys(groups):
        names = (f"{prefix}-{number:05d}-of-{total}" for number in range(int(total)))
        missing = [name for name in names if not os.path.exists(name)]
        if missing and not manifest_path(prefix).exists():
            verb, pronoun = ("are", "them") if missing[1:] else ("is", "it")
            others = f" and {number_of(len(missing) - 1, 'other')}" if missing[1:] else ""
            yield (
                f"{missing[0]}{others} of {number_of(int(total), 'shard')} {verb} missing; copy {pronoun} here, or"
                " create the records again"
            )


def _warn_of_missing(paths: list[str]) -> None:
    """Warns of missing shards of a numbered set; they may be left out on purpose, so this is not an error."""
    groups = Counter(match.groups() for path in paths if (match := re.fullmatch(_NAME, path)))
    for (prefix, total), count in groups.items():
        if count < int(total):
            logging.warning("%s-*: only %d of %d shards are read", printable(prefix), count, int(total))


def count_records(path: str, count_until_damage: bool = False) -> int:
    """Number of records, from their headers only.

    Args:
        path: the file.
        count_until_damage: if the file ends inside a record, return the number of complete records before it.

    Raises:
        DataError: the file ends inside a record.
    """
    count, offset = 0, 0
    # Unbuffered if possible: only 12 bytes per record are needed, and a buffer would read the whole file.
    with tf.io.gfile.GFile(path, "rb") if "://" in path else open(path, "rb", buffering=0) as file:
        size = tf.io.gfile.stat(path).length
        while offset < size:
            file.seek(offset)
            header = file.read(HEADER)
            length = struct.unpack("<Q", header[:8])[0] if len(header) == HEADER else size
            end = offset + HEADER + length + FOOTER
            if end > size and count_until_damage:
                return count
            if end > size:
                raise DataError(f"{path}, record {count}: truncated at {size} bytes, or not a TFRecord file; {REMEDY}")
            offset, count = end, count + 1
    return count


def known_most_boxes(path: str) -> int | None:
    """Largest number of boxes of a record according to the manifest; None if there is none."""
    max_boxes = ({} if "://" in path else read_manifest(path) or {}).get("max_boxes")
    return max_boxes if isinstance(max_boxes, int) else None


def most_boxes(path: str) -> int:
    """Largest number of boxes of a record, from the manifest or else by reading the records; 0 if that fails."""
    from_manifest = known_most_boxes(path)
    if from_manifest is not None:
        return from_manifest
    key = "image/object/bbox/ymin"

    def count(serialized: tf.Tensor) -> tf.Tensor:
        return tf.size(parse_example(serialized, {key: tf.io.RaggedFeature(tf.float32)})[key])

    counts = tf.data.TFRecordDataset(path, buffer_size=1 << 20).map(count, num_parallel_calls=tf.data.AUTOTUNE)
    try:
        return int(counts.reduce(tf.constant(0), tf.maximum))
    except (tf.errors.OpError, UnicodeDecodeError):
        return 0  # The fault is reported when the records are decoded.


def find_corruption(paths: Iterable[str]) -> DataError | None:
    """Reads all files with their checksums; returns an error that names the first bad file and record, or None."""
    for path in paths:
        count = 0
        try:
            safe = safe_records(path)
            for _ in tf.data.TFRecordDataset(path, buffer_size=1 << 20).take(-1 if safe is None else safe):
                count += 1
            if safe is not None:
                what = "its header has a length that a record cannot have"
                return DataError(
                    f"{path}, record {count}: the file is not a TFRecord file or corrupted ({what}); {REMEDY}"
                )
        except (tf.errors.DataLossError, tf.errors.OutOfRangeError, tf.errors.InvalidArgumentError) as error:
            kind = "is not a TFRecord file" if count == 0 and "corrupted" in str(error) else "is corrupted or truncated"
            return DataError(f"{path}, record {count}: the file {kind} ({first_line(error)}); {REMEDY}")
        except tf.errors.OpError as error:
            return DataError(
                f"{path}, record {count}: cannot be read ({first_line(error)}); check that the file exists and is"
                " readable"
            )
    return None
