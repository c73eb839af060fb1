"""Draws labelled boxes on an image.

Everything is drawn on a copy of the image enlarged with nearest-neighbour sampling, which is then averaged down again.
So lines, corners and text are antialiased, and all other pixels keep their exact values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from detection.evaluate.fonts import Font, font_for, legible

Color = tuple[int, int, int]
Place = tuple[int, int, int, int]  # left, top, right, bottom

_MAX_CANVAS = 6_000_000  # maximum pixels of the enlarged copy; large images need no antialiasing
_DARK, _LIGHT = (16, 18, 24), (255, 255, 255)


def draw_boxes(
    image: np.ndarray,
    boxes: np.ndarray,
    colors: Sequence[Color],
    labels: Sequence[str],
    dashed: Sequence[bool] | np.ndarray | None = None,
) -> np.ndarray:
    """Draws boxes on a copy of an image, the most important first.

    Earlier boxes are drawn over later ones, and their labels are placed first. Line width and text size scale with the
    image. Labels are omitted if the image is too small for readable text.

    Args:
        image: uint8 [h, w, 3].
        boxes: [n, 4] ymin, xmin, ymax, xmax in pixels; clipped to the image.
        colors: n.
        labels: n; empty ones are not drawn.
        dashed: n; None draws solid lines.

    Returns:
        uint8 [h, w, 3], a new array.
    """
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    if not len(boxes):
        return np.array(image)
    canvas = _Canvas(image)
    dashes = np.zeros(len(boxes), bool) if dashed is None else np.asarray(dashed, bool)
    places = [canvas.place(box) for box in boxes]
    for place, color, dash in reversed(list(zip(places, colors, dashes.tolist(), strict=True))):
        canvas.outline(place, color, dash)
    for place, color, label in zip(places, colors, labels, strict=True):
        canvas.label(place, color, label)
    return canvas.finish()


def ink_on(color: Color) -> Color:
    """Returns the text colour, dark or light, that is easier to read on `color`."""
    return _LIGHT if 0.2126 * color[0] + 0.7152 * color[1] + 0.0722 * color[2] < 135 else _DARK


def shorten(text: str, size: int, width: float) -> str:
    """Shortens a text with an ellipsis to `width` pixels at font size `size`.

    Returns:
        The text on one line; empty if not even one character fits.
    """
    text = legible(text, size)
    if font_for(text, size).getlength(text) <= width:
        return text
    while text and font_for(text + "…", size).getlength(text + "…") > width:
        text = text[:-1]
    return text + "…" if text else ""


class _Canvas:
    """The enlarged image. Lengths and positions are in its pixels."""

    def __init__(self, image: np.ndarray) -> None:
        height, width = image.shape[:2]
        self.zoom = max(1, min(3, math.isqrt(_MAX_CANVAS // (height * width))))
        self.width, self.height = width * self.zoom, height * self.zoom
        scale = math.sqrt(width * height)
        self.line = max(1, round(self.zoom * max(1.4, scale / 270)))
        self.text = self.zoom * min(48, max(11, round(scale / 42)))
        self.picture = (
            Image.fromarray(np.ascontiguousarray(image))
            .convert("RGB")
            .resize((self.width, self.height), Image.Resampling.NEAREST)
        )
        self.draw = ImageDraw.Draw(self.picture, "RGBA")  # Blends colours that have an alpha value.
        self.labels: list[Place] = []

    def finish(self) -> np.ndarray:
        """Returns the image in its original size, uint8 [h, w, 3]."""
        return np.asarray(self.picture.reduce(self.zoom))

    def place(self, box: np.ndarray) -> Place:
        """Returns the first and last columns and rows of a box [ymin, xmin, ymax, xmax].

        The argument is in pixels of the original image. The result is clipped to the image and has at least one column
        and one row.
        """
        top, bottom = (min(max(round(self.zoom * value), 0), self.height) for value in (box[0], box[2]))
        left, right = (min(max(round(self.zoom * value), 0), self.width) for value in (box[1], box[3]))
        left, top = min(left, self.width - 1), min(top, self.height - 1)
        return left, top, max(right - 1, left), max(bottom - 1, top)

    def outline(self, place: Place, color: Color, dashed: bool) -> None:
        """Draws a box: a faint fill, and a line with a dark edge on either side that is visible on any background."""
        left, top, right, bottom = place
        line, shade = self.line, max(1, self.zoom // 2)
        radius = min(2 * line, (right - left) // 2, (bottom - top) // 2)
        around = (left - shade, top - shade, right + shade, bottom + shade)
        self.draw.rounded_rectangle(
            around, radius + shade, fill=(*color, 22), outline=(0, 0, 0, 70), width=line + 2 * shade
        )
        if dashed:
            self._dashes(place, color)
        else:
            self.draw.rounded_rectangle(place, radius, outline=color, width=line)

    def _dashes(self, place: Place, color: Color) -> None:
        left, top, right, bottom = place
        line, step = self.line, 6 * self.line
        for start in range(left, right + 1, step):
            end = min(start + step // 2, right)
            self.draw.rectangle((start, top, end, min(top + line - 1, bottom)), fill=color)
            self.draw.rectangle((start, max(bottom - line + 1, top), end, bottom), fill=color)
        for start in range(top, bottom + 1, step):
            end = min(start + step // 2, bottom)
            self.draw.rectangle((left, start, min(left + line - 1, right), end), fill=color)
            self.draw.rectangle((max(right - line + 1, left), start, right, end), fill=color)

    def label(self, place: Place, color: Color, label: str) -> None:
        """Draws a label at its box, at the position that covers the least of the earlier labels."""
        pad = self.text // 3
        tall = self.text + self.text // 3
        text = shorten(label, self.text, self.width - 2 * pad)
        if not text.strip("…") or 3 * tall > self.height:
            return
        font: Font = font_for(text, self.text)
        wide = math.ceil(font.getlength(text)) + 2 * pad
        left, top = self._free(place, wide, tall)
        tag = (left, top, left + wide, top + tall)
        self.labels.append(tag)
        self.draw.rounded_rectangle(tag, self.text // 4, fill=(*color, 240))
        self.draw.text((left + wide / 2, top + tall / 2), text, fill=ink_on(color), font=font, anchor="mm")

    def _free(self, place: Place, wide: int, tall: int) -> tuple[int, int]:
        """Returns left and top for a label: above, inside or below the box, whichever covers the least."""
        left, top, right, bottom = place
        corners = [
            (left, top - tall),
            (left, top),
            (right - wide, top - tall),
            (right - wide, top),
            (left, bottom - tall),
            (left, bottom),
        ]
        best, least = corners[0], math.inf
        for preference, corner in enumerate(corners):
            x, y = min(max(corner[0], 0), self.width - wide), min(max(corner[1], 0), self.height - tall)
            hidden = sum(_overlap((x, y, x + wide, y + tall), other) for other in self.labels) / (wide * tall)
            moved = (abs(x - corner[0]) + abs(y - corner[1])) / tall
            cost = hidden + 0.5 * moved + 0.02 * preference
            if cost < least:
                best, least = (x, y), cost
        return best


def _overlap(place: Place, other: Place) -> int:
    wide = min(place[2], other[2]) - max(place[0], other[0])
    tall = min(place[3], other[3]) - max(place[1], other[1])
    return max(wide, 0) * max(tall, 0)
