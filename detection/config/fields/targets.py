"""Matchers, similarities and box coders."""

from __future__ import annotations

from detection.config.fields.row import FRACTION, POSITIVE, Message, all_honoured, honoured, no_effect, refused

_MATMUL = "gathering is batched here"

MESSAGES: dict[str, Message] = {
    "BoxCoder": (
        *all_honoured("faster_rcnn_box_coder mean_stddev_box_coder square_box_coder"),
        refused("keypoint_box_coder", "use faster_rcnn_box_coder: keypoints are not supported"),
        *all_honoured("corner_box_coder center_sqrt_box_coder"),
    ),
    "Matcher": all_honoured("argmax_matcher bipartite_matcher box_center_matcher"),
    "RegionSimilarityCalculator": (
        *all_honoured("neg_sq_dist_similarity iou_similarity ioa_similarity thresholded_iou_similarity"),
    ),
    "FasterRcnnBoxCoder": (
        honoured("y_scale", POSITIVE),
        honoured("x_scale", POSITIVE),
        honoured("height_scale", POSITIVE),
        honoured("width_scale", POSITIVE),
    ),
    "MeanStddevBoxCoder": (honoured("stddev", POSITIVE),),
    "SquareBoxCoder": (
        honoured("y_scale", POSITIVE),
        honoured("x_scale", POSITIVE),
        honoured("length_scale", POSITIVE),
    ),
    "CornerBoxCoder": (
        honoured("unit", POSITIVE),
        honoured("from_anchor"),
    ),
    "CenterSqrtBoxCoder": (honoured("unit", POSITIVE),),
    "ArgMaxMatcher": (
        honoured("matched_threshold", FRACTION),
        honoured("unmatched_threshold", FRACTION),
        honoured("ignore_thresholds"),
        honoured("negatives_lower_than_unmatched"),
        honoured("force_match_for_each_row"),
        no_effect("use_matmul_gather", _MATMUL),
    ),
    "BipartiteMatcher": (no_effect("use_matmul_gather", _MATMUL),),
    "BoxCenterMatcher": (),
    "NegSqDistSimilarity": (),
    "IouSimilarity": (),
    "IoaSimilarity": (),
    "ThresholdedIouSimilarity": (honoured("iou_threshold", FRACTION),),
}
