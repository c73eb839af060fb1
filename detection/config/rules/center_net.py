"""What must hold between the fields of a CenterNet."""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.message import Message

from detection.config import fields
from detection.config.rules import images

PYRAMIDS = ("mobilenet_v2_fpn", "mobilenet_v2_fpn_sep_conv")  # types with configurable top-down layers
_HEADS = (
    ("object_center_params", "center_head_params"),
    ("object_detection_task", "scale_head_params"),
    ("object_detection_task", "offset_head_params"),
)


def center_net(message: Message, path: str) -> Iterator[str]:
    """CenterNet: losses must fit heat maps and boxes at points, and heads need a kernel size per layer."""
    yield from images.too_small(message.image_resizer, f"{path}.image_resizer")
    for part, field in (
        ("object_detection_task", "localization_loss"),
        ("object_center_params", "classification_loss"),
    ):
        yield from _loss(getattr(message, part), part, field, path)
    for part, field in _HEADS:
        head = getattr(getattr(message, part), field)
        depths, kernels = len(head.num_filters) or 1, len(head.kernel_sizes) or 1
        if depths != kernels:
            yield (
                f"{path}.{part}.{field}.num_filters has {depths} values and kernel_sizes {kernels}; give both"
                f" the same number,"
                " one per convolution"
            )


def _loss(message: Message, part: str, field: str, path: str) -> Iterator[str]:
    kind = getattr(message, field).WhichOneof(field)
    (row,) = (row for row in fields.rows(f"CenterNet.{_MESSAGES[part]}").values() if row.name == field)
    if kind is not None and kind not in row.choose:
        what = "heat maps" if field == "classification_loss" else "sizes and offsets"
        yield f"{path}.{part}.{field}.{kind} is not for {what}; use {row.choose[0]}"


_MESSAGES = {"object_detection_task": "ObjectDetection", "object_center_params": "ObjectCenterParams"}


def without_effect(message: Message, path: str) -> Iterator[str]:
    """CenterNetFeatureExtractor: warns of fields that only some networks use, as in the TF Object Detection API."""
    if message.type in PYRAMIDS:
        return
    for field in ("use_separable_conv", "upsampling_interpolation"):
        value = getattr(message, field)
        if value != message.DESCRIPTOR.fields_by_name[field].default_value:
            shown = str(value).lower() if isinstance(value, bool) else repr(value)
            yield f"{path}.{field} ({shown}) has no effect: it applies to the top-down layers of {PYRAMIDS[0]}"


def converter_without_effect(message: Message, path: str) -> Iterator[str]:
    """CenterNet: warns of a score converter, since scores are sigmoids already."""
    post = message.post_processing
    field = post.DESCRIPTOR.fields_by_name["score_converter"]
    if post.score_converter != field.default_value:
        name = field.enum_type.values_by_number[post.score_converter].name
        yield f"{path}.post_processing.score_converter ({name}) has no effect: scores are those of the heat maps"


def heat_map_loss(message: Message, path: str) -> Iterator[str]:
    """ClassificationLoss of anchors or regions: rejects the loss for heat maps."""
    if not path.startswith("model.center_net") and message.HasField("penalty_reduced_logistic_focal_loss"):
        yield (
            f"{path}.penalty_reduced_logistic_focal_loss is for the heat maps of model.center_net; use"
            " weighted_sigmoid_focal"
        )
