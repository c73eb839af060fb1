"""From annotated boxes in pixels to checked, normalised boxes of a record.

inverted -> refused (or swapped)     without area -> left out     outside -> refused     reaching outside -> clipped     unknown class -> refused
"""

from __future__ import annotations

import math

from detection.data.convert.source import AnnotatedBox, AnnotatedImage
from detection.data.records import RecordBox
from detection.data.report import Fault

_SAME_SHAPE = 0.01  # aspect ratios closer than this mean that an image was resized after it was annotated
_NO_LENGTH = 0.01  # pixels; less would vanish when stored as float32
_LEFT_OUT = "box left out"


def scale_to(image: AnnotatedImage, width: int, height: int, repair: bool) -> tuple[float, float, Fault | None]:
    """Factors from annotated to stored pixels, and the fault where the sizes differ; a fault that is not repaired makes the image unusable."""
    if image.declared_size is None or image.declared_size == (width, height):
        return 1.0, 1.0, None
    declared_width, declared_height = image.declared_size
    value = f"annotated at {declared_width}x{declared_height}, but {image.image_path} has {width}x{height} pixels"
    x_scale, y_scale = width / declared_width, height / declared_height
    if not repair:
        return 1.0, 1.0, Fault("size_mismatch", image.where, "<size>", f"{value}; --on_bad=fix scales them", "image left out")
    if abs(x_scale / y_scale - 1) < _SAME_SHAPE:
        return x_scale, y_scale, Fault("size_mismatch", image.where, "<size>", value, "repaired: boxes scaled")
    if all(box.xmax <= width and box.ymax <= height for box in image.boxes):
        return 1.0, 1.0, Fault("size_mismatch", image.where, "<size>", value, "repaired: boxes fit the image, its size used")
    return 1.0, 1.0, Fault("size_mismatch", image.where, "<size>", f"{value}, and boxes do not fit it", "image left out")


def check(image: AnnotatedImage, width: int, height: int, ids: dict[str, int], map_path: str, repair: bool) -> tuple[list[RecordBox], list[Fault]]:
    """The boxes to record, and what was wrong with the others.

    Args:
        image: as annotated.
        width, height: of the decoded image.
        ids: label of each class.
        map_path: where `ids` come from, for messages.
        repair: swaps the corners of inverted boxes instead of refusing them, and scales boxes made for another size of the image.
    """
    x_scale, y_scale, mismatch = scale_to(image, width, height, repair)
    faults = [mismatch] if mismatch else []
    kept: list[RecordBox] = []
    seen: set[tuple] = set()
    for box in image.boxes:
        corners = (box.xmin, box.ymin, box.xmax, box.ymax)
        shown = "({:g}, {:g}, {:g}, {:g})".format(*corners)

        def fault(kind: str, value: str, action: str, box: AnnotatedBox = box) -> None:
            faults.append(Fault(kind, image.where, box.item, value, action))

        if box.name not in ids:
            fault("class_unknown", f"not in {map_path}", _LEFT_OUT)
            continue
        if not all(map(math.isfinite, corners)):
            fault("box_unreadable", f"{shown} is not finite", _LEFT_OUT)
            continue
        xmin, ymin, xmax, ymax = box.xmin * x_scale, box.ymin * y_scale, box.xmax * x_scale, box.ymax * y_scale
        if xmax < xmin or ymax < ymin:
            if not repair:
                fault("box_inverted", f"(xmin, ymin, xmax, ymax) = {shown}; --on_bad=fix swaps", _LEFT_OUT)
                continue
            fault("box_inverted", shown, "repaired: swapped")
            xmin, xmax, ymin, ymax = min(xmin, xmax), max(xmin, xmax), min(ymin, ymax), max(ymin, ymax)
        if min(xmax - xmin, ymax - ymin) < _NO_LENGTH:
            fault("box_zero_area", shown, _LEFT_OUT)
            continue
        if xmin >= width or ymin >= height or xmax <= 0 or ymax <= 0:
            fault("box_outside", f"{shown} in an image of {width}x{height}", _LEFT_OUT)
            continue
        if xmin < 0 or ymin < 0 or xmax > width or ymax > height:
            xmin, ymin, xmax, ymax = max(xmin, 0.0), max(ymin, 0.0), min(xmax, float(width)), min(ymax, float(height))
            if min(xmax - xmin, ymax - ymin) < _NO_LENGTH:
                fault("box_outside", f"{shown} in an image of {width}x{height}", _LEFT_OUT)
                continue
            fault("box_clipped", f"{shown} in an image of {width}x{height}", "clipped")
        if (box.name, *corners) in seen:
            fault("box_repeated", shown, "kept")
        seen.add((box.name, *corners))
        area = box.area * x_scale * y_scale if box.area is not None else (xmax - xmin) * (ymax - ymin)
        kept.append(
            RecordBox(
                ymin / height,
                xmin / width,
                ymax / height,
                xmax / width,
                ids[box.name],
                box.name,
                area,
                difficult=box.difficult,
                is_crowd=box.is_crowd,
                group_of=box.group_of,
                truncated=box.truncated,
                view=box.view,
            )
        )
    return kept, faults
