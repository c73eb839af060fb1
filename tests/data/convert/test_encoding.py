"""Annotation files in other encodings than they say: what is certain is read, what is not is reported as a matter of
the encoding."""

from __future__ import annotations

import pytest

from detection.data.convert import encoding
from detection.data.convert.encoding import REPLACED, WrongEncoding


def declared(name: str, text: str = "\u00e9") -> str:
    return f'<?xml version="1.0" encoding="{name}"?><annotation>{text}</annotation>'


@pytest.mark.parametrize(
    ("name", "actual"),
    [
        ("utf-8", "utf-8"),
        ("utf-8", "utf-8-sig"),
        ("utf-8", "utf-16"),  # with its mark
        ("utf-16", "utf-16-le"),  # without
        ("utf-16", "utf-16-be"),
        ("utf-16", "utf-8"),  # what .NET writes from its strings
        ("utf-8", "utf-32"),
        ("utf-8", "utf-32-le"),
        ("us-ascii", "utf-8"),
        ("ISO-8859-1", "latin-1"),
        ("windows-1252", "cp1252"),
    ],
)
def test_read_for_certain(name, actual):
    assert encoding.decode_xml(declared(name).encode(actual)) == (
        declared(name),
        "",
        encoding.decode_xml(declared(name).encode(actual)).other,
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [("gb2312", "\u732b"), ("shift_jis", "\u732b"), ("euc-kr", "\uace0"), ("big5", "\u8c93"), ("koi8-r", "\u043a")],
)
def test_encodings_of_several_bytes(name, text):
    assert text in encoding.decode_xml(declared(name, text).encode(name)).text


@pytest.mark.parametrize("name", ["utf-8", "us-ascii", "utf-16"])
def test_bytes_that_are_not_what_is_declared(name):
    found = encoding.decode_xml(declared(name).encode("latin-1"))
    assert REPLACED in found.text and "encoding is wrong: byte" in found.doubt and "(0xe9) is not UTF-8" in found.doubt
    assert "\u00e9" in found.other


@pytest.mark.parametrize("name", ["zlib_codec", "unicode_escape", "idna", "rot13", "utf-7", "punycode"])
def test_other_codecs_are_refused(name):
    with pytest.raises(
        WrongEncoding, match=f"^declares the encoding '{name}', which is not supported; save it as UTF-8$"
    ):
        encoding.decode_xml(declared(name).encode())


def test_an_unknown_encoding_is_refused():
    with pytest.raises(WrongEncoding, match="^declares the unknown encoding 'nope'; save it as UTF-8$"):
        encoding.decode_xml(declared("nope").encode())


@pytest.mark.parametrize(("name", "data"), [("gb2312", b"\xff\xff"), ("shift_jis", b"\x81"), ("windows-1252", b"\x81")])
def test_damaged_text_of_a_declared_encoding(name, data):
    with pytest.raises(WrongEncoding, match="the encoding is wrong: byte"):
        encoding.decode_xml(declared(name).encode() + data)


def test_half_of_utf_16():
    with pytest.raises(WrongEncoding, match="is not UTF-16-LE"):
        encoding.decode_xml(declared("utf-8").encode("utf-16")[:-1])
