"""Decodes the bytes of an annotation file to text.

Byte order marks and the pattern of zero bytes are used first, then the declared encoding. Many tools declare another
encoding than they write. The valid part is read nevertheless: bytes that are not UTF-8 become U+FFFD, which no class or
file name may contain, so a wrong accent in a comment is ignored, and one in a name is reported.
"""

from __future__ import annotations

import codecs
import re
from typing import NamedTuple

REPLACED = "\ufffd"  # replaces bytes that could not be decoded
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16's, which is a prefix of it
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Which of the first four bytes are zero in a file that begins with an ASCII character.
_PATTERNS = {
    (0, 1, 1, 1): "utf-32-le",
    (1, 1, 1, 0): "utf-32-be",
    (0, 1, 0, 1): "utf-16-le",
    (1, 0, 1, 0): "utf-16-be",
}
_DECLARED = re.compile(rb"""\s*<\?xml[^>]*?\sencoding\s*=\s*["']([^"'>]{1,60})["']""")
# Character tables only: other Python codecs decompress, unescape or take quadratic time.
_TABLES = re.compile(
    r"utf[-_]8(-sig)?|ascii|iso8859-\d+|cp(125\d|437|850|852|866|932|949|950)|koi8-[ru]|mac-roman"
    r"|gbk|gb2312|gb18030|big5|shift_jis|euc_(jp|kr)"
)


class WrongEncoding(ValueError):
    """The bytes cannot be decoded; the message says why and what to do."""


class Text(NamedTuple):
    """A decoded file."""

    text: str
    doubt: str = ""  # why parts of it are replaced by U+FFFD
    other: str = ""  # the bytes in another encoding, used only to look up file names


def decode_xml(data: bytes) -> Text:
    """Decodes an XML file.

    Raises:
        WrongEncoding: the encoding cannot be determined.
    """
    name_by_bytes = _by_bytes(data)
    if name_by_bytes:
        return Text(_decode_strictly(data, name_by_bytes).lstrip("\ufeff"))
    match = _DECLARED.match(data[:400])
    declared = match.group(1).decode("ascii", "replace") if match else "utf-8"
    try:
        name = codecs.lookup(declared).name
    except (LookupError, ValueError) as error:
        raise WrongEncoding(f"declares the unknown encoding {declared!r}; save it as UTF-8") from error
    # Declared by tools whose strings are UTF-16, but the bytes show that the file is not.
    if name.startswith(("utf-16", "utf-32")):
        name = "utf-8"
    if not _TABLES.fullmatch(name):
        raise WrongEncoding(f"declares the encoding {declared!r}, which is not supported; save it as UTF-8")
    if name not in ("utf-8", "ascii"):
        text = _decode_strictly(data, name)
        return Text(text, other=data.decode("utf-8", "ignore"))
    return decode_utf8(data)


def decode_utf8(data: bytes) -> Text:
    """Decodes UTF-8, with U+FFFD for invalid bytes."""
    try:
        return Text(data.decode("utf-8").lstrip("\ufeff"))
    except UnicodeDecodeError as error:
        byte = data[error.start]
        doubt = f"the encoding is wrong: byte {error.start} ({byte:#04x}) is not UTF-8; save the file as UTF-8"
        return Text(data.decode("utf-8", "replace").lstrip("\ufeff"), doubt, data.decode("cp1252", "replace"))


def decode_json(data: bytes) -> Text:
    """Decodes a JSON file; as `decode_xml`, but without a declared encoding."""
    name_by_bytes = _by_bytes(data)
    return Text(_decode_strictly(data, name_by_bytes).lstrip("\ufeff")) if name_by_bytes else decode_utf8(data)


def _by_bytes(data: bytes) -> str | None:
    """The encoding according to the first bytes; None if they do not determine it."""
    for mark, name in _MARKS:
        if data.startswith(mark):
            return name if name != "utf-8" else None
    return _PATTERNS.get(tuple(int(byte == 0) for byte in data[:4]))


def _decode_strictly(data: bytes, name: str) -> str:
    try:
        return data.decode(name)
    except UnicodeDecodeError as error:
        raise WrongEncoding(
            f"the encoding is wrong: byte {error.start} is not {name.upper()}; save the file as UTF-8"
        ) from error
