"""The main properties of a detector as short texts: the columns of the survey's Table 3 and the input size."""

from __future__ import annotations

import os
from typing import Any

from google.protobuf.message import Message

from detection.config import files
from detection.config.schema import short

_PREFIXES = ("faster_rcnn_", "ssd_")


def read(path: str | os.PathLike[str]) -> dict[str, str]:
    """Properties of a config file, see `of`.

    Raises:
        ConfigError: the config cannot be read.
    """
    return of(files.load(path).model)


def of(model: Message) -> dict[str, str]:
    """Properties of a DetectionModel message, by name.

    The names are meta_architecture, feature_extractor, resolution, output_stride, loss_ratio (localisation to
    classification) and location_loss. Properties that the config does not set are left out, and so is the output stride
    of an SSD, which uses several maps.
    """
    kind = model.WhichOneof("model")
    detector = getattr(model, kind or "", None)
    if detector is None or not hasattr(detector, "feature_extractor"):
        return {}
    extractor = detector.feature_extractor.type
    for prefix in _PREFIXES:
        extractor = extractor.removeprefix(prefix)
    said = {
        "meta_architecture": kind,
        "feature_extractor": extractor,
        "resolution": _resolution(detector.image_resizer),
    }
    if kind == "ssd":
        weights = detector.loss.localization_weight, detector.loss.classification_weight
        said["location_loss"] = _location_loss(detector.loss.localization_loss)
    elif kind == "center_net":
        task, center = detector.object_detection_task, detector.object_center_params
        weights = task.task_loss_weight * task.scale_loss_weight, center.object_center_loss_weight
        said |= {
            "output_stride": "4",
            "location_loss": _location_loss(task.localization_loss),
        }
    else:
        if kind == "faster_rcnn" and detector.second_stage_box_predictor.HasField("rfcn_box_predictor"):
            said["meta_architecture"] = "rfcn"
        weights = detector.second_stage_localization_loss_weight, detector.second_stage_classification_loss_weight
        said |= {
            "output_stride": str(detector.feature_extractor.first_stage_features_stride),
            "location_loss": _location_loss(detector.second_stage_localization_loss) or "smooth_l1",
        }
    said["loss_ratio"] = ":".join(short(weight) for weight in weights)
    return {name: value for name, value in said.items() if value}


def _location_loss(message: Message) -> str:
    """`smooth_l1`, or `smooth_l1+iou` for a sum; empty if none is set."""
    kind = message.WhichOneof("localization_loss") or ""
    if kind == "sum":
        return "+".join(map(_location_loss, message.sum.term))
    return kind.removeprefix("weighted_").removesuffix("_localization_loss")


def _resolution(resizer: Message) -> str:
    kind = resizer.WhichOneof("image_resizer_oneof")
    chosen: Any = getattr(resizer, kind or "", None)
    if kind == "fixed_shape_resizer":
        return f"{chosen.height}x{chosen.width}"
    return f"{chosen.min_dimension}-{chosen.max_dimension}" if kind == "keep_aspect_ratio_resizer" else ""
