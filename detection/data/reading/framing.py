"""How TFRecord files frame their records, read without TensorFlow where it cannot say what is wanted: where records
begin, and where they go on behind damage.

    length of the data, uint64 | masked CRC-32C of the length, uint32 | data | masked CRC-32C of the data, uint32

A length with the right checksum is a record's header but for one case in four thousand million, so that a file can be
looked at from its end: whole files end where the last record does. That costs one read of the tail, also of a remote
file, where walking from header to header costs a seek each.
"""

from __future__ import annotations

import functools
import os
import struct
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

HEADER, FOOTER = 12, 4
_TAIL = 1 << 18  # bytes looked at first; most records of images are smaller
_MOST = 1 << 26  # and at most
_LONGEST = 1 << 31  # of a record: protobuf's limit


def _table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


_TABLE = _table()


def masked_crc(data: bytes) -> int:
    """The checksum that TFRecords hold of `data`."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def length_of(header: bytes) -> int | None:
    """Bytes of data that a header announces; None where it is none."""
    if len(header) < HEADER:
        return None
    length, crc = struct.unpack("<QI", header[:HEADER])
    return length if length < _LONGEST and crc == masked_crc(header[:8]) else None


def safe_records(path: str, offset: int = 0, most: int = 1 << 62) -> int | None:
    """How many of the next `most` records from byte `offset` on TensorFlow may read; None where it may read them all.

    TensorFlow makes room for as many bytes as a header announces before it looks how long the file is, and the process
    ends with a segmentation fault where there is no such room. So it is kept from a header that announces more than a
    record can have and has the right checksum (it refuses all others). To find it, 12 bytes a record are read, in about
    1 µs each where the file is cached; a file is looked at once, until it changes. Remote files are not looked at,
    where each record would cost a request.
    """
    if "://" in path:
        return None
    found = os.stat(path)
    return _safe_records(path, offset, most, found.st_size, found.st_mtime_ns)


@functools.lru_cache(maxsize=4096)
def _safe_records(path: str, offset: int, most: int, size: int, _changed: int) -> int | None:
    count = 0
    with open(path, "rb", buffering=0) as stream:
        while offset < size and count < most:
            stream.seek(offset)
            header = stream.read(HEADER)
            end = offset + HEADER + FOOTER + int.from_bytes(header[:8], "little")
            if end > size:
                return count if _is_impossible(header) else None
            offset, count = end, count + 1
    return None


def _is_impossible(header: bytes) -> bool:
    """Whether a header, whose checksum is right, announces more than a record can have."""
    if len(header) < HEADER:
        return False
    length, crc = struct.unpack("<QI", header)
    return length >= _LONGEST and crc == masked_crc(header[:8])


def ends_whole(stream: BinaryIO, size: int) -> bool | None:
    """Whether a file of `size` bytes ends where a record does, by its end alone, of which it reads as much as the last
    record takes.

    True for an empty file; None where the last record may be longer than what is looked at.
    """
    read = _TAIL
    while size:
        start = max(size - read, 0)
        stream.seek(start)
        data = stream.read(size - start)
        if any(True for _ in _headers(data, start, size)):
            return True
        if start == 0:
            return False
        if read >= _MOST:
            return None
        read *= 16
    return True


def _headers(data: bytes, start: int, size: int) -> Iterator[int]:
    """Places of headers in `data`, which begins at `start`, whose records end with the file."""
    if len(data) < HEADER + FOOTER:
        return
    lengths = np.ndarray((len(data) - 7,), "<u8", data, strides=(1,))  # one at every byte
    wanted = size - HEADER - FOOTER - start - np.arange(len(lengths), dtype=np.int64)
    for place in np.flatnonzero((lengths < _LONGEST) & (lengths.astype(np.int64) == wanted)):
        if length_of(data[place : place + HEADER]) is not None:
            yield start + int(place)


def next_record(stream: BinaryIO, offset: int, size: int) -> int | None:
    """Where, from `offset` on, the next whole record begins whose checksums are right; None where none does."""
    block, overlap = 1 << 20, HEADER - 1
    while offset < size:
        stream.seek(offset)
        data = stream.read(block + overlap)
        if len(data) < HEADER:
            return None
        lengths = np.ndarray((len(data) - HEADER + 1,), "<u8", data, strides=(1,))
        ends = np.arange(len(lengths), dtype=np.int64) + offset + HEADER + FOOTER
        for place in np.flatnonzero((lengths > 0) & (lengths < _LONGEST) & (lengths.astype(np.int64) + ends <= size)):
            length = length_of(data[place : place + HEADER])
            if length is not None and _is_whole(stream, offset + int(place), length):
                return offset + int(place)
        offset += len(lengths)
    return None


def _is_whole(stream: BinaryIO, place: int, length: int) -> bool:
    stream.seek(place + HEADER)
    data = stream.read(length + FOOTER)
    return len(data) == length + FOOTER and struct.unpack("<I", data[length:])[0] == masked_crc(data[:length])
