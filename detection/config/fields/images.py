"""Image resizers."""

from __future__ import annotations

from detection.config.fields.limits import SIDE
from detection.config.fields.row import ONE_A_CHANNEL, ONE_OR_MORE, Message, all_honoured, honoured

MESSAGES: dict[str, Message] = {
    "ImageResizer": (
        *all_honoured(
            "keep_aspect_ratio_resizer fixed_shape_resizer identity_resizer conditional_shape_resizer "
            "pad_to_multiple_resizer"
        ),
    ),
    "KeepAspectRatioResizer": (
        honoured("min_dimension", ONE_OR_MORE, SIDE, below="max_dimension"),
        honoured("max_dimension", ONE_OR_MORE),
        honoured("resize_method"),
        honoured("pad_to_max_dimension"),
        honoured("convert_to_grayscale"),
        honoured("per_channel_pad_value", counts=ONE_A_CHANNEL),
    ),
    "FixedShapeResizer": (
        honoured("height", ONE_OR_MORE),
        honoured("width", ONE_OR_MORE),
        honoured("resize_method"),
        honoured("convert_to_grayscale"),
    ),
    "IdentityResizer": (),
    "ConditionalShapeResizer": (
        honoured("condition", values=("GREATER", "SMALLER")),
        honoured("size_threshold", ONE_OR_MORE),
        honoured("resize_method"),
        honoured("convert_to_grayscale"),
    ),
    "PadToMultipleResizer": (
        honoured("multiple", ONE_OR_MORE),
        honoured("convert_to_grayscale"),
    ),
}
