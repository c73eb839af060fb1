"""Post-processing: non-max suppression and score conversion."""

from __future__ import annotations

from detection.config.fields.limits import ROWS
from detection.config.fields.row import (
    FRACTION,
    NOT_NEGATIVE,
    ONE_OR_MORE,
    POSITIVE,
    Message,
    all_honoured,
    honoured,
    no_effect,
    refused,
)

_SAME_NMS = "the result is that of plain suppression"
_STATIC = "shapes are always static"
_NEVER = "use function_approximation: the TF Object Detection API never computed it, so that nothing says of what"

MESSAGES: dict[str, Message] = {
    "PostProcessing": (
        honoured("batch_non_max_suppression"),
        honoured("score_converter"),
        honoured("logit_scale", POSITIVE),
        honoured("calibration_config"),
    ),
    "BatchNonMaxSuppression": (
        honoured("score_threshold"),
        honoured("iou_threshold", FRACTION),
        honoured("max_detections_per_class", ONE_OR_MORE, below="max_total_detections"),
        honoured("max_total_detections", ONE_OR_MORE, ROWS),
        no_effect("use_static_shapes", _STATIC),
        honoured("use_class_agnostic_nms"),
        honoured("max_classes_per_detection", ONE_OR_MORE),
        honoured("soft_nms_sigma", NOT_NEGATIVE),
        no_effect("use_partitioned_nms", _SAME_NMS),
        no_effect("use_combined_nms", _SAME_NMS),
        no_effect("change_coordinate_frame", "detections are always relative to the true image, without padding"),
        no_effect("use_hard_nms", "suppression is hard unless soft_nms_sigma is set"),
        no_effect("use_cpu_nms", "TensorFlow places suppression by itself"),
    ),
    "CalibrationConfig": (
        *all_honoured("function_approximation class_id_function_approximations"),
        refused("sigmoid_calibration", _NEVER),
        refused("class_id_sigmoid_calibrations", _NEVER),
        honoured("temperature_scaling_calibration"),
    ),
    "FunctionApproximation": (honoured("x_y_pairs", required=True),),
    "ClassIdFunctionApproximations": (honoured("class_id_xy_pairs_map"),),
    "TemperatureScalingCalibration": (honoured("scaler", POSITIVE, required=True),),
    "XYPairs": (
        honoured("x_y_pair"),
        no_effect("training_data_type", "it is a note on the data that the points were fitted to"),
    ),
    "XYPairs.XYPair": (honoured("x", FRACTION), honoured("y", FRACTION)),
}
