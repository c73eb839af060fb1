"""A font that can write a given name, on any machine.

matplotlib, where it is installed (for plots), carries DejaVu Sans (Latin, Greek, Cyrillic, Arabic, ...); systems
usually have one with East Asian signs; Pillow has one with plain Latin letters built in. The first that knows every
sign of the text is taken.
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
    """The font that lacks the fewest signs of `text`, the first of equals; it draws boxes for signs it lacks."""
    return min(_fonts(size), key=lambda font: len(_lacking(font, text)))


@functools.cache
def legible(text: str, size: int) -> str:
    """The text on one line, with bare letters for accented ones that no font has."""
    text = " ".join(text.split())
    font = font_for(text, size)
    bare = {sign: unicodedata.normalize("NFKD", sign)[0] for sign in _lacking(font, text)}
    return "".join(bare[sign] if sign in bare and _has(font, bare[sign]) else sign for sign in text)


@functools.cache
def _fonts(size: int) -> tuple[Font, ...]:
    """All fonts found, at `size` pixels; never empty."""
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
            continue  # Not on this machine; the next may be.
    return (*found, ImageFont.load_default(size))


def _lacking(font: Font, text: str) -> set[str]:
    return {sign for sign in text if not sign.isspace() and not _has(font, sign)}


@functools.cache
def _has(font: Font, sign: str) -> bool:
    """Whether the font draws something else than its replacement for unknown signs (that of a code point never
    assigned)."""
    drawn, unknown = font.getmask(sign), font.getmask("\U000e0fff")
    return drawn.size != unknown.size or bytes(drawn) != bytes(unknown)
