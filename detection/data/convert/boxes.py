"""Checks annotated boxes in pixels and converts them to boxes of a record, in fractions of the image.

inverted -> rejected (or swapped)     without area -> dropped     outside -> rejected     partly outside -> clipped
unknown class -> rejected     in fractions of the image -> rejected (or multiplied)
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from detection.data.convert.frames import Frame, frame_of
from detection.data.convert.source import AnnotatedBox, AnnotatedImage
from detection.data.findings import Fault
from detection.data.record_writer import RecordBox

_NO_LENGTH = 0.01  # pixels; less is lost when stored as float32
_LEFT_OUT = "box left out"
CLIPPED, CLIPPED_A_LITTLE = "clipped", "clipped by a pixel or less"
# Boxes in fractions may be slightly outside, like boxes in pixels. In pixels such a box would cover only the first
# pixel of its image, which is not plausible.
_LOWEST_FRACTION, _HIGHEST_FRACTION = -0.1, 1.1


def check(
    image: AnnotatedImage,
    width: int,
    height: int,
    ids: dict[str, int],
    map_path: str,
    repair: bool,
    orientation: int = 1,
    fractions: bool = False,
) -> tuple[list[RecordBox], list[Fault]]:
    """Checks the boxes of an image.

    Args:
        image: as annotated.
        width: of the decoded image, pixels.
        height: of the decoded image, pixels.
        ids: label of each class.
        map_path: where `ids` come from, for messages.
        repair: swap the corners of inverted boxes instead of rejecting them, scale or rotate boxes made for another
            size of the image or for the image with EXIF rotation, and multiply fractions.
        orientation: the image's EXIF orientation, 1 to 8.
        fractions: the whole data set has boxes in fractions of the image, so treat these as such.

    Returns:
        The usable boxes, and the faults.
    """
    faults: list[Fault] = []
    converted = False
    if image.in_fractions:
        image, converted = _in_pixels(image, width, height), True
    elif max(width, height) > 2 and (fractions or look_like_fractions([image])):
        # Whether it is known if they refer to the stored image or to the image with EXIF rotation.
        is_known = orientation < 5 or image.declared_size is not None or width == height
        _report_fractions(image, repair and is_known, is_known, faults)
        if not (repair and is_known):
            return [], faults
        image, converted = _in_pixels(image, width, height), True
    frame, mismatch = frame_of(image, width, height, orientation, repair)
    if mismatch:
        faults.append(mismatch)
        if mismatch.bad:
            return [], faults
    kept: list[RecordBox] = []
    seen_corners: set[tuple] = set()
    similar_names = None
    for box in image.boxes:
        if box.name not in ids:
            similar_names = {plain_name(name): name for name in ids} if similar_names is None else similar_names
            faults.append(_unknown(image, box, similar_names.get(plain_name(box.name)), map_path))
            continue
        if not converted and _is_fraction(image, box, (width, height)):
            value = f"{_shown(box)} is between 0 and 1, while other boxes are in pixels; write it in pixels"
            faults.append(Fault("box_fractions", image.where, box.item, value, _LEFT_OUT))
            continue
        usable = _usable(image, box, frame, (width, height), repair, faults)
        if usable is None:
            continue
        corners = (box.name, box.xmin, box.ymin, box.xmax, box.ymax)
        if corners in seen_corners:
            faults.append(Fault("box_repeated", image.where, box.item, _shown(box), "kept"))
        seen_corners.add(corners)
        kept.append(_record(image, box, frame, usable, (width, height), ids[box.name], faults))
    return kept, faults


def plain_name(name: str) -> str:
    """A class name without differences in case and spaces."""
    return "".join(name.split()).casefold()


def look_like_fractions(images: Iterable[AnnotatedImage]) -> bool:
    """Whether all boxes are between 0 and 1 and therefore fractions of their image.

    In pixels, each box would cover only the first pixel. A single image with a box of whole numbers is accepted as
    pixels; several images with only such boxes are not.
    """
    num_annotated, is_integer, highest = 0, True, 0.0
    for image in images:
        if image.in_fractions:
            return False  # Nothing has to be guessed.
        values = [value for box in image.boxes if all(map(math.isfinite, box[2:6])) for value in box[2:6]]
        if values and (min(values) < _LOWEST_FRACTION or max(values) > _HIGHEST_FRACTION):
            return False
        num_annotated += bool(values)
        is_integer = is_integer and all(float(value).is_integer() for value in values)
        highest = max(highest, max(values, default=0.0))
    return highest > 0 and (num_annotated > 1 or not is_integer)


def _is_fraction(image: AnnotatedImage, box: AnnotatedBox, size: tuple[int, int]) -> bool:
    """Whether a box, among others in pixels, is in fractions of the image or smaller than its first pixel."""
    fractions = len(image.boxes) > 1 and all(_LOWEST_FRACTION <= value <= _HIGHEST_FRACTION for value in box[2:6])
    return fractions and max(size) > 2 and not all(float(value).is_integer() for value in box[2:6])


def _report_fractions(image: AnnotatedImage, repair: bool, is_known: bool, faults: list[Fault]) -> None:
    fix = (
        "; --on_bad=fix converts them"
        if is_known
        else "; convert them to pixels: EXIF rotates the image, and it is unknown for which orientation they were made"
    )
    action = "repaired: converted" if repair else _LEFT_OUT
    for box in image.boxes:
        value = f"{_shown(box)}: all boxes are between 0 and 1, so they are fractions of the image, not pixels"
        value += "" if repair else fix
        faults.append(Fault("box_fractions", image.where, box.item, value, action))


def _in_pixels(image: AnnotatedImage, width: int, height: int) -> AnnotatedImage:
    """Converts boxes in fractions to pixels of the size for which they were annotated."""
    # Some tools declare a size of 1x1 for fractions.
    declared = image.declared_size if image.declared_size and max(image.declared_size) > 2 else None
    x_scale, y_scale = declared or (width, height)
    boxes = []
    for box in image.boxes:
        area = box.area * x_scale * y_scale if box.area is not None and box.area <= 1 else box.area
        boxes.append(
            box._replace(
                xmin=box.xmin * x_scale,
                ymin=box.ymin * y_scale,
                xmax=box.xmax * x_scale,
                ymax=box.ymax * y_scale,
                area=area,
            )
        )
    return image._replace(boxes=tuple(boxes), declared_size=declared)


def _unknown(image: AnnotatedImage, box: AnnotatedBox, similar_name: str | None, map_path: str) -> Fault:
    if similar_name is None:
        return Fault("class_unknown", image.where, box.item, f"not in {map_path}", _LEFT_OUT)
    return Fault(
        "class_alike",
        image.where,
        box.item,
        f"{box.name!r} is not in {map_path}, but {similar_name!r} is; use the same name",
        _LEFT_OUT,
    )


def _usable(
    image: AnnotatedImage, box: AnnotatedBox, frame: Frame, size: tuple[int, int], repair: bool, faults: list[Fault]
) -> tuple[float, float, float, float] | None:
    """A box in stored pixels with ordered corners, not clipped; None if it cannot be used."""
    shown, (width, height) = _shown(box), size

    def fault(kind: str, value: str, action: str) -> None:
        faults.append(Fault(kind, image.where, box.item, value, action))

    if not all(map(math.isfinite, box[2:6])):
        fault("box_unreadable", f"{shown} is not finite", _LEFT_OUT)
        return None
    xmin, ymin, xmax, ymax = frame.box(*box[2:6])
    if xmax < xmin or ymax < ymin:
        if not repair:
            fault("box_inverted", f"(xmin, ymin, xmax, ymax) = {shown}; --on_bad=fix swaps", _LEFT_OUT)
            return None
        fault("box_inverted", shown, "repaired: swapped")
        xmin, xmax, ymin, ymax = min(xmin, xmax), max(xmin, xmax), min(ymin, ymax), max(ymin, ymax)
    if min(xmax - xmin, ymax - ymin) < _NO_LENGTH:
        fault("box_zero_area", shown, _LEFT_OUT)
        return None
    if xmin >= width or ymin >= height or xmax <= 0 or ymax <= 0:
        fault("box_outside", f"{shown} in an image of {width}x{height}", _LEFT_OUT)
        return None
    clipped = _clipped((xmin, ymin, xmax, ymax), size)
    if clipped != (xmin, ymin, xmax, ymax):
        if min(clipped[2] - clipped[0], clipped[3] - clipped[1]) < _NO_LENGTH:
            fault("box_outside", f"{shown} in an image of {width}x{height}", _LEFT_OUT)
            return None
        excess = max(abs(part - side) for part, side in zip(clipped, (xmin, ymin, xmax, ymax), strict=True))
        action = CLIPPED if excess > 1 else CLIPPED_A_LITTLE
        fault("box_clipped", f"{shown} in an image of {width}x{height}", action)
    if max(xmax - xmin, ymax - ymin) < 1:
        fault("box_below_pixel", shown, "kept")
    return xmin, ymin, xmax, ymax


def _record(
    image: AnnotatedImage,
    box: AnnotatedBox,
    frame: Frame,
    full_box: tuple[float, ...],
    size: tuple[int, int],
    label: int,
    faults: list[Fault],
) -> RecordBox:
    width, height = size
    xmin, ymin, xmax, ymax = _clipped(full_box, size)
    return RecordBox(
        ymin / height,
        xmin / width,
        ymax / height,
        xmax / width,
        label,
        box.name,
        _area(image, box, frame, full_box, (xmin, ymin, xmax, ymax), faults),
        difficult=box.difficult,
        is_crowd=box.is_crowd,
        group_of=box.group_of,
        truncated=box.truncated,
        view=box.view,
        occluded=box.occluded,
        depiction=box.depiction,
    )


def _area(
    image: AnnotatedImage,
    box: AnnotatedBox,
    frame: Frame,
    full_box: tuple[float, ...],
    clipped_box: tuple[float, ...],
    faults: list[Fault],
) -> float:
    """The object's area in stored pixels², as annotated.

    For a clipped box, it is reduced by the same factor as the area of the box. An outline counts whole pixels, so its
    area may exceed that of its box by one row and one column.
    """
    full_area, clipped_area = _area_of(full_box), _area_of(clipped_box)
    if box.area is None:
        return clipped_area
    max_area = (abs(box.xmax - box.xmin) + 1) * (abs(box.ymax - box.ymin) + 1)
    if box.area > max_area:
        faults.append(
            Fault(
                "area_replaced",
                image.where,
                box.item,
                f"area {box.area:g}, but the box {_shown(box)} has at most {max_area:g}",
                "that of the box used",
            )
        )
        return clipped_area
    area = box.area * frame.x_scale * frame.y_scale
    return area if clipped_area == full_area else min(area * clipped_area / full_area, clipped_area)


def _area_of(corners: tuple[float, ...]) -> float:
    return (corners[2] - corners[0]) * (corners[3] - corners[1])


def _clipped(corners: tuple[float, ...], size: tuple[int, int]) -> tuple[float, float, float, float]:
    xmin, ymin, xmax, ymax = corners
    return max(xmin, 0.0), max(ymin, 0.0), min(xmax, float(size[0])), min(ymax, float(size[1]))


def _shown(box: AnnotatedBox) -> str:
    return "({:g}, {:g}, {:g}, {:g})".format(*box[2:6])
