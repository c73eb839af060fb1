"""Message `ImageResizer` -> a resizer of data.resize."""

from __future__ import annotations

from detection.data import resize
from detection.errors import ConfigError
from detection.protos import image_resizer_pb2

METHODS = {
    image_resizer_pb2.BILINEAR: resize.Method.BILINEAR,
    image_resizer_pb2.NEAREST_NEIGHBOR: resize.Method.NEAREST_NEIGHBOR,
    image_resizer_pb2.BICUBIC: resize.Method.BICUBIC,
    image_resizer_pb2.AREA: resize.Method.AREA,
}


def build(message: image_resizer_pb2.ImageResizer, path: str = "image_resizer") -> resize.Resizer:
    """`path` names the message in errors. Raises ConfigError where no resizer is chosen or its numbers make no
    sense."""
    kind = message.WhichOneof("image_resizer_oneof")
    if kind is None:
        raise ConfigError(f"{path} is empty; set one, for example fixed_shape_resizer {{ height: 300 width: 300 }}")
    return _BUILDERS[kind](getattr(message, kind), f"{path}.{kind}")


def _fixed_shape(message: image_resizer_pb2.FixedShapeResizer, path: str) -> resize.Resizer:
    _check_positive(message, path, "height", "width")
    return resize.FixedShapeResizer(
        height=message.height,
        width=message.width,
        method=METHODS[message.resize_method],
        convert_to_grayscale=message.convert_to_grayscale,
    )


def _keep_aspect_ratio(message: image_resizer_pb2.KeepAspectRatioResizer, path: str) -> resize.Resizer:
    _check_positive(message, path, "min_dimension", "max_dimension")
    if message.min_dimension > message.max_dimension:
        raise ConfigError(
            f"{path}.min_dimension ({message.min_dimension}) must not exceed max_dimension ({message.max_dimension})"
        )
    pad_values = tuple(message.per_channel_pad_value) or (0.0, 0.0, 0.0)
    if len(pad_values) != 3:
        raise ConfigError(f"{path}.per_channel_pad_value has {len(pad_values)} values; give 3, one a channel, or none")
    return resize.KeepAspectRatioResizer(
        min_dimension=message.min_dimension,
        max_dimension=message.max_dimension,
        pad_to_max_dimension=message.pad_to_max_dimension,
        pad_values=pad_values,
        method=METHODS[message.resize_method],
        convert_to_grayscale=message.convert_to_grayscale,
    )


def _identity(message: image_resizer_pb2.IdentityResizer, path: str) -> resize.Resizer:
    return resize.IdentityResizer()


def _conditional_shape(message: image_resizer_pb2.ConditionalShapeResizer, path: str) -> resize.Resizer:
    _check_positive(message, path, "size_threshold")
    if message.condition == image_resizer_pb2.ConditionalShapeResizer.INVALID:
        raise ConfigError(
            f"{path}.condition is INVALID; set GREATER (shrink what is larger) or SMALLER (enlarge what is smaller)"
        )
    return resize.ConditionalShapeResizer(
        threshold=message.size_threshold,
        smaller=message.condition == image_resizer_pb2.ConditionalShapeResizer.SMALLER,
        method=METHODS[message.resize_method],
        convert_to_grayscale=message.convert_to_grayscale,
    )


def _pad_to_multiple(message: image_resizer_pb2.PadToMultipleResizer, path: str) -> resize.Resizer:
    _check_positive(message, path, "multiple")
    return resize.PadToMultipleResizer(multiple=message.multiple, convert_to_grayscale=message.convert_to_grayscale)


def _check_positive(message: object, path: str, *fields: str) -> None:
    for field in fields:
        if getattr(message, field) <= 0:
            raise ConfigError(f"{path}.{field} is {getattr(message, field)}; it must be at least 1")


_BUILDERS = {
    "fixed_shape_resizer": _fixed_shape,
    "keep_aspect_ratio_resizer": _keep_aspect_ratio,
    "identity_resizer": _identity,
    "conditional_shape_resizer": _conditional_shape,
    "pad_to_multiple_resizer": _pad_to_multiple,
}
