"""Message `PostProcessing` -> ops.scores.PostProcessing.

change_coordinate_frame has no effect: detections are always relative to the true image, which is what its default asks
for. use_static_shapes, use_partitioned_nms, use_combined_nms, use_hard_nms and use_cpu_nms choose between
implementations of the same result in the reference; here there is one.
"""

from __future__ import annotations

from detection.ops.nms import MulticlassNms
from detection.ops.scores import PostProcessing, ScoreConverter
from detection.protos import post_processing_pb2

_SCORE_CONVERTERS = {
    post_processing_pb2.PostProcessing.IDENTITY: "identity",
    post_processing_pb2.PostProcessing.SIGMOID: "sigmoid",
    post_processing_pb2.PostProcessing.SOFTMAX: "softmax",
}


def build(message: post_processing_pb2.PostProcessing) -> PostProcessing:
    """Suppression and conversion of scores."""
    return PostProcessing(
        nms=_nms(message.batch_non_max_suppression),
        score_converter=ScoreConverter(_SCORE_CONVERTERS[message.score_converter], message.logit_scale),
    )


def _nms(message: post_processing_pb2.BatchNonMaxSuppression) -> MulticlassNms:
    return MulticlassNms(
        score_threshold=message.score_threshold,
        iou_threshold=message.iou_threshold,
        max_detections_per_class=message.max_detections_per_class,
        max_total_detections=message.max_total_detections,
        class_agnostic=message.use_class_agnostic_nms,
    )
