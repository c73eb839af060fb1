"""Names from data are text in Markdown, whatever they hold."""

from __future__ import annotations

import pytest

from detection.errors import visible
from detection.markdown import code, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mobilenet_v1 0.5", "mobilenet_v1 0.5"),
        ("<script>alert(1)</script>", r"\<script\>alert(1)\</script\>"),
        ("[a](javascript:b)", r"\[a\](javascript:b)"),
        ("![x](http://y)", r"!\[x\](http://y)"),
        ("a|b\n# c", r"a\|b # c"),
        ("`x` *y*", r"\`x\` \*y\*"),
        ("a\\", "a\\\\"),
        ("\x1b[2J", "\\\\x1b\\[2J"),
        (5, "5"),
    ],
)
def test_words(text, expected):
    assert words(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a", "`a`"), ("a`b", "`` a`b ``"), ("``", "``` `` ```"), ("a|b", "`a|b`"), ("a\nb", "`a b`")],
)
def test_code(text, expected):
    assert code(text) == expected and words(code(text)) == expected.replace("|", "\\|")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\tb\n", "a\tb\n"),
        ("\x1b[31m\n", "\\x1b[31m\n"),
        ("é \u202e \x9b", "é \\u202e \\x9b"),
        ("\ud800", "\\ud800"),
        ("10%\r", "10%\r"),
    ],
)
def test_visible_keeps_lines_and_escapes_what_acts(text, expected):
    assert visible(text) == expected
