"""Multi-crop inference: an image seen several times, whole and in parts, mirrored or not, and what was found put back
into its place.

Views are named by a list:

    full           the image as it is
    corners:0.6    four overlapping crops of 0.6 of each side, one in each corner: objects appear larger to a model with
                   a fixed input size
    center:0.6     one such crop in the middle
    pad:1.5        the image in the middle of a grey canvas of 1.5 times its sides: objects appear smaller
    flip           every view before it once more, mirrored left to right

A crop sees parts of objects that go on outside it, so boxes that touch a border of it which is none of the image's are
left out.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np

from detection.errors import ConfigError
from detection.evaluate.evaluator import ImageDetections

MULTI_CROP = "full,corners:0.6,flip"  # 10 views: with five models 50 evaluations an image, as in the survey
_CANVAS = 128  # grey of what lies outside the image
_BORDER = 0.01  # of a crop's side: boxes that come so near to its border are taken to go on outside
_CORNERS = {"top_left": (0, 0), "top_right": (0, 1), "bottom_left": (1, 0), "bottom_right": (1, 1)}


class View(NamedTuple):
    """A part of an image. Its sides and the place of its centre are fractions of the image's."""

    name: str
    scale: float = 1.0  # above 1: with a border of canvas
    place: tuple[float, float] = (
        0.5,
        0.5,
    )  # y, x: 0 at the top and left, 1 at the bottom and right, of the room that the scale leaves
    mirrored: bool = False

    def window(self, height: int, width: int) -> tuple[int, int, int, int]:
        """ymin, xmin, ymax, xmax in whole pixels of the image; negative, or beyond it, where there is canvas."""
        sides = [max(1, round(self.scale * side)) for side in (height, width)]
        starts = [
            round(place * (side - own)) for place, side, own in zip(self.place, (height, width), sides, strict=True)
        ]
        return starts[0], starts[1], starts[0] + sides[0], starts[1] + sides[1]

    def of(self, image: np.ndarray) -> np.ndarray:
        """uint8 [h, w, 3]: what is seen of an image [H, W, 3]."""
        ymin, xmin, ymax, xmax = self.window(*image.shape[:2])
        inside = image[max(ymin, 0) : ymax, max(xmin, 0) : xmax]
        margins = (
            (max(-ymin, 0), max(ymax - image.shape[0], 0)),
            (max(-xmin, 0), max(xmax - image.shape[1], 0)),
            (0, 0),
        )
        seen = np.pad(inside, margins, constant_values=_CANVAS)
        return np.ascontiguousarray(seen[:, ::-1] if self.mirrored else seen)

    def back(self, found: ImageDetections, height: int, width: int) -> ImageDetections:
        """Detections in pixels of the view -> in pixels of the image of `height` x `width`, cut to it, without those at
        inner borders.
        """
        ymin, xmin, _, xmax = self.window(height, width)
        boxes = np.asarray(found.boxes, np.float64).reshape(-1, 4)
        if self.mirrored:
            boxes = np.stack(
                [boxes[:, 0], (xmax - xmin) - boxes[:, 3], boxes[:, 2], (xmax - xmin) - boxes[:, 1]], axis=1
            )
        boxes = boxes + np.array([ymin, xmin, ymin, xmin])
        seen = self.sees(height, width)
        whole = (boxes[:, :2] >= seen[:2]).all(axis=1) & (boxes[:, 2:] <= seen[2:]).all(axis=1)
        boxes = np.clip(boxes, 0.0, np.tile([height, width], 2))
        kept = whole & (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        return ImageDetections(boxes[kept], np.asarray(found.scores)[kept], np.asarray(found.classes)[kept])

    def sees(self, height: int, width: int) -> np.ndarray:
        """[4], pixels of the image: boxes inside are whole in this view.

        Without limit where the view reaches the image's border.
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
    """The views of a list as above, each once. Raises ConfigError naming `flag` and the word that is none."""
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
            views += [View(f"{name}-{scale:g}", scale, place) for name, place in places.items()]
        else:
            what = "full, corners:0.6, center:0.6 (0.1 to 1), pad:1.5 (1 to 4) and flip"
            raise ConfigError(f"{flag}={text}: {word!r} is no view; give a list of {what}, such as {MULTI_CROP}")
    if not views:
        raise ConfigError(f"{flag}={text}: flip stands before any view; give a list such as {MULTI_CROP}")
    return tuple(dict.fromkeys(views))
