"""Converts boxes from the pixels in which they were annotated to the stored pixels.

They differ if an image was resized after annotation, or if EXIF makes viewers rotate it: then tools show (and annotate)
it upright, while records and training use the pixels as stored. Orientations 5 to 8 swap width and height, so the
declared size shows which of the two was annotated. Orientations 2 to 4, and 5 to 8 for squares, do not change the size:
then boxes are assumed to refer to the stored pixels, as in COCO, and the image is reported.
"""

from __future__ import annotations

from typing import NamedTuple

from detection.data.convert.source import AnnotatedBox, AnnotatedImage
from detection.data.findings import Fault

_SAME_SHAPE = 0.01  # aspect ratios closer than this mean that an image was resized after it was annotated
_SLACK = 1.0  # pixels by which boxes often exceed the image
_LEFT_OUT = "image left out"


class Frame(NamedTuple):
    """The transformation from annotated to stored pixels."""

    x_scale: float = 1.0  # from the annotated to the displayed image
    y_scale: float = 1.0
    turn: int = 1  # the EXIF orientation with which the stored image is displayed
    width: int = 0  # of the stored image, pixels
    height: int = 0

    def box(self, xmin: float, ymin: float, xmax: float, ymax: float) -> tuple[float, float, float, float]:
        """The box (xmin, ymin, xmax, ymax) in stored pixels; inverted corners stay inverted."""
        left, top, right, bottom = xmin * self.x_scale, ymin * self.y_scale, xmax * self.x_scale, ymax * self.y_scale
        w, h = self.width, self.height
        if self.turn == 5:
            return top, left, bottom, right
        if self.turn == 6:
            return top, h - right, bottom, h - left
        if self.turn == 7:
            return w - bottom, h - right, w - top, h - left
        if self.turn == 8:
            return w - bottom, left, w - top, right
        return left, top, right, bottom


def frame_of(
    image: AnnotatedImage, width: int, height: int, orientation: int, repair: bool
) -> tuple[Frame, Fault | None]:
    """The frame in which the boxes of an image were annotated.

    Args:
        image: as annotated.
        width: of the stored image, pixels.
        height: of the stored image, pixels.
        orientation: the EXIF orientation, 1 to 8.
        repair: convert boxes to the stored frame if it is clear how.

    Returns:
        The frame, and a fault if it is not the stored one; with a fault that is not repaired, the image is unusable.
    """
    stored, shown, declared = (width, height), (height, width), image.declared_size
    is_rotated = orientation >= 5 and width != height
    if is_rotated and declared in (None, stored) and not fit(image.boxes, stored) and fit(image.boxes, shown):
        reason = f"boxes do not fit the {width}x{height} pixels of {image.image_path}"
        reason += f", but fit it when rotated by EXIF orientation {orientation}"
        declared = shown
    elif declared is None or declared == stored:
        return Frame(), None
    else:
        reason = f"annotated at {declared[0]}x{declared[1]}, but {image.image_path} has {width}x{height} pixels"
        if is_rotated and same_shape(declared, shown):
            reason += f", and EXIF orientation {orientation} rotates it"

    def fault(action: str, remark: str = "") -> Fault:
        return Fault("size_mismatch", image.where, "<size>", f"{reason}{remark}", action)

    if is_rotated and same_shape(declared, shown):
        if not repair:
            return Frame(), fault(_LEFT_OUT, "; --on_bad=fix rotates the boxes back")
        frame = Frame(height / declared[0], width / declared[1], orientation, width, height)
        return frame, fault("repaired: boxes rotated with the image")
    if same_shape(declared, stored):
        if not repair:
            return Frame(), fault(_LEFT_OUT, "; --on_bad=fix scales the boxes")
        return Frame(width / declared[0], height / declared[1]), fault("repaired: boxes scaled")
    if is_rotated or not fit(image.boxes, stored, 0.0):
        return Frame(), fault(_LEFT_OUT, ", and boxes do not fit it")
    if fit(image.boxes, declared):  # The image may have been stretched, cropped or rotated, or its size be wrong.
        return Frame(), fault(_LEFT_OUT, ", and boxes fit both; fix the size, or annotate the image again")
    if not repair:
        return Frame(), fault(_LEFT_OUT, "; boxes fit the image, and --on_bad=fix uses its size")
    return Frame(), fault("repaired: boxes fit only the image, its size used")


def same_shape(first: tuple[int, int], second: tuple[int, int]) -> bool:
    """Whether two sizes have the same aspect ratio."""
    return abs((first[0] * second[1]) / (first[1] * second[0]) - 1) < _SAME_SHAPE


def fit(boxes: tuple[AnnotatedBox, ...], size: tuple[int, int], slack: float = _SLACK) -> bool:
    """Whether all boxes end inside an image of size (width, height), with `slack` pixels of tolerance."""
    return all(
        max(box.xmin, box.xmax) <= size[0] + slack and max(box.ymin, box.ymax) <= size[1] + slack for box in boxes
    )
