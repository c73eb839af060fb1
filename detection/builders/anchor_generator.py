"""Message `AnchorGenerator` -> an anchor generator of ops.anchors.

The field normalize_coordinates has no effect: anchors are in pixels everywhere here.
"""

from __future__ import annotations

from detection.ops.anchors import (
    AnchorGenerator,
    AnchorGrid,
    FlexibleAnchors,
    GridAnchors,
    MultiscaleAnchors,
    SsdAnchors,
)
from detection.protos import (
    anchor_generator_pb2,
    flexible_grid_anchor_generator_pb2,
    grid_anchor_generator_pb2,
    multiscale_anchor_generator_pb2,
    ssd_anchor_generator_pb2,
)


def build(message: anchor_generator_pb2.AnchorGenerator) -> AnchorGenerator:
    """The anchor generator that is set."""
    kind = message.WhichOneof("anchor_generator_oneof")
    return _BUILDERS[kind](getattr(message, kind))


def _ssd(message: ssd_anchor_generator_pb2.SsdAnchorGenerator) -> SsdAnchors:
    return SsdAnchors.evenly_scaled(
        num_layers=message.num_layers,
        min_scale=message.min_scale,
        max_scale=message.max_scale,
        scales=tuple(message.scales),
        aspect_ratios=tuple(message.aspect_ratios),
        interpolated_scale_aspect_ratio=message.interpolated_scale_aspect_ratio,
        reduce_boxes_in_lowest_layer=message.reduce_boxes_in_lowest_layer,
        base_height=message.base_anchor_height,
        base_width=message.base_anchor_width,
        strides=tuple(zip(message.height_stride, message.width_stride, strict=True)) or None,
        offsets=tuple(zip(message.height_offset, message.width_offset, strict=True)) or None,
    )


def _grid(message: grid_anchor_generator_pb2.GridAnchorGenerator) -> GridAnchors:
    return GridAnchors(
        scales=tuple(message.scales),
        aspect_ratios=tuple(message.aspect_ratios),
        base=(message.height, message.width),
        stride=(message.height_stride, message.width_stride),
        offset=(message.height_offset, message.width_offset),
    )


def _multiscale(message: multiscale_anchor_generator_pb2.MultiscaleAnchorGenerator) -> MultiscaleAnchors:
    return MultiscaleAnchors(
        min_level=message.min_level,
        max_level=message.max_level,
        anchor_scale=message.anchor_scale,
        aspect_ratios=tuple(message.aspect_ratios),
        scales_per_octave=message.scales_per_octave,
    )


def _flexible(message: flexible_grid_anchor_generator_pb2.FlexibleGridAnchorGenerator) -> FlexibleAnchors:
    return FlexibleAnchors(
        tuple(
            AnchorGrid(
                shapes=tuple(zip(grid.base_sizes, grid.aspect_ratios, strict=True)),
                stride=(grid.height_stride, grid.width_stride),
                offset=(grid.height_offset, grid.width_offset),
            )
            for grid in message.anchor_grid
        )
    )


_BUILDERS = {
    "ssd_anchor_generator": _ssd,
    "grid_anchor_generator": _grid,
    "multiscale_anchor_generator": _multiscale,
    "flexible_grid_anchor_generator": _flexible,
}
