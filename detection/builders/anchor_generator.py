"""Message `AnchorGenerator` -> an anchor generator of ops.anchors.

MultiscaleAnchorGenerator.normalize_coordinates has no effect: anchors are in pixels everywhere here.
"""

from __future__ import annotations

from collections.abc import Sequence

from detection.errors import ConfigError
from detection.ops.anchors import AnchorGenerator, GridAnchors, MultiscaleAnchors, SsdAnchors
from detection.protos import (
    anchor_generator_pb2,
    grid_anchor_generator_pb2,
    multiscale_anchor_generator_pb2,
    ssd_anchor_generator_pb2,
)


def build(message: anchor_generator_pb2.AnchorGenerator, path: str = "anchor_generator") -> AnchorGenerator:
    """`path` names the message in errors. Raises ConfigError where none is chosen, a size is not positive, or there
    would be no anchors."""
    kind = message.WhichOneof("anchor_generator_oneof")
    if kind == "ssd_anchor_generator":
        return _ssd(message.ssd_anchor_generator, f"{path}.{kind}")
    if kind == "grid_anchor_generator":
        return _grid(message.grid_anchor_generator, f"{path}.{kind}")
    if kind == "multiscale_anchor_generator":
        return _multiscale(message.multiscale_anchor_generator, f"{path}.{kind}")
    if kind is None:
        raise ConfigError(f"{path} is empty; set one, for example ssd_anchor_generator {{}}")
    raise ConfigError(
        f"{path}.{kind} is not supported; use ssd_anchor_generator, grid_anchor_generator or"
        " multiscale_anchor_generator"
    )


def _ssd(message: ssd_anchor_generator_pb2.SsdAnchorGenerator, path: str) -> SsdAnchors:
    layers = message.num_layers
    _check_positive(path, message, "num_layers", "base_anchor_height", "base_anchor_width", "scales", "aspect_ratios")
    if not message.scales:
        _check_positive(path, message, "min_scale", "max_scale")
        if message.min_scale > message.max_scale:
            raise ConfigError(
                f"{path}.min_scale ({message.min_scale:g}) must not exceed max_scale ({message.max_scale:g})"
            )
    elif len(message.scales) != layers:
        raise ConfigError(f"{path}.scales has {len(message.scales)} values for num_layers {layers}; list one a layer")
    if message.interpolated_scale_aspect_ratio < 0:
        raise ConfigError(
            f"{path}.interpolated_scale_aspect_ratio ({message.interpolated_scale_aspect_ratio:g}) must not be"
            " negative; 0 disables it"
        )
    if (
        not message.aspect_ratios
        and not message.interpolated_scale_aspect_ratio
        and (layers > 1 or not message.reduce_boxes_in_lowest_layer)
    ):
        raise ConfigError(
            f"{path}.aspect_ratios is empty, so there would be maps without anchors; list some, for example"
            " aspect_ratios: 1.0"
        )
    _check_positive(path, message, "height_stride", "width_stride")
    strides = _pairs(path, "height_stride", message.height_stride, "width_stride", message.width_stride, layers)
    offsets = _pairs(path, "height_offset", message.height_offset, "width_offset", message.width_offset, layers)
    return SsdAnchors.evenly_scaled(
        num_layers=layers,
        min_scale=message.min_scale,
        max_scale=message.max_scale,
        scales=tuple(message.scales),
        aspect_ratios=tuple(message.aspect_ratios),
        interpolated_scale_aspect_ratio=message.interpolated_scale_aspect_ratio,
        reduce_boxes_in_lowest_layer=message.reduce_boxes_in_lowest_layer,
        base_height=message.base_anchor_height,
        base_width=message.base_anchor_width,
        strides=strides,
        offsets=offsets,
    )


def _grid(message: grid_anchor_generator_pb2.GridAnchorGenerator, path: str) -> GridAnchors:
    _check_positive(path, message, "height", "width", "height_stride", "width_stride", "scales", "aspect_ratios")
    _check_filled(path, message, "scales", "aspect_ratios")
    return GridAnchors(
        scales=tuple(message.scales),
        aspect_ratios=tuple(message.aspect_ratios),
        base=(message.height, message.width),
        stride=(message.height_stride, message.width_stride),
        offset=(message.height_offset, message.width_offset),
    )


def _multiscale(message: multiscale_anchor_generator_pb2.MultiscaleAnchorGenerator, path: str) -> MultiscaleAnchors:
    _check_positive(path, message, "anchor_scale", "scales_per_octave", "aspect_ratios")
    _check_filled(path, message, "aspect_ratios")
    if not 0 <= message.min_level <= message.max_level:
        raise ConfigError(
            f"{path}.min_level ({message.min_level}) must be between 0 and max_level ({message.max_level})"
        )
    return MultiscaleAnchors(
        min_level=message.min_level,
        max_level=message.max_level,
        anchor_scale=message.anchor_scale,
        aspect_ratios=tuple(message.aspect_ratios),
        scales_per_octave=message.scales_per_octave,
    )


def _pairs(
    path: str, y_name: str, ys: Sequence[int], x_name: str, xs: Sequence[int], layers: int
) -> tuple[tuple[int, int], ...] | None:
    """One (y, x) a layer, or None where neither list is given."""
    if not ys and not xs:
        return None
    for name, values in ((y_name, ys), (x_name, xs)):
        if len(values) != layers:
            raise ConfigError(
                f"{path}.{name} has {len(values)} values for num_layers {layers}; list one a layer in both {y_name} and"
                f" {x_name}"
            )
    return tuple(zip(ys, xs, strict=True))


def _check_positive(path: str, message: object, *names: str) -> None:
    for name in names:
        value = getattr(message, name)
        for number in [value] if isinstance(value, int | float) else value:
            if not 0 < number < float("inf"):
                raise ConfigError(f"{path}.{name} ({number:g}) must be positive")


def _check_filled(path: str, message: object, *names: str) -> None:
    for name in names:
        if not getattr(message, name):
            raise ConfigError(
                f"{path}.{name} is empty, so there would be no anchors; list some, for example {name}: 1.0"
            )
