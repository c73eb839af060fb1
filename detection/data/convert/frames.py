"""From the pixels that boxes were annotated in to the pixels that are stored.

The two differ where an image was resized after it was annotated, and where EXIF has viewers turn it: then tools show
(and annotate) it upright, while records hold, and training sees, the pixels as they are stored. Orientations 5 to 8
swap width and height, so that the declared size says which of the two was annotated. Orientations 2 to 4, and 5 to 8
of squares, leave the size as it is: there boxes are taken as made for the stored pixels, as COCO's are, and the image
is reported.
"""

from __future__ import annotations

from typing import NamedTuple

from detection.data.convert.source import AnnotatedBox, AnnotatedImage
from detection.data.findings import Fault

_SAME_SHAPE = 0.01  # aspect ratios closer than this mean that an image was resized after it was annotated
_SLACK = 1.0  # pixels by which boxes often reach outside
_LEFT_OUT = "image left out"


class Frame(NamedTuple):
    """How annotated pixels become stored ones."""

    x_scale: float = 1.0  # from the annotated to the shown image
    y_scale: float = 1.0
    turn: int = 1  # the EXIF orientation by which the stored image is shown
    width: int = 0  # of the stored image, pixels
    height: int = 0

    def box(self, xmin: float, ymin: float, xmax: float, ymax: float) -> tuple[float, float, float, float]:
        """A box in stored pixels; corners keep their order, also where it is wrong."""
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
    """The frame that boxes were made in, and the fault where it is not the stored one; a fault that is not repaired
    makes the image unusable.

    Args:
        image: as annotated.
        width, height: of the stored image, pixels.
        orientation: EXIF's, 1 to 8.
        repair: takes boxes into the stored frame where it is clear how.
    """
    stored, shown, declared = (width, height), (height, width), image.declared_size
    turned = orientation >= 5 and width != height
    if turned and declared in (None, stored) and not fit(image.boxes, stored) and fit(image.boxes, shown):
        reason = f"boxes do not fit the {width}x{height} pixels of {image.image_path}"
        reason += f", but fit it turned as EXIF orientation {orientation} says"
        declared = shown
    elif declared is None or declared == stored:
        return Frame(), None
    else:
        reason = f"annotated at {declared[0]}x{declared[1]}, but {image.image_path} has {width}x{height} pixels"
        if turned and same_shape(declared, shown):
            reason += f", and EXIF orientation {orientation} turns it"

    def fault(action: str, more: str = "") -> Fault:
        return Fault("size_mismatch", image.where, "<size>", f"{reason}{more}", action)

    if turned and same_shape(declared, shown):
        if not repair:
            return Frame(), fault(_LEFT_OUT, "; --on_bad=fix turns the boxes back")
        frame = Frame(height / declared[0], width / declared[1], orientation, width, height)
        return frame, fault("repaired: boxes turned with the image")
    if same_shape(declared, stored):
        if not repair:
            return Frame(), fault(_LEFT_OUT, "; --on_bad=fix scales the boxes")
        return Frame(width / declared[0], height / declared[1]), fault("repaired: boxes scaled")
    if turned or not fit(image.boxes, stored, 0.0):
        return Frame(), fault(_LEFT_OUT, ", and boxes do not fit it")
    if fit(image.boxes, declared):  # The image may have been stretched, cropped or turned, or its size be a slip.
        return Frame(), fault(_LEFT_OUT, ", and boxes fit both; correct the size, or annotate the image again")
    if not repair:
        return Frame(), fault(_LEFT_OUT, "; boxes fit the image, and --on_bad=fix uses its size")
    return Frame(), fault("repaired: boxes fit the image only, its size used")


def same_shape(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two sizes differ by a factor only."""
    return abs((one[0] * other[1]) / (one[1] * other[0]) - 1) < _SAME_SHAPE


def fit(boxes: tuple[AnnotatedBox, ...], size: tuple[int, int], slack: float = _SLACK) -> bool:
    """Whether boxes end inside an image of a width and height."""
    return all(
        max(box.xmin, box.xmax) <= size[0] + slack and max(box.ymin, box.ymax) <= size[1] + slack for box in boxes
    )
