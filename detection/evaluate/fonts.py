"""A font that can write a given name, on any machine.

matplotlib, which this project depends on for its plots, carries DejaVu Sans (Latin, Greek, Cyrillic, Arabic, ...); systems usually have
one with East Asian signs; Pillow has a small Latin font built in. The first that knows every sign of the text is taken.
"""

from __future__ import annotations

import functools
import importlib.util
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
    """The first font that has all signs of `text`, else the first font there is (which draws boxes for signs it lacks)."""
    fonts = _fonts(size)
    return next((font for font in fonts if all(_has(font, sign) for sign in set(text) if not sign.isspace())), fonts[0])


@functools.cache
def _fonts(size: int) -> tuple[Font, ...]:
    """All fonts found, at `size` pixels; never empty."""
    found: list[Font] = []
    matplotlib = importlib.util.find_spec("matplotlib")
    bundled = Path(matplotlib.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf" if matplotlib and matplotlib.origin else None
    for name in (bundled, *_SYSTEM_FONTS):
        try:
            if name is not None:
                found.append(ImageFont.truetype(str(name), size))
        except OSError:
            continue  # Not on this machine; the next may be.
    return (*found, ImageFont.load_default(size))


def _has(font: Font, sign: str) -> bool:
    """Whether the font draws something else than its replacement for unknown signs (that of a code point never assigned)."""
    drawn, unknown = font.getmask(sign), font.getmask("\U000e0fff")
    return drawn.size != unknown.size or bytes(drawn) != bytes(unknown)
