"""How small the images of a detector may be made."""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.message import Message

SMALLEST_SIDE = 33  # pixels of a resized image


def too_small(resizer: Message, path: str, network: str = "", smallest: int = 0) -> Iterator[str]:
    """The bound of the reference's extractors, or that of a `network` whose convolutions without padding need more.

    Single images may be smaller, where they keep their size or are long and thin: they have a map too.
    """
    side, who = (smallest, f"{network} needs") if smallest > SMALLEST_SIDE else (SMALLEST_SIDE, "the extractors need")
    fixed, kept = resizer.fixed_shape_resizer, resizer.keep_aspect_ratio_resizer
    if resizer.HasField("fixed_shape_resizer") and min(fixed.height, fixed.width) < side:
        yield (f"{path}.fixed_shape_resizer is {fixed.height} x {fixed.width}; {who} at least {side} x {side}")
    if resizer.HasField("keep_aspect_ratio_resizer") and kept.min_dimension < side:
        yield (f"{path}.keep_aspect_ratio_resizer.min_dimension is {kept.min_dimension}; {who} at least {side}")
