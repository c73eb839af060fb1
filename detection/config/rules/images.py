"""How small the images of a detector may be made."""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.message import Message

SMALLEST_SIDE = 33  # pixels of a resized image


def too_small(resizer: Message, path: str) -> Iterator[str]:
    """The bound of the reference's extractors. Single images may be smaller, where they keep their size or are long and
    thin: they have a map too."""
    fixed, kept = resizer.fixed_shape_resizer, resizer.keep_aspect_ratio_resizer
    if resizer.HasField("fixed_shape_resizer") and min(fixed.height, fixed.width) < SMALLEST_SIDE:
        yield (
            f"{path}.fixed_shape_resizer is {fixed.height} x {fixed.width}; the extractors need at least"
            f" {SMALLEST_SIDE} x {SMALLEST_SIDE}"
        )
    if resizer.HasField("keep_aspect_ratio_resizer") and kept.min_dimension < SMALLEST_SIDE:
        yield (
            f"{path}.keep_aspect_ratio_resizer.min_dimension is {kept.min_dimension}; the extractors need at least"
            f" {SMALLEST_SIDE}"
        )
