"""Message `RegionSimilarityCalculator` -> a pairwise similarity of ops.boxes."""

from __future__ import annotations

from detection.ops import boxes
from detection.protos import region_similarity_calculator_pb2


def build(
    message: region_similarity_calculator_pb2.RegionSimilarityCalculator,
) -> boxes.Similarity:
    """The similarity that is set."""
    kind = message.WhichOneof("region_similarity")
    if kind == "iou_similarity":
        return boxes.iou
    if kind == "ioa_similarity":
        return boxes.ioa
    if kind == "neg_sq_dist_similarity":
        return boxes.neg_sq_dist
    return boxes.ThresholdedIou(message.thresholded_iou_similarity.iou_threshold)
