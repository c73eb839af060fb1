"""Message `ImageResizer` -> a resizer of data.resize."""

from __future__ import annotations

from detection.data import resize
from detection.protos import image_resizer_pb2

METHODS = {
    image_resizer_pb2.BILINEAR: resize.Method.BILINEAR,
    image_resizer_pb2.NEAREST_NEIGHBOR: resize.Method.NEAREST_NEIGHBOR,
    image_resizer_pb2.BICUBIC: resize.Method.BICUBIC,
    image_resizer_pb2.AREA: resize.Method.AREA,
}


def build(message: image_resizer_pb2.ImageResizer) -> resize.Resizer:
    """The resizer that is set."""
    kind = message.WhichOneof("image_resizer_oneof")
    return _BUILDERS[kind](getattr(message, kind))


def _fixed_shape(message: image_resizer_pb2.FixedShapeResizer) -> resize.Resizer:
    return resize.FixedShapeResizer(
        height=message.height,
        width=message.width,
        method=METHODS[message.resize_method],
        convert_to_grayscale=message.convert_to_grayscale,
    )


def _keep_aspect_ratio(message: image_resizer_pb2.KeepAspectRatioResizer) -> resize.Resizer:
    pad_values = tuple(message.per_channel_pad_value) or (0.0, 0.0, 0.0)
    return resize.KeepAspectRatioResizer(
        min_dimension=message.min_dimension,
        max_dimension=message.max_dimension,
        pad_to_max_dimension=message.pad_to_max_dimension,
        pad_values=pad_values,
        method=METHODS[message.resize_method],
        convert_to_grayscale=message.convert_to_grayscale,
    )


def _identity(message: image_resizer_pb2.IdentityResizer) -> resize.Resizer:
    return resize.IdentityResizer()


def _conditional_shape(message: image_resizer_pb2.ConditionalShapeResizer) -> resize.Resizer:
    return resize.ConditionalShapeResizer(
        threshold=message.size_threshold,
        smaller=message.condition == image_resizer_pb2.ConditionalShapeResizer.SMALLER,
        method=METHODS[message.resize_method],
        convert_to_grayscale=message.convert_to_grayscale,
    )


def _pad_to_multiple(message: image_resizer_pb2.PadToMultipleResizer) -> resize.Resizer:
    return resize.PadToMultipleResizer(multiple=message.multiple, convert_to_grayscale=message.convert_to_grayscale)


_BUILDERS = {
    "fixed_shape_resizer": _fixed_shape,
    "keep_aspect_ratio_resizer": _keep_aspect_ratio,
    "identity_resizer": _identity,
    "conditional_shape_resizer": _conditional_shape,
    "pad_to_multiple_resizer": _pad_to_multiple,
}
