"""Pictures for people: what was found beside what is there, and sheets of many pictures.

Images are uint8 [h, w, 3] RGB arrays, boxes float [n, 4] `[ymin, xmin, ymax, xmax]` in pixels of that very image.
Nothing here changes its arguments; what is returned is a new array. A class keeps its colour in every picture.
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

# Bright and far from each other for most kinds of sight; later classes walk round the hues.
_PALETTE = (
    "#ff2d6a", "#0bbdf5", "#ffc400", "#8a5cff", "#19d47b", "#ff7a1a", "#ff6ad5", "#3f6bff", "#b8e300", "#00d6c4",
    "#c9703a", "#a9b4ff", "#e03131", "#6fe3a1", "#d6a8ff", "#ffe08a",
)  # fmt: skip


DEFAULT_STYLE = Style()


def color_of(class_: int) -> Color:
    """The colour of a 0-based class."""
    if class_ < len(_PALETTE):
        return ImageColor.getrgb(_PALETTE[class_])[:3]
    red, green, blue = colorsys.hsv_to_rgb(
        (class_ * 0.61803398875) % 1.0, 0.55 + 0.4 * (class_ % 3) / 2, 0.98 - 0.2 * (class_ % 2)
    )
    return round(255 * red), round(255 * green), round(255 * blue)


def draw_detections(
    image: np.ndarray, detections: ImageDetections, names: Mapping[int, str], style: Style = DEFAULT_STYLE
) -> np.ndarray:
    """The image with the best detections: at most `style.max_boxes` of at least `style.min_score`. `names`: 0-based
    class -> name."""
    shown = _shown(detections, style)
    labels = []
    for class_, score in zip(shown.classes.tolist(), shown.scores.tolist(), strict=True):
        parts = [_name(names, class_)] if style.labels else []
        labels.append(" ".join([*parts, f"{100 * score:.0f}%"] if style.scores else parts))
    return draw_boxes(image, shown.boxes, [color_of(class_) for class_ in shown.classes.tolist()], labels)


def draw_groundtruth(
    image: np.ndarray, groundtruth: ImageGroundtruth, names: Mapping[int, str], style: Style = DEFAULT_STYLE
) -> np.ndarray:
    """The image with all true boxes; dashed where they are crowd or difficult, that is, where metrics ignore them."""
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
    """Detections on the left, the truth on the right, each with a heading. Small images are enlarged first, so that
    names can be read."""
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
    """Pictures in a grid on white, in reading order, each in the middle of its cell.

    Args:
        pictures: uint8 [h, w, 3], any sizes; at least one.
        columns: per row; None makes the grid about square.
        captions: a line above each picture.
        cell: (height, width) into which each picture is scaled down, keeping its proportions; None takes the largest
            picture's.
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
    """The image magnified by the least whole number that makes its longer side at least `side` pixels, and that
    number."""
    factor = max(1, math.ceil(side / max(image.shape[:2])))
    return np.repeat(np.repeat(image, factor, axis=0), factor, axis=1), factor


def _shown(detections: ImageDetections, style: Style) -> ImageDetections:
    order = np.argsort(-detections.scores, kind="stable")
    order = order[detections.scores[order] >= style.min_score][: style.max_boxes]
    return ImageDetections(*(column[order] for column in detections))


def _name(names: Mapping[int, str], class_: int) -> str:
    return printable(names.get(class_, f"class {class_ + 1}"))
