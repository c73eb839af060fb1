"""Validates the index file of a checkpoint before TensorFlow reads it.

TensorFlow trusts an index: an entry with a valid checksum that cannot be parsed or has an impossible shape aborts the
process (a failed CHECK, not an exception), and a huge shape makes it allocate that much memory. So every entry is
parsed here first and compared with the data files. TensorFlow itself reports damage that checksums reveal.

    <prefix>.index = blocks, each: entries | restart points (keys stored whole) | type, 1 byte | masked CRC-32C
    an entry       = bytes shared with the previous key, own bytes, bytes of the value (varints) | key | value
    footer         = the last 48 bytes, which locate the block that locates the others
"""

from __future__ import annotations

import itertools
import math
import os
import struct
from collections.abc import Iterator

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import tensor_bundle_pb2

_FOOTER, _MAGIC = 48, 0xDB4775248B80FB57
_PLAIN = 0  # uncompressed, the only type of block in checkpoints
_MOST_SHARDS = 1 << 20


def check(prefix: str) -> None:
    """Checks that TensorFlow can read `<prefix>.index` safely. A missing file is not an error here.

    Raises:
        ValueError: the index is damaged; the message says what is wrong.
    """
    path = f"{prefix}.index"
    if not tf.io.gfile.exists(path):
        return
    with tf.io.gfile.GFile(path, "rb") as file:
        data = file.read()
    try:
        entries = list(_entries(data))
        if any(first >= second for (first, _), (second, _) in itertools.pairwise(entries)):
            raise ValueError("its index is damaged: its entries are not in order")
    except (IndexError, struct.error) as error:
        raise ValueError("its index is damaged or truncated") from error
    header = tensor_bundle_pb2.BundleHeaderProto()
    try:
        header.ParseFromString(next((value for key, value in entries if not key), b""))
        found = [(key, tensor_bundle_pb2.BundleEntryProto.FromString(value)) for key, value in entries if key]
    except DecodeError as error:
        raise ValueError("an entry of its index is damaged") from error
    sizes = _data_sizes(prefix, header.num_shards)
    parts: dict[bytes, list[tensor_bundle_pb2.BundleEntryProto]] = {}  # of partitioned variables, by name
    for key, entry in found:
        if key.startswith(b"\0"):
            parts.setdefault(key.partition(b"\0\1")[0], []).append(entry)
    for key, entry in found:
        of_variable = parts.get(b"\0" + key.replace(b"\xff", b"\xff\0"), [])
        wrong = _wrong(entry, sizes) or (entry.slices and _wrong_parts(entry, of_variable))
        if wrong:
            raise ValueError(f"the index entry of {key.decode('utf-8', 'replace')[:100]!r} {wrong}")


def _data_sizes(prefix: str, shards: int) -> list[int | None]:
    """Returns the size of each data file in bytes; None for a missing one."""
    if not 0 < shards < _MOST_SHARDS:
        raise ValueError(f"its index counts {shards} data files")
    names = (f"{prefix}.data-{shard:05d}-of-{shards:05d}" for shard in range(shards))
    if "://" in prefix:
        return [tf.io.gfile.stat(name).length if tf.io.gfile.exists(name) else None for name in names]
    return [os.path.getsize(name) if os.path.exists(name) else None for name in names]


def _wrong(entry: tensor_bundle_pb2.BundleEntryProto, sizes: list[int | None]) -> str | None:
    """Returns what is wrong with an entry, given the sizes of the data files, or None."""
    try:
        dtype = tf.as_dtype(entry.dtype)
    except TypeError:
        dtype = tf.resource
    if dtype != dtype.base_dtype or dtype in (tf.resource, tf.variant):
        return f"has the type {entry.dtype}, which no variable has"
    dims = [dim.size for dim in entry.shape.dim]
    if entry.shape.unknown_rank or any(size < 0 for size in dims) or len(dims) > 254:
        return "has no usable shape"
    values = math.prod(dims)
    # Every string takes at least one byte, its length.
    needed = values * (1 if dtype == tf.string else dtype.size)
    if entry.slices:  # The values are stored in separate entries.
        room = None if None in sizes else sum(sizes)
    elif not 0 <= entry.shard_id < len(sizes) or entry.offset < 0 or entry.size < 0:
        return "points outside the data files"
    else:
        room = sizes[entry.shard_id]
        if room is not None and entry.offset + entry.size > room:
            return f"points past the end of its data file, which has {room} bytes; the file is truncated"
        room = entry.size
    if room is not None and needed > room:
        return f"has the shape {dims}, which needs {needed} bytes; the file has fewer"
    return None


def _wrong_parts(
    entry: tensor_bundle_pb2.BundleEntryProto, parts: list[tensor_bundle_pb2.BundleEntryProto]
) -> str | None:
    """Returns what is wrong with the entry of a partitioned variable or with its parts, or None."""
    sides = [dim.size for dim in entry.shape.dim]
    slices = [
        tuple((extent.start, extent.length if extent.HasField("length") else -1) for extent in one.extent)
        for one in entry.slices
    ]
    for one in slices:
        inside = (
            start == 0 if length == -1 else start >= 0 and 0 < length <= side - start
            for (start, length), side in zip(one, sides, strict=False)
        )
        if len(one) != len(sides) or not all(inside):
            return "has a part outside its shape"
    if len(set(slices)) != len(slices):
        return "has a part twice"
    if any(part.dtype != entry.dtype or part.slices for part in parts):
        return "has a part of a different type"
    return None


def _entries(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yields keys and values of all blocks.

    Raises:
        IndexError, struct.error, ValueError: the file is not an index.
    """
    footer = data[-_FOOTER:]
    if len(footer) < _FOOTER or struct.unpack("<Q", footer[-8:])[0] != _MAGIC:
        raise ValueError("its index is not a checkpoint index, or is truncated")
    _, place = _handle(footer, 0)
    index, _ = _handle(footer, place)
    for _, value in _block(data, index):
        yield from _block(data, _handle(value, 0)[0])


def _handle(data: bytes, place: int) -> tuple[tuple[int, int], int]:
    """Returns (offset, size) of a block, and the position after the handle."""
    offset, place = _varint(data, place)
    size, place = _varint(data, place)
    return (offset, size), place


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        value, shift, place = value | (byte & 127) << shift, shift + 7, place + 1
        if byte < 128:
            return value, place
        if shift > 63:
            raise ValueError("its index is damaged")


def _block(data: bytes, handle: tuple[int, int]) -> Iterator[tuple[bytes, bytes]]:
    """Yields the entries of a block, which must fill it; every restart point must be the start of an entry."""
    offset, size = handle
    block = data[offset : offset + size]
    if len(block) < size or data[offset + size] != _PLAIN:
        raise ValueError("its index is truncated or compressed; checkpoint indexes are never compressed")
    (restarts,) = struct.unpack("<I", block[-4:])
    end = size - 4 * (restarts + 1)
    if end < 0:
        raise ValueError("its index is damaged")
    starts, key, place = {0}, b"", 0
    while place < end:
        start = place
        shared, place = _varint(block, place)
        own, place = _varint(block, place)
        length, place = _varint(block, place)
        if shared > len(key) or place + own + length > end:
            raise ValueError("its index is damaged")
        key = key[:shared] + block[place : place + own]
        yield key, block[place + own : place + own + length]
        place += own + length
        if not shared:
            starts.add(start)
    if not starts.issuperset(struct.unpack(f"<{restarts}I", block[end:-4])):
        raise ValueError("its index is damaged")
