"""Message `RegionSimilarityCalculator` -> a pairwise similarity of ops.boxes."""

from __future__ import annotations

from detection.errors import ConfigError
from detection.ops import boxes
from detection.protos import region_similarity_calculator_pb2


def build(
    message: region_similarity_calculator_pb2.RegionSimilarityCalculator, path: str = "similarity_calculator"
) -> boxes.Similarity:
    """`path` names the message in errors. Raises ConfigError where none is chosen or the threshold is not in [0, 1]."""
    kind = message.WhichOneof("region_similarity")
    if kind == "iou_similarity":
        return boxes.iou
    if kind == "ioa_similarity":
        return boxes.ioa
    if kind == "neg_sq_dist_similarity":
        return boxes.neg_sq_dist
    if kind == "thresholded_iou_similarity":
        threshold = message.thresholded_iou_similarity.iou_threshold
        if not 0.0 <= threshold <= 1.0:
            raise ConfigError(f"{path}.thresholded_iou_similarity.iou_threshold ({threshold:g}) must be in [0, 1]")
        return boxes.ThresholdedIou(threshold)
    raise ConfigError(f"{path} is empty; set one, for example iou_similarity {{}}")
