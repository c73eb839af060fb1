"""Computes the box around a COCO segmentation: polygons, or a mask in run lengths (plain or packed as text).

Run lengths count pixels column by column, alternately outside and inside. They are decoded here with every number
checked, because a file may contain anything; the boxes equal those of COCO's `maskUtils.toBbox`.
"""

from __future__ import annotations

from collections.abc import Iterable

from detection.data.convert.coco_values import is_number

Corners = tuple[float, float, float, float]  # xmin, ymin, xmax, ymax; pixels
_MAX_SIDE = 2**20
_MAX_DIGITS = 12  # of a packed number, five bits each


def corners(segmentation: object, size: tuple[int, int] | None) -> Corners:
    """The box around a segmentation.

    Args:
        segmentation: the value in the file.
        size: declared width and height of the image, which a mask must have; None if unknown.

    Raises:
        ValueError: the segmentation is invalid or empty.
    """
    if isinstance(segmentation, dict):
        return _around_mask(segmentation, size)
    if not isinstance(segmentation, list) or not segmentation:
        raise ValueError("no segmentation")
    polygons = [segmentation] if all(map(is_number, segmentation)) else segmentation
    points = []
    for polygon in polygons:
        if not isinstance(polygon, list) or len(polygon) % 2 or not all(map(is_number, polygon)):
            raise ValueError(
                "a segmentation that is neither polygons [[x, y, x, y, ...], ...] nor run lengths {size, counts}"
            )
        points += polygon
    if len(points) < 4:
        raise ValueError("a segmentation of fewer than two points")
    x, y = points[::2], points[1::2]
    return float(min(x)), float(min(y)), float(max(x)), float(max(y))


def _around_mask(mask: dict, size: tuple[int, int] | None) -> Corners:
    lengths, counts = mask.get("size"), mask.get("counts")
    if (
        not isinstance(lengths, list)
        or len(lengths) != 2
        or not all(isinstance(side, int) and 0 < side < _MAX_SIDE for side in lengths)
    ):
        raise ValueError("run lengths without a size [height, width]")
    height, width = lengths
    if size is not None and size != (width, height):
        raise ValueError(f"run lengths of a mask of {width}x{height}, but the image has {size[0]}x{size[1]}")
    if isinstance(counts, str):
        counts = list(_unpacked(counts))
    if not isinstance(counts, list) or not all(
        isinstance(count, int) and 0 <= count <= height * width for count in counts
    ):
        raise ValueError("run lengths without counts")
    if sum(counts) != height * width:
        raise ValueError(f"run lengths of {sum(counts)} pixels for a mask of {width}x{height}")
    left, top, right, bottom = width, height, 0, 0
    start = 0
    for number, count in enumerate(counts):
        if number % 2 and count:
            (first, upper), (last, lower) = divmod(start, height), divmod(start + count - 1, height)
            if first != last:  # It continues in the next column, so it covers the whole height.
                upper, lower = 0, height - 1
            left, top, right, bottom = min(left, first), min(top, upper), max(right, last + 1), max(bottom, lower + 1)
        start += count
    if right <= left:
        raise ValueError("run lengths of an empty mask")
    return float(left), float(top), float(right), float(bottom)


def _unpacked(text: str) -> Iterable[int]:
    """Decodes the counts of a packed mask.

    Each character has five bits, low bits first; from the fourth count on, the value is the difference to the count two
    before.
    """
    counts: list[int] = []
    value = digits = 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64 or digits >= _MAX_DIGITS:
            raise ValueError("run lengths whose counts are damaged")
        value |= (code & 31) << 5 * digits
        digits += 1
        if code & 32:
            continue
        if code & 16:
            value -= 1 << 5 * digits
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = digits = 0
    if digits:
        raise ValueError("run lengths whose counts are truncated")
    return counts
