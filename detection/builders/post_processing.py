"""Message `PostProcessing` -> ops.scores.PostProcessing.

change_coordinate_frame has no effect: detections are always relative to the true image, which is what its default asks
for. use_static_shapes, use_partitioned_nms, use_combined_nms, use_hard_nms and use_cpu_nms choose between
implementations of the same result in the reference; here there is one.
"""

from __future__ import annotations

from detection.errors import ConfigError
from detection.ops.nms import MulticlassNms
from detection.ops.scores import PostProcessing, ScoreConverter
from detection.protos import post_processing_pb2

_SCORE_CONVERTERS = {
    post_processing_pb2.PostProcessing.IDENTITY: "identity",
    post_processing_pb2.PostProcessing.SIGMOID: "sigmoid",
    post_processing_pb2.PostProcessing.SOFTMAX: "softmax",
}


def build(message: post_processing_pb2.PostProcessing, path: str = "post_processing") -> PostProcessing:
    """`path` names the message in errors. Raises ConfigError for what is out of range, contradictory or not
    supported."""
    if message.HasField("calibration_config"):
        raise ConfigError(f"{path}.calibration_config is not supported; remove it")
    if not 0.0 < message.logit_scale < float("inf"):
        raise ConfigError(f"{path}.logit_scale ({message.logit_scale:g}) must be positive")
    return PostProcessing(
        nms=_nms(message.batch_non_max_suppression, f"{path}.batch_non_max_suppression"),
        score_converter=ScoreConverter(_SCORE_CONVERTERS[message.score_converter], message.logit_scale),
    )


def _nms(message: post_processing_pb2.BatchNonMaxSuppression, path: str) -> MulticlassNms:
    if not 0.0 <= message.iou_threshold <= 1.0:
        raise ConfigError(f"{path}.iou_threshold ({message.iou_threshold:g}) must be in [0, 1]")
    if not abs(message.score_threshold) < float("inf"):
        raise ConfigError(f"{path}.score_threshold ({message.score_threshold:g}) must be finite")
    for name in ("max_detections_per_class", "max_total_detections"):
        if getattr(message, name) < 1:
            raise ConfigError(f"{path}.{name} ({getattr(message, name)}) must be at least 1")
    if message.max_detections_per_class > message.max_total_detections:
        raise ConfigError(
            f"{path}.max_detections_per_class ({message.max_detections_per_class}) must not exceed "
            f"max_total_detections ({message.max_total_detections})"
        )
    if message.soft_nms_sigma != 0.0:
        fault = "must not be negative" if message.soft_nms_sigma < 0.0 else "is not supported; set 0"
        raise ConfigError(f"{path}.soft_nms_sigma ({message.soft_nms_sigma:g}) {fault}")
    if message.use_class_agnostic_nms and message.use_combined_nms:
        raise ConfigError(f"{path}: use_combined_nms cannot be used with use_class_agnostic_nms; remove one of the two")
    if message.use_class_agnostic_nms and message.max_classes_per_detection != 1:
        raise ConfigError(
            f"{path}.max_classes_per_detection ({message.max_classes_per_detection}) is not supported; set 1"
        )
    return MulticlassNms(
        score_threshold=message.score_threshold,
        iou_threshold=message.iou_threshold,
        max_detections_per_class=message.max_detections_per_class,
        max_total_detections=message.max_total_detections,
        class_agnostic=message.use_class_agnostic_nms,
    )
