"""Message `PostProcessing` -> ops.scores.PostProcessing.

change_coordinate_frame has no effect: detections are always relative to the true image, as with its default.
use_static_shapes, use_partitioned_nms, use_combined_nms, use_hard_nms and use_cpu_nms select implementations of the
same result in the reference; here there is one.
"""

from __future__ import annotations

from detection.ops.calibration import CalibratedScores, Curve, CurveOfEach
from detection.ops.nms import MulticlassNms
from detection.ops.scores import PostProcessing, ScoreConverter
from detection.ops.soft_nms import SoftNms
from detection.protos import calibration_pb2, post_processing_pb2

_SCORE_CONVERTERS = {
    post_processing_pb2.PostProcessing.IDENTITY: "identity",
    post_processing_pb2.PostProcessing.SIGMOID: "sigmoid",
    post_processing_pb2.PostProcessing.SOFTMAX: "softmax",
}


def build(message: post_processing_pb2.PostProcessing) -> PostProcessing:
    """Non-max suppression and score conversion."""
    converter = ScoreConverter(_SCORE_CONVERTERS[message.score_converter], message.logit_scale)
    return PostProcessing(
        nms=_nms(message.batch_non_max_suppression),
        score_converter=_calibrated(converter, message.calibration_config),
    )


def _nms(message: post_processing_pb2.BatchNonMaxSuppression) -> MulticlassNms | SoftNms:
    """The suppression; soft NMS has no IoU threshold, since TensorFlow's op, which the reference calls, ignores it."""
    settings = {
        "score_threshold": message.score_threshold,
        "max_detections_per_class": message.max_detections_per_class,
        "max_total_detections": message.max_total_detections,
        "class_agnostic": message.use_class_agnostic_nms,
    }
    if message.soft_nms_sigma > 0:
        return SoftNms(message.soft_nms_sigma, **settings)
    return MulticlassNms(iou_threshold=message.iou_threshold, **settings)


def _calibrated(
    converter: ScoreConverter, message: calibration_pb2.CalibrationConfig
) -> ScoreConverter | CalibratedScores:
    """The score converter with calibration.

    As in the reference, a temperature divides logits and a curve maps scores.
    """
    kind = message.WhichOneof("calibrator")
    if kind == "temperature_scaling_calibration":
        return CalibratedScores(converter, temperature=message.temperature_scaling_calibration.scaler)
    if kind == "function_approximation":
        return CalibratedScores(converter, curve=_curve(message.function_approximation.x_y_pairs))
    if kind == "class_id_function_approximations":
        pairs = message.class_id_function_approximations.class_id_xy_pairs_map
        curves = tuple((column, _curve(pairs[column])) for column in sorted(pairs))
        return CalibratedScores(converter, curve=CurveOfEach(curves))
    return converter


def _curve(message: calibration_pb2.XYPairs) -> Curve:
    return Curve(tuple(pair.x for pair in message.x_y_pair), tuple(pair.y for pair in message.x_y_pair))
