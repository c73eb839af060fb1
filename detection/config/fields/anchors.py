"""Anchor generators."""

from __future__ import annotations

from detection.config.fields.row import (
    NOT_NEGATIVE,
    ONE_OR_MORE,
    POSITIVE,
    Limit,
    Message,
    all_honoured,
    honoured,
    no_effect,
)

_PIXELS = "anchors are in pixels everywhere"
_LARGEST = Limit(1_000_000, "anchors would be larger than any image")

MESSAGES: dict[str, Message] = {
    "AnchorGenerator": (
        *all_honoured(
            "grid_anchor_generator ssd_anchor_generator multiscale_anchor_generator flexible_grid_anchor_generator"
        ),
    ),
    "GridAnchorGenerator": (
        honoured("height", ONE_OR_MORE),
        honoured("width", ONE_OR_MORE),
        honoured("height_stride", ONE_OR_MORE),
        honoured("width_stride", ONE_OR_MORE),
        honoured("height_offset"),
        honoured("width_offset"),
        honoured("scales", POSITIVE, _LARGEST),
        honoured("aspect_ratios", POSITIVE, _LARGEST),
    ),
    "SsdAnchorGenerator": (
        honoured("num_layers", ONE_OR_MORE, Limit(20, "each further map has half the side of the one before it")),
        honoured("min_scale", POSITIVE, below="max_scale"),
        honoured("max_scale", POSITIVE),
        honoured("scales", POSITIVE, _LARGEST),
        honoured("aspect_ratios", POSITIVE, _LARGEST),
        honoured("interpolated_scale_aspect_ratio", NOT_NEGATIVE),
        honoured("reduce_boxes_in_lowest_layer"),
        honoured("base_anchor_height", POSITIVE),
        honoured("base_anchor_width", POSITIVE),
        honoured("height_stride", ONE_OR_MORE),
        honoured("width_stride", ONE_OR_MORE),
        honoured("height_offset"),
        honoured("width_offset"),
    ),
    "MultiscaleAnchorGenerator": (
        honoured("min_level", NOT_NEGATIVE, below="max_level"),
        honoured("max_level", limit=Limit(20, "a level's stride is 2 to the power of it, in pixels")),
        honoured("anchor_scale", POSITIVE, _LARGEST),
        honoured("aspect_ratios", POSITIVE, _LARGEST),
        honoured("scales_per_octave", ONE_OR_MORE, Limit(1_000, "every cell of a map has an anchor for each")),
        no_effect("normalize_coordinates", _PIXELS),
    ),
    "FlexibleGridAnchorGenerator": (
        honoured("anchor_grid"),
        no_effect("normalize_coordinates", _PIXELS),
    ),
    "AnchorGrid": (
        honoured("base_sizes", POSITIVE, _LARGEST),
        honoured("aspect_ratios", POSITIVE, _LARGEST),
        honoured("height_stride", ONE_OR_MORE, required=True),
        honoured("width_stride", ONE_OR_MORE, required=True),
        honoured("height_offset"),
        honoured("width_offset"),
    ),
}
