"""Multi-crop inference: views of an image (whole or cropped, mirrored or not), and their detections in its coordinates.

Views are given by a list:

    full           the whole image
    corners:0.6    four overlapping crops of 0.6 of each side, one in each corner: objects appear larger to a model with
                   a fixed input size
    center:0.6     one such crop in the centre
    pad:1.5        the image in the centre of a grey canvas of 1.5 times its sides: objects appear smaller
    flip           every view before it again, mirrored left to right

A crop may cut objects, so boxes that touch a border of the crop that is not a border of the image are dropped.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np

from detection.errors import ConfigError
from detection.evaluate.evaluator import ImageDetections

MULTI_CROP = "full,corners:0.6,flip"  # 10 views: with five models 50 evaluations an image, as in the survey
_CANVAS = 128  # grey value outside the image
_BORDER = 0.01  # of a crop's side: boxes this close to its border are treated as cut
_CORNERS = {"top_left": (0, 0), "top_right": (0, 1), "bottom_left": (1, 0), "bottom_right": (1, 1)}


class View(NamedTuple):
    """A part of an image, relative to the image's size."""

    name: str
    scale: float = 1.0  # sides of the view as a fraction of the image's; above 1: with a border of canvas
    # (y, x) position within the space that the scale leaves: 0 at the top and left, 1 at the bottom and right.
    position: tuple[float, float] = (0.5, 0.5)
    mirrored: bool = False

    def window(self, height: int, width: int) -> tuple[int, int, int, int]:
        """(ymin, xmin, ymax, xmax) in whole pixels of the image; the canvas lies outside the image."""
        sides = [max(1, round(self.scale * side)) for side in (height, width)]
        starts = [
            round(position * (side - view_side))
            for position, side, view_side in zip(self.position, (height, width), sides, strict=True)
        ]
        return starts[0], starts[1], starts[0] + sides[0], starts[1] + sides[1]

    def crop(self, image: np.ndarray) -> np.ndarray:
        """The pixels of the view, uint8 [h, w, 3], of an image [H, W, 3]."""
        ymin, xmin, ymax, xmax = self.window(*image.shape[:2])
        inside = image[max(ymin, 0) : ymax, max(xmin, 0) : xmax]
        margins = (
            (max(-ymin, 0), max(ymax - image.shape[0], 0)),
            (max(-xmin, 0), max(xmax - image.shape[1], 0)),
            (0, 0),
        )
        pixels = np.pad(inside, margins, constant_values=_CANVAS)
        return np.ascontiguousarray(pixels[:, ::-1] if self.mirrored else pixels)

    def to_image(self, detections: ImageDetections, height: int, width: int) -> ImageDetections:
        """Converts detections from pixels of the view to pixels of the image.

        They are clipped to the image; those at inner borders of the view are dropped.

        Args:
            detections: in pixels of the view.
            height: of the image, pixels.
            width: of the image, pixels.
        """
        ymin, xmin, _, xmax = self.window(height, width)
        boxes = np.asarray(detections.boxes, np.float64).reshape(-1, 4)
        if self.mirrored:
            boxes = np.stack(
                [boxes[:, 0], (xmax - xmin) - boxes[:, 3], boxes[:, 2], (xmax - xmin) - boxes[:, 1]], axis=1
            )
        boxes = boxes + np.array([ymin, xmin, ymin, xmin])
        uncut = self.uncut_window(height, width)
        is_whole = (boxes[:, :2] >= uncut[:2]).all(axis=1) & (boxes[:, 2:] <= uncut[2:]).all(axis=1)
        boxes = np.clip(boxes, 0.0, np.tile([height, width], 2))
        kept = is_whole & (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        return ImageDetections(boxes[kept], np.asarray(detections.scores)[kept], np.asarray(detections.classes)[kept])

    def uncut_window(self, height: int, width: int) -> np.ndarray:
        """The window [4] in pixels of the image whose boxes are not cut by this view.

        It is unbounded on sides where the view reaches the image's border.
        """
        limits = []
        for low, high, side in zip(
            self.window(height, width)[:2], self.window(height, width)[2:], (height, width), strict=True
        ):
            border = _BORDER * (high - low)
            limits.append((low + border if low > 0 else -np.inf, high - border if high < side else np.inf))
        (top, bottom), (left, right) = limits
        return np.array([top, left, bottom, right])


FULL = View("full")


def parse(text: str, flag: str = "--multicrop") -> tuple[View, ...]:
    """Parses a list of views as above, without duplicates.

    Args:
        text: the list.
        flag: the flag to name in errors.

    Raises:
        ConfigError: a word of the list is not a view.
    """
    views: list[View] = []
    for word in (part.strip() for part in text.split(",")):
        match = re.fullmatch(r"(corners|center|pad):(\d*\.?\d+)", word)
        scale = float(match[2]) if match else 0.0
        if word == "full":
            views.append(FULL)
        elif word == "flip":
            views += [view._replace(name=f"{view.name}-flip", mirrored=True) for view in views if not view.mirrored]
        elif match and (1.0 < scale <= 4.0 if match[1] == "pad" else 0.1 <= scale < 1.0):
            places = _CORNERS if match[1] == "corners" else {match[1]: (0.5, 0.5)}
            views += [View(f"{name}-{scale:g}", scale, position) for name, position in places.items()]
        else:
            what = "full, corners:0.6, center:0.6 (0.1 to 1), pad:1.5 (1 to 4) and flip"
            raise ConfigError(f"{flag}={text}: {word!r} is not a view; give a list of {what}, such as {MULTI_CROP}")
    if not views:
        raise ConfigError(f"{flag}={text}: flip has no view before it; give a list such as {MULTI_CROP}")
    return tuple(dict.fromkeys(views))
