"""Minimum sizes of a detector's images."""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.message import Message

SMALLEST_SIDE = 33  # pixels of a resized image


def too_small(resizer: Message, path: str, network: str = "", smallest: int = 0) -> Iterator[str]:
    """Minimum image size: the bound of the reference's extractors, or of a `network` that needs more.

    It applies to the resizer's settings; single images may be smaller if they keep their size or are very elongated.
    """
    side, reason = (
        (smallest, f"{network} needs") if smallest > SMALLEST_SIDE else (SMALLEST_SIDE, "the extractors need")
    )
    fixed, kept = resizer.fixed_shape_resizer, resizer.keep_aspect_ratio_resizer
    if resizer.HasField("fixed_shape_resizer") and min(fixed.height, fixed.width) < side:
        yield (f"{path}.fixed_shape_resizer is {fixed.height} x {fixed.width}; {reason} at least {side} x {side}")
    if resizer.HasField("keep_aspect_ratio_resizer") and kept.min_dimension < side:
        yield (f"{path}.keep_aspect_ratio_resizer.min_dimension is {kept.min_dimension}; {reason} at least {side}")
