"""Draws synthetic scenes for object detection: circles, squares, triangles and stars with exact boxes.

The class of an object depends only on its shape: colour, size, texture, rotation and position have the same random
distribution for all, backgrounds are uneven, and there is unlabelled clutter (lines, rings). Objects overlap, but at
least half of each is visible. Image i of a seed is always the same, whatever else is drawn.
"""

from __future__ import annotations

import colorsys
import math
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

SHAPES = ("circle", "square", "star", "triangle")
_DRAWN_AT = 2  # drawn this many times larger, then shrunk: gives smooth edges, and boxes exact to half a pixel
_OBJECTS = (2, 6)
_SIDE = (0.14, 0.46)  # of the shorter image side; log-uniform, so that small ones are as frequent as large ones
_MIN_VISIBLE = 0.5
_MIN_INSIDE = 0.8
_MIN_CONTRAST = 0.22  # between an object and its background, as a fraction of the colour cube's side
_TRIES = 30


class DrawnObject(NamedTuple):
    """A labelled shape with its box in pixels; occlusion does not change the box."""

    name: str
    xmin: float
    ymin: float
    xmax: float
    ymax: float
    truncated: bool  # reaches outside the image


class Scene(NamedTuple):
    """One drawn image."""

    image: Image.Image  # RGB
    objects: tuple[DrawnObject, ...]


def draw(size: tuple[int, int], seed: int, index: int) -> Scene:
    """Draws image number `index` of the series `seed`.

    Args:
        size: width and height, pixels.
        seed: of the series.
        index: of the image.
    """
    random = np.random.default_rng((seed, index))
    canvas = _background(random, (size[0] * _DRAWN_AT, size[1] * _DRAWN_AT))
    objects: list[DrawnObject] = []
    masks: list[np.ndarray] = []  # pixels of each object at the final size, including occluded ones
    visible: list[np.ndarray] = []
    for _ in range(int(random.integers(_OBJECTS[0], _OBJECTS[1] + 1))):
        for _ in range(_TRIES):
            name = SHAPES[random.integers(len(SHAPES))]
            full_area, mask = _outline(random, name, canvas.size)
            covered = np.asarray(mask.reduce(_DRAWN_AT)) > 127
            inside = covered.sum() * _DRAWN_AT**2 >= _MIN_INSIDE * full_area
            still_visible = [area & ~covered for area in visible]
            if inside and all(
                visible_mask.sum() >= _MIN_VISIBLE * full_mask.sum()
                for visible_mask, full_mask in zip(still_visible, masks, strict=True)
            ):
                _paint(random, canvas, mask)
                box = mask.getbbox()
                edges = (box[0] == 0, box[1] == 0, box[2] == canvas.width, box[3] == canvas.height)
                objects.append(DrawnObject(name, *(edge / _DRAWN_AT for edge in box), truncated=any(edges)))
                masks.append(covered)
                visible = [*still_visible, covered]
                break
    return Scene(_grain(random, canvas.reduce(_DRAWN_AT)), tuple(objects))


def _outline(random: np.random.Generator, name: str, size: tuple[int, int]) -> tuple[float, Image.Image]:
    """A shape at a random position: its full area, and its mask (mode L, 0 or 255), clipped to the image."""
    radius = min(size) * math.exp(random.uniform(math.log(_SIDE[0]), math.log(_SIDE[1]))) / 2
    reach = 0.6 * radius
    x, y = random.uniform(reach, size[0] - reach), random.uniform(reach, size[1] - reach)
    turn = random.uniform(0, 2 * math.pi)
    mask = Image.new("L", size)
    pen = ImageDraw.Draw(mask)
    if name == "circle":
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
        return math.pi * radius**2, mask
    if name == "square":
        corners = [(1.15 * radius, turn + step * math.pi / 2) for step in range(4)]
    elif name == "triangle":
        corners = [(1.2 * radius, turn + step * math.tau / 3 + random.uniform(-0.15, 0.15)) for step in range(3)]
    else:
        inner = random.uniform(0.42, 0.52)
        corners = [(1.15 * radius * (inner if step % 2 else 1.0), turn + step * math.pi / 5) for step in range(10)]
    points = [(x + length * math.cos(angle), y + length * math.sin(angle)) for length, angle in corners]
    pen.polygon(points, fill=255)
    return _polygon_area(points), mask


def _polygon_area(points: list[tuple[float, float]]) -> float:
    following = points[1:] + points[:1]
    return abs(sum(x * next_y - next_x * y for (x, y), (next_x, next_y) in zip(points, following, strict=True))) / 2


