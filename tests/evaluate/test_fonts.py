"""Which font writes a name, and what happens to signs that none has."""

from __future__ import annotations

import pytest
from PIL import ImageFont

from detection.evaluate import fonts


@pytest.fixture
def only_the_built_in_font(monkeypatch):
    """A machine without any other font, such as a bare container."""
    monkeypatch.setattr(fonts, "_fonts", lambda size: (ImageFont.load_default(size),))
    fonts.font_for.cache_clear()
    fonts.legible.cache_clear()
    yield
    fonts.font_for.cache_clear()
    fonts.legible.cache_clear()


def test_there_is_always_a_font():
    assert fonts.font_for("cat", 20).getlength("cat") > 10
    assert fonts.font_for("", 20) is fonts.font_for("", 20)


def test_accents_are_dropped_where_no_font_has_them(only_the_built_in_font):
    assert fonts.legible("café crème", 20) == "cafe creme"
    assert fonts.legible("cat 98%…", 20) == "cat 98%…"
    assert fonts.legible("細", 20) == "細"


def test_one_line():
    assert fonts.legible(" a\n b\t", 20) == "a b"


def test_accents_stay_where_a_font_has_them():
    pytest.importorskip("matplotlib")
    assert fonts.legible("Größe клетка", 20) == "Größe клетка"
