"""Finds a font that has all characters of a text.

matplotlib, if installed, includes DejaVu Sans (Latin, Greek, Cyrillic, Arabic, ...); most systems have a font with East
Asian characters; Pillow has a built-in font with Latin letters. The first that has every character of the text is used.
"""

from __future__ import annotations

import functools
import importlib.util
import unicodedata
from pathlib import Path

from PIL import ImageFont

_SYSTEM_FONTS = (  # Looked up by Pillow in the font folders of Linux, macOS and Windows.
    "NotoSansCJK-Regular.ttc",
    "NotoSansCJKsc-Regular.otf",
    "wqy-microhei.ttc",
    "DroidSansFallbackFull.ttf",
    "PingFang.ttc",
    "Arial Unicode.ttf",
    "msyh.ttc",
    "YuGothM.ttc",
    "malgun.ttf",
    "DejaVuSans.ttf",
)

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@functools.cache
def font_for(text: str, size: int) -> Font:
    """Returns the font at `size` pixels that lacks the fewest characters of `text`; it draws boxes for missing ones."""
    return min(_fonts(size), key=lambda font: len(_missing(font, text)))


@functools.cache
def legible(text: str, size: int) -> str:
    """Returns the text on one line, with base letters instead of accented ones that no font has."""
    text = " ".join(text.split())
    font = font_for(text, size)
    base = {character: unicodedata.normalize("NFKD", character)[0] for character in _missing(font, text)}
    return "".join(base[each] if each in base and _has(font, base[each]) else each for each in text)


@functools.cache
def _fonts(size: int) -> tuple[Font, ...]:
    """Returns all fonts found, at `size` pixels; never empty."""
    found: list[Font] = []
    matplotlib = importlib.util.find_spec("matplotlib")
    bundled = (
        Path(matplotlib.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
        if matplotlib and matplotlib.origin
        else None
    )
    for name in (bundled, *_SYSTEM_FONTS):
        try:
            if name is not None:
                found.append(ImageFont.truetype(str(name), size))
        except OSError:
            continue  # This font is not installed.
    return (*found, ImageFont.load_default(size))


def _missing(font: Font, text: str) -> set[str]:
    return {character for character in text if not character.isspace() and not _has(font, character)}


@functools.cache
def _has(font: Font, character: str) -> bool:
    """Returns whether the font draws a character differently from its placeholder for missing characters."""
    # The placeholder is drawn for a code point that is not assigned.
    drawn, unknown = font.getmask(character), font.getmask("\U000e0fff")
    return drawn.size != unknown.size or bytes(drawn) != bytes(unknown)