def _paint(random: np.random.Generator, canvas: Image.Image, mask: Image.Image) -> None:
    """Paints a shape: a soft shadow, a shaded and sometimes striped fill, and sometimes an outline."""
    margin = 12 * _DRAWN_AT
    left, top, right, bottom = mask.getbbox()
    area = (
        max(left - margin, 0),
        max(top - margin, 0),
        min(right + margin, canvas.width),
        min(bottom + margin, canvas.height),
    )
    shape_mask, region = mask.crop(area), canvas.crop(area)
    background_color = np.asarray(region)[::8, ::8].mean((0, 1)) / 255
    color = _color_unlike(random, background_color)

    shadow = Image.new("L", shape_mask.size)
    shadow.paste(shape_mask, tuple(int(value) for value in random.integers(2, 5, 2) * _DRAWN_AT))
    shadow = shadow.filter(ImageFilter.BoxBlur(3 * _DRAWN_AT))
    region.paste((0, 0, 0), mask=shadow.point(lambda value: value * 0.35))

    light = Image.linear_gradient("L").rotate(random.uniform(0, 360)).crop((40, 40, 216, 216)).resize(shape_mask.size)
    dark, bright = (tuple(int(255 * min(channel * factor, 1.0)) for channel in color) for factor in (0.72, 1.18))
    fill = Image.composite(Image.new("RGB", shape_mask.size, bright), Image.new("RGB", shape_mask.size, dark), light)
    if random.random() < 0.3:
        _stripes(random, fill, color)
    region.paste(fill, mask=shape_mask)
    if random.random() < 0.4:
        inner = shape_mask.filter(ImageFilter.BoxBlur(int(random.integers(1, 3)) * _DRAWN_AT)).point(
            lambda value: 255 if value > 250 else 0
        )
        region.paste(tuple(int(255 * channel * 0.45) for channel in color), mask=ImageChops.subtract(shape_mask, inner))
    canvas.paste(region, area[:2])


def _stripes(random: np.random.Generator, fill: Image.Image, color: tuple[float, float, float]) -> None:
    """Draws parallel lines across a fill, lighter or darker than it."""
    factor = random.choice((0.6, 1.45))
    band = tuple(int(255 * min(channel * factor + (factor > 1) * 0.1, 1.0)) for channel in color)
    gap = int(random.integers(7, 13)) * _DRAWN_AT
    slant = int(random.integers(-1, 2)) * fill.height
    pen = ImageDraw.Draw(fill)
    for start in range(-fill.height, fill.width + fill.height, gap):
        pen.line((start, 0, start + slant, fill.height), fill=band, width=gap // 3)


def _color_unlike(random: np.random.Generator, other: np.ndarray) -> tuple[float, float, float]:
    """A saturated colour (RGB, 0 to 1) that contrasts with `other`."""
    for _ in range(_TRIES):
        color = colorsys.hsv_to_rgb(random.uniform(), random.uniform(0.35, 0.9), random.uniform(0.55, 1.0))
        if np.abs(np.asarray(color) - other).max() >= _MIN_CONTRAST:
            break
    return color


def _background(random: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """An uneven background: a gradient of two colours, blotches, and clutter that looks like none of the shapes."""
    hue = random.uniform()
    tones = [
        colorsys.hsv_to_rgb(
            (hue + random.uniform(-0.15, 0.15)) % 1, random.uniform(0.08, 0.45), random.uniform(0.35, 0.95)
        )
        for _ in range(2)
    ]
    angle = random.uniform(0, math.tau)
    y_grid, x_grid = np.mgrid[-1:1:24j, -1:1:32j]
    blend = (0.5 + 0.5 * np.clip(x_grid * math.cos(angle) + y_grid * math.sin(angle), -1, 1))[..., None]
    blotches = random.uniform(2, 9) * np.kron(random.normal(size=(6, 8, 1)), np.ones((4, 4, 1)))
    blotches += random.uniform(1, 6) * random.normal(size=(24, 32, 1))
    ground = 255 * (blend * tones[0] + (1 - blend) * tones[1]) + blotches
    canvas = (
        Image.fromarray(np.clip(ground, 0, 255).astype(np.uint8))
        .filter(ImageFilter.GaussianBlur(1))
        .resize(size, Image.Resampling.BICUBIC)
    )
    pen = ImageDraw.Draw(canvas)
    for _ in range(int(random.integers(2, 8))):
        color = tuple(int(value) for value in np.clip(255 * np.asarray(tones[0]) + random.normal(0, 40, 3), 0, 255))
        x, y = random.uniform(0, size[0]), random.uniform(0, size[1])
        width = int(random.integers(1, 4)) * _DRAWN_AT
        if random.random() < 0.6:
            length, direction = random.uniform(0.1, 0.6) * size[0], random.uniform(0, math.tau)
            pen.line(
                (x, y, x + length * math.cos(direction), y + length * math.sin(direction)), fill=color, width=width
            )
        else:
            radius = random.uniform(0.02, 0.12) * size[1]
            pen.arc(
                (x - radius, y - radius, x + radius, y + radius),
                *sorted(random.uniform(0, 360, 2)),
                fill=color,
                width=width,
            )
    return canvas


def _grain(random: np.random.Generator, image: Image.Image) -> Image.Image:
    """Adds sensor noise of random strength."""
    pixels = np.array(image, np.float32)
    pixels += random.standard_normal(pixels.shape, dtype=np.float32) * np.float32(random.uniform(1.0, 7.0))
    return Image.fromarray(np.clip(pixels, 0, 255, out=pixels).astype(np.uint8))
