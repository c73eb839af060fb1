"""The framing of TFRecord files, read without TensorFlow to find the positions of records and to skip damaged parts.

    length of the data, uint64 | masked CRC-32C of the length, uint32 | data | masked CRC-32C of the data, uint32

A length with the right checksum is a record's header, except in one case of four billion, so a file can be checked from
its end: a complete file ends where its last record ends. That needs one read of the tail, also for a remote file, while
going from header to header needs a seek for each record.
"""

from __future__ import annotations

import functools
import os
import struct
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

HEADER, FOOTER = 12, 4
_TAIL = 1 << 18  # bytes that are searched first; most records of images are smaller
_MOST = 1 << 26  # bytes that are searched at most
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
    """The masked CRC-32C of `data`, as in TFRecords."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def length_of(header: bytes) -> int | None:
    """Length of the data according to a header; None if it is not a valid header."""
    if len(header) < HEADER:
        return None
    length, crc = struct.unpack("<QI", header[:HEADER])
    return length if length < _LONGEST and crc == masked_crc(header[:8]) else None


def safe_records(path: str, offset: int = 0, max_records: int = 1 << 62) -> int | None:
    """How many of the next records TensorFlow can read safely.

    TensorFlow allocates as many bytes as a header says before it checks the length of the file, and crashes with a
    segmentation fault if that fails. So it must not read a header with the right checksum and an impossible length (it
    rejects headers with a wrong checksum). To find such a header, 12 bytes per record are read, about 1 µs each if the
    file is cached; the result is cached until the file changes. Remote files are not checked, since each record would
    need a request.

    Args:
        path: the file.
        offset: of the first record, bytes.
        max_records: number of records to check.

    Returns:
        The number of records before an unsafe header; None if all are safe.
    """
    if "://" in path:
        return None
    stat = os.stat(path)
    return _safe_records(path, offset, max_records, stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=4096)
def _safe_records(path: str, offset: int, max_records: int, size: int, _changed: int) -> int | None:
    count = 0
    with open(path, "rb", buffering=0) as stream:
        while offset < size and count < max_records:
            stream.seek(offset)
            header = stream.read(HEADER)
            end = offset + HEADER + FOOTER + int.from_bytes(header[:8], "little")
            if end > size:
                return count if _is_impossible(header) else None
            offset, count = end, count + 1
    return None


def _is_impossible(header: bytes) -> bool:
    """Whether a header has the right checksum, but a length that a record cannot have."""
    if len(header) < HEADER:
        return False
    length, crc = struct.unpack("<QI", header)
    return length >= _LONGEST and crc == masked_crc(header[:8])


def ends_whole(stream: BinaryIO, size: int) -> bool | None:
    """Whether a file ends with a complete record; reads only its tail.

    Args:
        stream: the file.
        size: of the file, bytes.

    Returns:
        True also for an empty file; None if the last record may be longer than the part that is searched.
    """
    num_bytes = _TAIL
    while size:
        start = max(size - num_bytes, 0)
        stream.seek(start)
        data = stream.read(size - start)
        if any(True for _ in _headers(data, start, size)):
            return True
        if start == 0:
            return False
        if num_bytes >= _MOST:
            return None
        num_bytes *= 16
    return True


def _headers(data: bytes, start: int, size: int) -> Iterator[int]:
    """Positions of headers in `data`, which begins at `start`, whose records end at the end of the file."""
    if len(data) < HEADER + FOOTER:
        return
    lengths = np.ndarray((len(data) - 7,), "<u8", data, strides=(1,))  # one at every byte
    expected_lengths = size - HEADER - FOOTER - start - np.arange(len(lengths), dtype=np.int64)
    for position in np.flatnonzero((lengths < _LONGEST) & (lengths.astype(np.int64) == expected_lengths)):
        if length_of(data[position : position + HEADER]) is not None:
            yield start + int(position)


def next_record(stream: BinaryIO, offset: int, size: int) -> int | None:
    """Position of the next complete record with right checksums, from `offset` on; None if there is none."""
    block, overlap = 1 << 20, HEADER - 1
    while offset < size:
        stream.seek(offset)
        data = stream.read(block + overlap)
        if len(data) < HEADER:
            return None
        lengths = np.ndarray((len(data) - HEADER + 1,), "<u8", data, strides=(1,))
        ends = np.arange(len(lengths), dtype=np.int64) + offset + HEADER + FOOTER
        for position in np.flatnonzero(
            (lengths > 0) & (lengths < _LONGEST) & (lengths.astype(np.int64) + ends <= size)
        ):
            length = length_of(data[position : position + HEADER])
            if length is not None and _is_whole(stream, offset + int(position), length):
                return offset + int(position)
        offset += len(lengths)
    return None


def _is_whole(stream: BinaryIO, position: int, length: int) -> bool:
    stream.seek(position + HEADER)
    data = stream.read(length + FOOTER)
    return len(data) == length + FOOTER and struct.unpack("<I", data[length:])[0] == masked_crc(data[:length])
