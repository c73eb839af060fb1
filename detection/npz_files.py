"""Safe reader of untrusted .npz files: arrays of numbers or text, with memory bounded by the size of the file.

`numpy.load` trusts the file: it allocates the shape that a header names before it looks for the data, decompresses
members of any size, and raises the errors of several parsers. Here the header must match a regular expression, the data
must have exactly the length that the header implies, and the total size is limited before anything is decompressed.
Members that are not requested are ignored.
"""

from __future__ import annotations

import math
import os
import re
import struct
import zipfile
from collections.abc import Iterable
from typing import BinaryIO, NamedTuple

import numpy as np

_HEADER = re.compile(
    r"\s*\{\s*'descr'\s*:\s*'([<>|=]?[A-Za-z]\d{0,9})'\s*,\s*'fortran_order'\s*:\s*(True|False)\s*,"
    r"\s*'shape'\s*:\s*\(((?:\s*\d{1,19}L?\s*,?){0,8})\)\s*,?\s*\}\s*"
)
_LONGEST_HEADER = 1 << 16
_LOCAL_HEADER = 30  # bytes of a zip member's own header before its name
_KINDS = "biufUS"  # booleans, integers, floats, text; no types that need pickle
_LAST_CHARACTER = 0x10FFFF
# Limit on the size of decompressed arrays: a ratio to the file's size that real data do not exceed (deflate compresses
# zeros 1032 to 1), plus a constant for small files.
_RATIO, _ALWAYS = 100, 64 << 20


class Stored(NamedTuple):
    """Position of an array that can be mapped into memory: float32, C order, uncompressed, native byte order."""

    start: int
    shape: tuple[int, ...]


class NpzFile(NamedTuple):
    """The requested arrays that exist, the names of all arrays, and the positions of arrays that can be mapped."""

    arrays: dict[str, np.ndarray]
    names: tuple[str, ...]
    stored: dict[str, Stored]


class _Header(NamedTuple):
    dtype: np.dtype
    is_fortran: bool
    shape: tuple[int, ...]
    length: int  # bytes before the data

    @property
    def data_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def read(stream: BinaryIO, names: Iterable[str], mapped: Iterable[str] = ()) -> NpzFile:
    """Reads arrays of an .npz file.

    Args:
        stream: open for reading, seekable.
        names: arrays to read; names that are not in the file are skipped.
        mapped: those of `names` that need not be read if they can be mapped; their positions are then in `stored`.

    Raises:
        ValueError: the file is not valid; the message is one line without the file's name.
        OSError: the stream cannot be read.
    """
    try:
        with zipfile.ZipFile(stream) as archive:
            return _read(archive, stream, tuple(names), frozenset(mapped))
    except (OSError, ValueError):
        raise
    # zipfile and zlib have no common base error, and damaged files raise more than they document.
    except Exception as error:
        raise ValueError(f"the archive is damaged: {error or type(error).__name__}") from error


def _read(archive: zipfile.ZipFile, stream: BinaryIO, names: tuple[str, ...], mapped: frozenset[str]) -> NpzFile:
    size = stream.seek(0, os.SEEK_END)
    members: dict[str, zipfile.ZipInfo] = {}
    for member in archive.infolist():
        name = member.filename.removesuffix(".npy")
        if name in members:
            raise ValueError(f"the archive has two members {name!r}")
        members[name] = member
    headers = {name: _header(archive, name, members[name]) for name in names if name in members}
    stored = {
        name: found
        for name in mapped & headers.keys()
        if (found := _stored(stream, size, members[name], headers[name])) is not None
    }
    packed = [name for name in headers if name not in stored]
    total = sum(headers[name].data_bytes for name in packed)
    if total > _ALWAYS + _RATIO * size:
        raise ValueError(f"its arrays would take {total >> 20} MiB, decompressed from a file of {size} bytes")
    arrays = {name: _array(archive, name, members[name], headers[name]) for name in packed}
    return NpzFile(arrays, tuple(sorted(members)), stored)


