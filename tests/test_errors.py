"""Messages are one line that every terminal can show and every encoding can represent."""

from __future__ import annotations

import pytest

from detection.errors import DataError, first_line, number_of, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a.jpg: no image", "a.jpg: no image"),
        ("two\nlines\r\nor three", "two lines or three"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("half \ud800.jpg", "half \\ud800.jpg"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
        ("a\u2028b", "a b"),
        ("Häuser 猫", "Häuser 猫"),
        ("tab\there\x7f\x9b", "tab\\there\\x7f\\x9b"),
    ],
)
def test_printable(text, shown):
    assert printable(text) == shown
    assert str(DataError(text)) == shown
    shown.encode("utf-8")


def test_values_that_are_no_text():
    assert printable(5) == "5"
    assert printable(DataError("a\nb")) == "a b"


def test_numbers_and_their_nouns():
    assert [number_of(number, "image") for number in (0, 1, 2)] == ["0 images", "1 image", "2 images"]
    assert number_of(1, "box", "boxes") == "1 box" and number_of(3, "box", "boxes") == "3 boxes"


class _OfTensorFlow(Exception):
    def __init__(self, message: str) -> None:
        super().__init__("what str() says")
        self.message = message


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("too large\nat line 7"), "too large"),
        (ValueError(""), "ValueError"),
        (
            _OfTensorFlow("{{function_node __wrapped__X}} corrupted record at 12 [Op:IteratorGetNext] name: "),
            "corrupted record at 12",
        ),
        (_OfTensorFlow("Unknown image format [[{{node DecodeImage}}]]\nmore"), "Unknown image format"),
    ],
)
def test_the_first_line_of_an_error(error, line):
    assert first_line(error) == line
