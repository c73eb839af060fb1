"""From scores to detections: non-max suppression and score conversion."""

from __future__ import annotations

from detection.config.fields.limits import ROWS
from detection.config.fields.row import FRACTION, ONE_OR_MORE, POSITIVE, Message, honoured, no_effect, refused

_SAME_NMS = "the result is that of plain suppression"
_STATIC = "shapes are always static"

MESSAGES: dict[str, Message] = {
    "PostProcessing": (
        honoured("batch_non_max_suppression"),
        honoured("score_converter"),
        honoured("logit_scale", POSITIVE),
        refused("calibration_config", "remove it: scores are exported as the score converter gives them"),
    ),
    "BatchNonMaxSuppression": (
        honoured("score_threshold"),
        honoured("iou_threshold", FRACTION),
        honoured("max_detections_per_class", ONE_OR_MORE, below="max_total_detections"),
        honoured("max_total_detections", ONE_OR_MORE, ROWS),
        no_effect("use_static_shapes", _STATIC),
        honoured("use_class_agnostic_nms"),
        honoured("max_classes_per_detection", ONE_OR_MORE),
        refused("soft_nms_sigma", "set 0: suppression is hard"),
        no_effect("use_partitioned_nms", _SAME_NMS),
        no_effect("use_combined_nms", _SAME_NMS),
        no_effect("change_coordinate_frame", "detections are always relative to the true image, without padding"),
        no_effect("use_hard_nms", "suppression is always hard"),
        no_effect("use_cpu_nms", "TensorFlow places suppression by itself"),
    ),
}