def _header(archive: zipfile.ZipFile, name: str, member: zipfile.ZipInfo) -> _Header:
    """Reads the header of a member; raises ValueError unless it is a plain array whose data have the right length."""
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{name!r} is compressed with method {member.compress_type}, which numpy does not write")
    with archive.open(member) as data:
        magic = data.read(8)
        if len(magic) < 8 or magic[:6] != b"\x93NUMPY" or magic[6] not in (1, 2, 3):
            raise ValueError(f"{name!r} is not a numpy array")
        length = int.from_bytes(data.read(2 if magic[6] == 1 else 4), "little")
        text = data.read(min(length, _LONGEST_HEADER)).decode("latin-1")
    before = (10 if magic[6] == 1 else 12) + length
    match = _HEADER.fullmatch(text)
    if match is None:
        raise ValueError(f"{name!r} does not have the header of a plain array: {' '.join(text.split())[:60]!r}")
    try:
        dtype = np.dtype(match[1])
    except (TypeError, ValueError):
        dtype = None
    if dtype is None or dtype.kind not in _KINDS or not dtype.itemsize:
        raise ValueError(f"{name!r} has values of type {match[1]!r}; expected numbers or text")
    header = _Header(
        dtype,
        match[2] == "True",
        tuple(int(part.strip(" \t\nL")) for part in match[3].split(",") if part.strip()),
        before,
    )
    if header.data_bytes != member.file_size - before:
        raise ValueError(
            f"{name!r} has {member.file_size - before} bytes of data, but its shape {header.shape} needs"
            f" {header.data_bytes}"
        )
    return header


def _stored(stream: BinaryIO, size: int, member: zipfile.ZipInfo, header: _Header) -> Stored | None:
    if member.compress_type != zipfile.ZIP_STORED or header.is_fortran or header.dtype != np.dtype("<f4"):
        return None
    stream.seek(member.header_offset)
    name_length, extra_length = struct.unpack("<HH", stream.read(_LOCAL_HEADER)[-4:])
    start = member.header_offset + _LOCAL_HEADER + name_length + extra_length + header.length
    if start + header.data_bytes > size:
        raise ValueError(f"{member.filename!r} ends early")
    return Stored(start, header.shape)


def _array(archive: zipfile.ZipFile, name: str, member: zipfile.ZipInfo, header: _Header) -> np.ndarray:
    with archive.open(member) as data:
        data.read(header.length)
        content = data.read(header.data_bytes)
        data.read(1)  # Reading the end verifies the checksum.
    if len(content) != header.data_bytes:
        raise ValueError(f"{name!r} ends early")
    if not header.data_bytes:
        return np.zeros(header.shape, header.dtype)
    # numpy accepts code points beyond Unicode, but fails with an internal error when the strings are used.
    if (
        header.dtype.kind == "U"
        and np.frombuffer(content, header.dtype.byteorder.replace("|", "=") + "u4").max() > _LAST_CHARACTER
    ):
        raise ValueError(f"{name!r} has values that are not Unicode characters")
    return np.frombuffer(content, header.dtype).reshape(header.shape, order="F" if header.is_fortran else "C")


def texts(arrays: dict[str, np.ndarray], name: str) -> tuple[str, ...]:
    """A list of names, from text, UTF-8 bytes or integers; raises ValueError for any other array."""
    array = arrays[name]
    if array.ndim != 1 or array.dtype.kind not in "USiu":
        raise ValueError(f"{name!r} has {array.dtype} values of shape {array.shape}; expected a list of names")
    return tuple(value.decode() if isinstance(value, bytes) else str(value) for value in array.tolist())


def integers(arrays: dict[str, np.ndarray], name: str, dtype: type[np.integer]) -> np.ndarray:
    """Whole numbers of any type as `dtype`; raises ValueError for other values and for values out of its range."""
    array = arrays[name]
    if array.dtype.kind not in "iuf":
        raise ValueError(f"{name!r} has {array.dtype} values; expected integers")
    limits = np.iinfo(dtype)
    if array.size and not (
        np.isfinite(array).all() and (array == np.floor(array)).all() and int(array.min()) >= limits.min
    ):
        raise ValueError(f"{name!r} has values that are no integers of {limits.bits} bits")
    if array.size and int(array.max()) > limits.max:
        raise ValueError(f"{name!r} has values that are no integers of {limits.bits} bits")
    return array.astype(dtype)


def floats(arrays: dict[str, np.ndarray], name: str) -> np.ndarray:
    """Numbers as float32, infinite where they are out of range; raises ValueError for values that are not numbers."""
    array = arrays[name]
    if array.dtype.kind not in "iuf":
        raise ValueError(f"{name!r} has {array.dtype} values; expected numbers")
    with np.errstate(over="ignore", invalid="ignore"):
        return array.astype(np.float32)
