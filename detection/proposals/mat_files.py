"""Reads MATLAB files (level 5, as MATLAB writes them with -v6 and -v7): cell arrays, names and matrices.

Written from the format's description ("MAT-File Format", MathWorks), because the common reader is compiled code that a
damaged file of 560 bytes can crash. This one is Python and numpy, so a damaged file gives an error. Its memory is
bounded by the file's size, and every length is compared with the bytes that are left before anything is allocated.

    header       128 bytes, the last four of them version and byte order
    element      tag (type, bytes), data, padding to 8 bytes; with at most 4 bytes of data, all in 8 bytes
    compressed   an element that zlib decompresses to another element
    matrix       an element of elements: flags with the class, dimensions, name, then numbers, characters or, for a
                 cell array, matrices
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Collection, Iterator
from typing import NamedTuple

import numpy as np

_HEADER = 128
_INT8, _UINT8, _UINT16, _INT32, _UINT32, _MATRIX, _COMPRESSED, _UTF8, _UTF16, _UTF32 = 1, 2, 4, 5, 6, 14, 15, 16, 17, 18
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_TEXT = {_INT8: "latin-1", _UINT8: "latin-1", _UINT16: "utf-16", _UTF8: "utf-8", _UTF16: "utf-16", _UTF32: "utf-32"}
_CELL, _CHAR = 1, 4
_CLASSES = {
    1: "cell",
    2: "struct",
    3: "object",
    4: "char",
    5: "sparse",
    6: "double",
    7: "single",
    8: "int8",
    9: "uint8",
}
_CLASSES |= {
    10: "int16",
    11: "uint16",
    12: "int32",
    13: "uint32",
    14: "int64",
    15: "uint64",
    16: "function",
    17: "opaque",
}
_NUMERIC = range(6, 16)
_COMPLEX, _LOGICAL = 0x800, 0x200
_MOST_DIMENSIONS = 32  # numpy's limit before version 2
_PEEK = 4096  # bytes of a compressed variable that must contain its name
# Limit of decompressed data: 100 times the file's size covers real files, the constant covers small ones.
_RATIO, _ALWAYS = 100, 64 << 20


class Matrix(NamedTuple):
    """One variable, or one cell of a cell array."""

    kind: str  # double, char, cell, ...
    shape: tuple[int, ...]
    numbers: np.ndarray | None = None  # of a numeric class
    text: str = ""  # of a character array with one row
    cells: tuple[Matrix, ...] = ()  # of a cell array, in MATLAB's column-major order


def read(data: bytes, requested: Collection[str]) -> tuple[dict[str, Matrix], tuple[str, ...]]:
    """Reads variables by name.

    Args:
        data: the content of the file.
        requested: names of the variables to read.

    Returns:
        Those of them that the file contains, and the names of all its variables.

    Raises:
        ValueError: the file is damaged or not supported; one line, without the file's name.
    """
    order = _byte_order(data)
    matrices: dict[str, Matrix] = {}
    names: dict[str, None] = {}
    budget = _ALWAYS + _RATIO * len(data)
    for kind, content, _ in _elements(memoryview(data)[_HEADER:], order):
        if kind == _COMPRESSED:
            start = _zlib_start(content)
            name = _name(start, order, complete=False)
            if name in requested:
                unpacked = _unpack(content, budget)
                budget -= len(unpacked)
                content = _only_matrix(unpacked, order)
        elif kind == _MATRIX:
            name = _name(content, order)
        else:
            raise ValueError(f"an element of type {kind} where a variable is expected")
        if name in names and name:  # MATLAB stores internal data without a name.
            raise ValueError(f"variable {name!r} appears twice")
        names[name] = None
        if name in requested:
            matrices[name] = _matrix(content, order, name, depth=0)
    return matrices, tuple(names)


def _byte_order(data: bytes) -> str:
    if data[:4] == b"\x89HDF" or data.startswith(b"MATLAB 7.3") or data[124:128] in (b"\x00\x02IM", b"\x02\x00MI"):
        raise ValueError("it is a MATLAB 7.3 file, which is HDF5; save it in MATLAB with '-v7'")
    order = {b"IM": "<", b"MI": ">"}.get(data[126:_HEADER])
    if order is None or data[124:126] != (b"\x00\x01" if order == "<" else b"\x01\x00"):
        raise ValueError("it does not begin like a MATLAB file (level 5)")
    return order


def _elements(data: memoryview, order: str) -> Iterator[tuple[int, memoryview, bool]]:
    """Yields (type, data, whether it is a short element) of every element.

    Raises ValueError if an element extends beyond the data.
    """
    place = 0
    while place < len(data):
        if len(data) - place < 8:
            raise ValueError("it ends within an element's tag")
        first, size = (int(word) for word in np.frombuffer(data, f"{order}u4", 2, place))
        if first >> 16:
            kind, size, start, after = first & 0xFFFF, first >> 16, place + 4, place + 8
            if size > 4:
                raise ValueError(f"a short element has {size} bytes")
        else:
            kind, start = first, place + 8
            after = start + size + (0 if kind == _COMPRESSED else -size % 8)
        if start + size > len(data):
            raise ValueError(f"an element should have {size} bytes, and {len(data) - start} are left")
        yield kind, data[start : start + size], bool(first >> 16)
        place = after


def _zlib_start(content: memoryview) -> memoryview:
    """The first bytes of a compressed variable, after its tag."""
    try:
        start = zlib.decompressobj().decompress(content, _PEEK)
    except zlib.error as error:
        raise ValueError(f"a compressed variable is damaged ({error})") from None
    return memoryview(start)[8:]


def _unpack(content: memoryview, budget: int) -> memoryview:
    packer = zlib.decompressobj()
    try:
        unpacked = packer.decompress(content, budget)
    except zlib.error as error:
        raise ValueError(f"a compressed variable is damaged ({error})") from None
    if not packer.eof:
        full = len(unpacked) >= budget
        raise ValueError(
            f"a compressed variable takes more than {budget >> 20} MiB" if full else "a compressed variable is cut off"
        )
    return memoryview(unpacked)


def _only_matrix(unpacked: memoryview, order: str) -> memoryview:
    kind, content, _ = next(_elements(unpacked, order), (0, unpacked, False))
    if kind != _MATRIX:
        raise ValueError(f"a compressed variable contains an element of type {kind}, not a matrix")
    return content


def _name(content: memoryview, order: str, complete: bool = True) -> str:
    """The name of a matrix; `content` may be only its beginning if it is not `complete`."""
    parts = _elements(content, order)
    try:
        _, _, (kind, text, _) = next(parts), next(parts), next(parts)
    except StopIteration:
        raise ValueError("a variable has no name") from None
    except ValueError:
        if complete:
            raise
        raise ValueError("a compressed variable is damaged, or its name is too long") from None
    if kind not in (_INT8, _UINT8, _UTF8):
        raise ValueError(f"a variable's name is an element of type {kind}")
    return bytes(text).decode("utf-8", "replace")


def _matrix(content: memoryview, order: str, where: str, depth: int) -> Matrix:
    if not len(content):  # An empty matrix may be written like this.
        return Matrix("double", (0, 0), np.zeros((0, 0)))
    parts = _elements(content, order)
    flags, dimensions = (_integers(next(parts, None), order, where, kind) for kind in (_UINT32, _INT32))
    next(parts, None)  # the name
    if len(flags) != 2 or not 2 <= len(dimensions) <= _MOST_DIMENSIONS or min(dimensions) < 0:
        raise ValueError(f"{where}: flags or dimensions are damaged")
    kind, shape = flags[0] & 0xFF, tuple(dimensions)
    count = math.prod(shape)
    if kind == _CELL and not depth:
        if count > len(content) // 8:
            raise ValueError(f"{where}: {count} cells do not fit into {len(content)} bytes")
        return Matrix(
            "cell", shape, cells=tuple(_cell(next(parts, None), order, f"{where}{{{n}}}") for n in range(1, count + 1))
        )
    name = _CLASSES.get(kind, f"class {kind}")
    if kind == _CHAR:
        return Matrix(name, shape, text=_characters(next(parts, None), order, where, count))
    if kind in _NUMERIC and not flags[0] & (_COMPLEX | _LOGICAL):
        return Matrix(name, shape, _values(next(parts, None), order, where, count).reshape(shape, order="F"))
    return Matrix(
        "complex" if kind in _NUMERIC and flags[0] & _COMPLEX else "logical" if kind in _NUMERIC else name, shape
    )


def _cell(element: tuple[int, memoryview, bool] | None, order: str, where: str) -> Matrix:
    if element is None or element[0] != _MATRIX:
        raise ValueError(f"{where}: the cell is not a matrix" if element else f"{where}: the cell is missing")
    return _matrix(element[1], order, where, depth=1)


def _integers(element: tuple[int, memoryview, bool] | None, order: str, where: str, kind: int) -> list[int]:
    if element is None or element[0] != kind or len(element[1]) % 4:
        raise ValueError(f"{where}: flags or dimensions are damaged")
    return np.frombuffer(element[1], order + _NUMBERS[kind]).tolist()


def _values(element: tuple[int, memoryview, bool] | None, order: str, where: str, count: int) -> np.ndarray:
    if element is None or element[0] not in _NUMBERS:
        raise ValueError(f"{where}: no numbers where {count} are expected")
    dtype = np.dtype(order + _NUMBERS[element[0]])
    if len(element[1]) != count * dtype.itemsize:
        raise ValueError(f"{where}: {len(element[1])} bytes where {count} numbers of {dtype.itemsize} are expected")
    return np.frombuffer(element[1], dtype)


def _characters(element: tuple[int, memoryview, bool] | None, order: str, where: str, count: int) -> str:
    if element is None and not count:
        return ""
    if element is None or element[0] not in _TEXT:
        raise ValueError(f"{where}: no characters where {count} are expected")
    encoding = _TEXT[element[0]]
    try:
        text = bytes(element[1]).decode(
            encoding + {"<": "-le", ">": "-be"}[order] if encoding in ("utf-16", "utf-32") else encoding
        )
    except UnicodeDecodeError as error:
        raise ValueError(f"{where}: characters that are not valid {error.encoding}") from None
    if count != len(text) and count != len(text.encode("utf-16-le")) // 2:  # MATLAB counts a surrogate pair as two.
        raise ValueError(f"{where}: {len(text)} characters where {count} are expected")
    return text
