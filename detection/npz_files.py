"""Arrays out of an .npz, whatever its bytes: what is asked for, of plain numbers or text, in memory that the file's
size bounds.

`numpy.load` believes what a file says of itself: it allocates the shape that a header names before it looks for the
data, unpacks whatever a compressed member grows to, and lets out the errors of several parsers. Here the header is one
pattern, the data must have exactly the length that the header says, and what the arrays take in all is limited before
anything is unpacked. Members that nobody asks for are not looked at.
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
_KINDS = "biufUS"  # booleans, integers, floats, text; nothing that would have to be unpickled
_LAST_CHARACTER = 0x10FFFF
# A packed array may be larger than its file: 100 times covers what real data do (deflate packs zeros 1032 to 1), the
# constant covers small files.
_RATIO, _ALWAYS = 100, 64 << 20


class Stored(NamedTuple):
    """Where the data of an array lie in the file as they lie in memory: float32, C order, neither packed nor
    swapped."""

    start: int
    shape: tuple[int, ...]


class NpzFile(NamedTuple):
    """The arrays that were asked for and are there, the names of all, and those that can be mapped instead of read."""

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


def read(stream: BinaryIO, wanted: Iterable[str], mapped: Iterable[str] = ()) -> NpzFile:
    """Reads some arrays of an .npz.

    Args:
        stream: open for reading, seekable.
        wanted: names to read, where they are there.
        mapped: names of `wanted` whose data are not read where they can be mapped; they are in `stored` then.

    Raises:
        ValueError: one line, without the file's name. OSError: the stream cannot be read.
    """
    try:
        with zipfile.ZipFile(stream) as archive:
            return _read(archive, stream, tuple(wanted), frozenset(mapped))
    except (OSError, ValueError):
        raise
    # zipfile and zlib have no common error, and what damaged bytes make of them is more than they document.
    except Exception as error:
        raise ValueError(f"the archive is damaged: {error or type(error).__name__}") from error


def _read(archive: zipfile.ZipFile, stream: BinaryIO, wanted: tuple[str, ...], mapped: frozenset[str]) -> NpzFile:
    size = stream.seek(0, os.SEEK_END)
    members: dict[str, zipfile.ZipInfo] = {}
    for member in archive.infolist():
        name = member.filename.removesuffix(".npy")
        if name in members:
            raise ValueError(f"{name!r} is there twice")
        members[name] = member
    headers = {name: _header(archive, name, members[name]) for name in wanted if name in members}
    stored = {
        name: found
        for name in mapped & headers.keys()
        if (found := _stored(stream, size, members[name], headers[name])) is not None
    }
    packed = [name for name in headers if name not in stored]
    total = sum(headers[name].data_bytes for name in packed)
    if total > _ALWAYS + _RATIO * size:
        raise ValueError(f"its arrays would take {total >> 20} MiB, unpacked from a file of {size} bytes")
    arrays = {name: _array(archive, name, members[name], headers[name]) for name in packed}
    return NpzFile(arrays, tuple(sorted(members)), stored)


def _header(archive: zipfile.ZipFile, name: str, member: zipfile.ZipInfo) -> _Header:
    """Raises ValueError unless the member is an array of a plain type whose data have the length that they should
    have."""
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{name!r} is packed by method {member.compress_type}, which numpy does not write")
    with archive.open(member) as data:
        magic = data.read(8)
        if len(magic) < 8 or magic[:6] != b"\x93NUMPY" or magic[6] not in (1, 2, 3):
            raise ValueError(f"{name!r} is no array of numpy")
        length = int.from_bytes(data.read(2 if magic[6] == 1 else 4), "little")
        text = data.read(min(length, _LONGEST_HEADER)).decode("latin-1")
    before = (10 if magic[6] == 1 else 12) + length
    match = _HEADER.fullmatch(text)
    if match is None:
        raise ValueError(f"{name!r} has no header of a plain array, but {' '.join(text.split())[:60]!r}")
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
            f"{name!r} has {member.file_size - before} bytes of data, but its shape {header.shape} takes"
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
        data.read(1)  # The end, where the checksum is compared.
    if len(content) != header.data_bytes:
        raise ValueError(f"{name!r} ends early")
    if not header.data_bytes:
        return np.zeros(header.shape, header.dtype)
    # Of numbers beyond Unicode numpy makes strings all the same, and an internal error when they are looked at.
    if (
        header.dtype.kind == "U"
        and np.frombuffer(content, header.dtype.byteorder.replace("|", "=") + "u4").max() > _LAST_CHARACTER
    ):
        raise ValueError(f"{name!r} has values that are no characters")
    return np.frombuffer(content, header.dtype).reshape(header.shape, order="F" if header.is_fortran else "C")


def texts(arrays: dict[str, np.ndarray], name: str) -> tuple[str, ...]:
    """A list of names: text, or bytes that are UTF-8, or integers. Raises ValueError."""
    array = arrays[name]
    if array.ndim != 1 or array.dtype.kind not in "USiu":
        raise ValueError(f"{name!r} has {array.dtype} values of shape {array.shape}; expected a list of names")
    return tuple(value.decode() if isinstance(value, bytes) else str(value) for value in array.tolist())


def integers(arrays: dict[str, np.ndarray], name: str, dtype: type[np.integer]) -> np.ndarray:
    """Whole numbers, of whatever type, as `dtype`. Raises ValueError where they are none, or it cannot hold one."""
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
    """Numbers as float32; what that cannot hold becomes infinite. Raises ValueError where they are none."""
    array = arrays[name]
    if array.dtype.kind not in "iuf":
        raise ValueError(f"{name!r} has {array.dtype} values; expected numbers")
    with np.errstate(over="ignore", invalid="ignore"):
        return array.astype(np.float32)
