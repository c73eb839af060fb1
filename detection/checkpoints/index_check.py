"""Whether the index of a checkpoint can be given to TensorFlow, which believes what it says.

TensorFlow ends the process (a failed check, no exception) where an entry with a right checksum is no entry or has an
impossible shape, and makes room for as many bytes as a shape asks for. So every entry is read here first, and compared
with the data files. Damage that checksums show is left to TensorFlow, which reports it.

    <prefix>.index = blocks, each: entries | places where a key stands whole | kind, 1 byte | masked CRC-32C
    an entry       = bytes shared with the key before, bytes of its own, bytes of the value (varints) | key | value
    the last 48 bytes say where the block is whose values say where the others are
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
_PLAIN = 0  # the only kind of block that checkpoints are written with
_MOST_SHARDS = 1 << 20


def check(prefix: str) -> None:
    """Raises ValueError, which says what is wrong, where `<prefix>.index` must not be read with TensorFlow.

    A file that does not exist is left to whoever reads it.
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
        raise ValueError("its index is damaged or cut short") from error
    header = tensor_bundle_pb2.BundleHeaderProto()
    try:
        header.ParseFromString(next((value for key, value in entries if not key), b""))
        found = [(key, tensor_bundle_pb2.BundleEntryProto.FromString(value)) for key, value in entries if key]
    except DecodeError as error:
        raise ValueError("an entry of its index is damaged") from error
    sizes = _data_sizes(prefix, header.num_shards)
    parts: dict[bytes, list[tensor_bundle_pb2.BundleEntryProto]] = {}  # of partitioned variables, by their names
    for key, entry in found:
        if key.startswith(b"\0"):
            parts.setdefault(key.partition(b"\0\1")[0], []).append(entry)
    for key, entry in found:
        of_variable = parts.get(b"\0" + key.replace(b"\xff", b"\xff\0"), [])
        wrong = _wrong(entry, sizes) or (entry.slices and _wrong_parts(entry, of_variable))
        if wrong:
            raise ValueError(f"the index entry of {key.decode('utf-8', 'replace')[:100]!r} {wrong}")


def _data_sizes(prefix: str, shards: int) -> list[int | None]:
    """Bytes of each data file; None for one that is not there."""
    if not 0 < shards < _MOST_SHARDS:
        raise ValueError(f"its index counts {shards} data files")
    names = (f"{prefix}.data-{shard:05d}-of-{shards:05d}" for shard in range(shards))
    if "://" in prefix:
        return [tf.io.gfile.stat(name).length if tf.io.gfile.exists(name) else None for name in names]
    return [os.path.getsize(name) if os.path.exists(name) else None for name in names]


def _wrong(entry: tensor_bundle_pb2.BundleEntryProto, sizes: list[int | None]) -> str | None:
    """What is wrong with an entry, whose values lie in data files of these sizes."""
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
    # Text and the like have a length each.
    needed = values * (1 if dtype == tf.string else dtype.size)
    if entry.slices:  # Its values lie in entries of their own.
        room = None if None in sizes else sum(sizes)
    elif not 0 <= entry.shard_id < len(sizes) or entry.offset < 0 or entry.size < 0:
        return "points outside the data files"
    else:
        room = sizes[entry.shard_id]
        if room is not None and entry.offset + entry.size > room:
            return f"points behind the end of its data file, which has {room} bytes; the file is cut short"
        room = entry.size
    if room is not None and needed > room:
        return f"has the shape {dims}, whose {needed} bytes are not there"
    return None


def _wrong_parts(
    entry: tensor_bundle_pb2.BundleEntryProto, parts: list[tensor_bundle_pb2.BundleEntryProto]
) -> str | None:
    """What is wrong with the entry of a partitioned variable, or with those of its parts."""
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
        return "has a part of another type"
    return None


def _entries(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of all blocks; IndexError, struct.error, ValueError where the file is no table."""
    footer = data[-_FOOTER:]
    if len(footer) < _FOOTER or struct.unpack("<Q", footer[-8:])[0] != _MAGIC:
        raise ValueError("its index is no index of a checkpoint, or cut short")
    _, place = _handle(footer, 0)
    index, _ = _handle(footer, place)
    for _, value in _block(data, index):
        yield from _block(data, _handle(value, 0)[0])


def _handle(data: bytes, place: int) -> tuple[tuple[int, int], int]:
    """Offset and size of a block, and where the next thing begins."""
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
    """The entries of a block, which must fill it; every place that a search may start from must be one of them."""
    offset, size = handle
    block = data[offset : offset + size]
    if len(block) < size or data[offset + size] != _PLAIN:
        raise ValueError("its index is cut short, or compressed, which indexes of checkpoints are not")
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
