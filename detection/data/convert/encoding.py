"""From the bytes of an annotation file to text: by what is certain first (byte order marks, the pattern of zero
bytes), then by what it declares.

Many tools declare an encoding that they did not write. What can be read for certain all the same is read: bytes that
are not UTF-8 become U+FFFD, which no class or file name may hold, so that a wrong accent in a comment costs nothing,
and one in a name is reported.
"""

from __future__ import annotations

import codecs
import re
from typing import NamedTuple

REPLACED = "\ufffd"  # stands for bytes that could not be decoded
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16's, which is its beginning
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Which of the first four bytes are zero in a file that starts with an ASCII character.
_PATTERNS = {
    (0, 1, 1, 1): "utf-32-le",
    (1, 1, 1, 0): "utf-32-be",
    (0, 1, 0, 1): "utf-16-le",
    (1, 0, 1, 0): "utf-16-be",
}
_DECLARED = re.compile(rb"""\s*<\?xml[^>]*?\sencoding\s*=\s*["']([^"'>]{1,60})["']""")
# Plain character tables only: Python knows codecs beyond these that unpack, escape or take quadratic time.
_TABLES = re.compile(
    r"utf[-_]8(-sig)?|ascii|iso8859-\d+|cp(125\d|437|850|852|866|932|949|950)|koi8-[ru]|mac-roman"
    r"|gbk|gb2312|gb18030|big5|shift_jis|euc_(jp|kr)"
)


class WrongEncoding(ValueError):
    """Bytes that cannot be made text of; says why and what to do."""


class Text(NamedTuple):
    """A decoded file."""

    text: str
    doubt: str = ""  # why parts of it are replaced by U+FFFD
    other: str = (
        ""  # another reading of the same bytes, to look file names up by; what it says counts only where it finds one
    )


def decode_xml(data: bytes) -> Text:
    """Decodes an XML file.

    Raises:
        WrongEncoding: where nothing is certain.
    """
    known = _by_bytes(data)
    if known:
        return Text(_strictly(data, known).lstrip("\ufeff"))
    match = _DECLARED.match(data[:400])
    declared = match.group(1).decode("ascii", "replace") if match else "utf-8"
    try:
        name = codecs.lookup(declared).name
    except (LookupError, ValueError) as error:
        raise WrongEncoding(f"declares the encoding {declared!r}, which is not known; save it as UTF-8") from error
    if name.startswith(
        ("utf-16", "utf-32")
    ):  # Declared by tools whose strings are UTF-16, while the bytes show that it is not.
        name = "utf-8"
    if not _TABLES.fullmatch(name):
        raise WrongEncoding(f"declares the encoding {declared!r}, which annotations are not read in; save it as UTF-8")
    if name not in ("utf-8", "ascii"):
        text = _strictly(data, name)
        return Text(text, other=data.decode("utf-8", "ignore"))
    return decode_utf8(data)


def decode_utf8(data: bytes) -> Text:
    """Decodes UTF-8, with U+FFFD for what is none."""
    try:
        return Text(data.decode("utf-8").lstrip("\ufeff"))
    except UnicodeDecodeError as error:
        byte = data[error.start]
        doubt = f"the encoding is wrong: byte {error.start} ({byte:#04x}) is not UTF-8; save the file as UTF-8"
        return Text(data.decode("utf-8", "replace").lstrip("\ufeff"), doubt, data.decode("cp1252", "replace"))


def decode_json(data: bytes) -> Text:
    """Decodes a JSON file; as `decode_xml`, but nothing is declared."""
    known = _by_bytes(data)
    return Text(_strictly(data, known).lstrip("\ufeff")) if known else decode_utf8(data)


def _by_bytes(data: bytes) -> str | None:
    """The encoding, where the bytes themselves leave no doubt."""
    for mark, name in _MARKS:
        if data.startswith(mark):
            return name if name != "utf-8" else None
    return _PATTERNS.get(tuple(int(byte == 0) for byte in data[:4]))


def _strictly(data: bytes, name: str) -> str:
    try:
        return data.decode(name)
    except UnicodeDecodeError as error:
        raise WrongEncoding(
            f"the encoding is wrong: byte {error.start} is no {name.upper()}; save the file as UTF-8"
        ) from error
