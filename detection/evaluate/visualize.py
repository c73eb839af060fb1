"""Draws detections and groundtruth side by side, and sheets of many pictures.

Images are uint8 [h, w, 3] RGB arrays, boxes float [n, 4] `[ymin, xmin, ymax, xmax]` in pixels of the image. Functions
return new arrays and do not change their arguments. A class has the same colour in every picture.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageColor, ImageDraw

from detection.errors import printable
from detection.evaluate.drawing import Color, draw_boxes, shorten
from detection.evaluate.evaluator import ImageDetections, ImageGroundtruth
from detection.evaluate.fonts import font_for
from detection.settings import Style

# Bright colours that are distinct with most kinds of colour vision; further classes get evenly spread hues.
_PALETTE = (
    "#ff2d6a", "#0bbdf5", "#ffc400", "#8a5cff", "#19d47b", "#ff7a1a", "#ff6ad5", "#3f6bff", "#b8e300", "#00d6c4",
    "#c9703a", "#a9b4ff", "#e03131", "#6fe3a1", "#d6a8ff", "#ffe08a",
)  # fmt: skip


DEFAULT_STYLE = Style()


def color_of(class_: int) -> Color:
    """Returns the colour of a 0-based class."""
    if class_ < len(_PALETTE):
        return ImageColor.getrgb(_PALETTE[class_])[:3]
    red, green, blue = colorsys.hsv_to_rgb(
        (class_ * 0.61803398875) % 1.0, 0.55 + 0.4 * (class_ % 3) / 2, 0.98 - 0.2 * (class_ % 2)
    )
    return round(255 * red), round(255 * green), round(255 * blue)


def draw_detections(
    image: np.ndarray, detections: ImageDetections, names: Mapping[int, str], style: Style = DEFAULT_STYLE
) -> np.ndarray:
    """Draws the best detections on a copy of an image.

    Args:
        image: uint8 [h, w, 3].
        detections: at most `style.max_boxes` with at least `style.min_score` are drawn.
        names: 0-based class -> name.
        style: thresholds, and what labels show.
    """
    shown = _shown(detections, style)
    labels = []
    for class_, score in zip(shown.classes.tolist(), shown.scores.tolist(), strict=True):
        parts = [_name(names, class_)] if style.labels else []
        labels.append(" ".join([*parts, f"{100 * score:.0f}%"] if style.scores else parts))
    return draw_boxes(image, shown.boxes, [color_of(class_) for class_ in shown.classes.tolist()], labels)


def draw_groundtruth(
    image: np.ndarray, groundtruth: ImageGroundtruth, names: Mapping[int, str], style: Style = DEFAULT_STYLE
) -> np.ndarray:
    """Draws all groundtruth boxes on a copy of an image; crowd and difficult ones, which metrics ignore, are dashed."""
    classes = groundtruth.classes.tolist()
    labels = [_name(names, class_) if style.labels else "" for class_ in classes]
    return draw_boxes(
        image,
        groundtruth.boxes,
        [color_of(class_) for class_ in classes],
        labels,
        groundtruth.is_crowd | groundtruth.difficult,
    )


def side_by_side(
    image: np.ndarray,
    detections: ImageDetections,
    groundtruth: ImageGroundtruth,
    names: Mapping[int, str],
    style: Style = DEFAULT_STYLE,
) -> np.ndarray:
    """Draws detections on the left and groundtruth on the right, each with a heading.

    Small images are enlarged first, so that labels are readable.
    """
    image, factor = enlarge(image, 320)
    detections = detections._replace(boxes=detections.boxes * factor)
    groundtruth = groundtruth._replace(boxes=groundtruth.boxes * factor)
    left = draw_detections(image, detections, names, style)
    if style.groundtruth_color is not None:
        color = ImageColor.getrgb(style.groundtruth_color)[:3]
        left = draw_boxes(left, groundtruth.boxes, [color] * len(groundtruth.boxes), [""] * len(groundtruth.boxes))
    right = draw_groundtruth(image, groundtruth, names, style)
    captions = [f"detections: {len(_shown(detections, style).boxes)}", f"groundtruth: {len(groundtruth.boxes)}"]
    return mosaic([left, right], columns=2, captions=captions)


def mosaic(
    pictures: Sequence[np.ndarray],
    columns: int | None = None,
    captions: Sequence[str] | None = None,
    cell: tuple[int, int] | None = None,
) -> np.ndarray:
    """Arranges pictures in a grid on a white background, in reading order, each centred in its cell.

    Args:
        pictures: uint8 [h, w, 3], any sizes; at least one.
        columns: number of columns; None makes the grid about square.
        captions: a line above each picture.
        cell: (height, width) to which larger pictures are scaled down, keeping the aspect ratio; None does not scale
            them.

    Returns:
        uint8 [h, w, 3].
    """
    frames = [Image.fromarray(np.ascontiguousarray(picture)).convert("RGB") for picture in pictures]
    if cell is not None:
        for frame in frames:
            frame.thumbnail((cell[1], cell[0]), Image.Resampling.LANCZOS)
    columns = min(columns or math.ceil(math.sqrt(len(frames))), len(frames))
    rows = math.ceil(len(frames) / columns)
    width, height = max(frame.width for frame in frames), max(frame.height for frame in frames)
    scale = math.sqrt(width * height)
    gap, size = max(4, round(scale / 60)), min(40, max(12, round(scale / 34)))
    heading = round(1.6 * size) if captions else 0
    sheet = Image.new("RGB", (columns * (width + gap) + gap, rows * (height + heading + gap) + gap), "white")
    draw = ImageDraw.Draw(sheet)
    for number, frame in enumerate(frames):
        row, column = divmod(number, columns)
        left, top = gap + column * (width + gap), gap + row * (height + heading + gap)
        if captions:
            text = shorten(captions[number], size, width)
            draw.text((left, top + heading / 2), text, fill=(40, 44, 52), font=font_for(text, size), anchor="lm")
        sheet.paste(frame, (left + (width - frame.width) // 2, top + heading + (height - frame.height) // 2))
    return np.asarray(sheet)


def enlarge(image: np.ndarray, side: int) -> tuple[np.ndarray, int]:
    """Enlarges an image by the smallest integer factor that makes its longer side at least `side` pixels.

    Returns:
        The image and the factor.
    """
    factor = max(1, math.ceil(side / max(image.shape[:2])))
    return np.repeat(np.repeat(image, factor, axis=0), factor, axis=1), factor


def _shown(detections: ImageDetections, style: Style) -> ImageDetections:
    order = np.argsort(-detections.scores, kind="stable")
    order = order[detections.scores[order] >= style.min_score][: style.max_boxes]
    return ImageDetections(*(column[order] for column in detections))


def _name(names: Mapping[int, str], class_: int) -> str:
    return printable(names.get(class_, f"class {class_ + 1}"))
