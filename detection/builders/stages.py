"""What either stage of a two-stage detector shares with an SSD: localisation loss, matcher, box coder, similarity.

A field that is not set leaves what the TF Object Detection API has fixed, from Ren et al. 2015 and Girshick 2015.
"""

from __future__ import annotations

from detection.builders import box_coder, losses, matcher, similarity
from detection.losses.weighted_smooth_l1 import WeightedSmoothL1
from detection.meta_architectures.multibox_loss import LocalizationLoss, LossSum
from detection.ops import boxes
from detection.ops.box_coders import BoxCoder, FasterRcnnBoxCoder
from detection.ops.matchers import ArgMaxMatcher, Matcher
from detection.ops.targets import TargetAssigner
from detection.protos import box_coder_pb2, faster_rcnn_pb2, losses_pb2, matcher_pb2, region_similarity_calculator_pb2

# Ren et al. 2015, section 3.1.2.
CODER = FasterRcnnBoxCoder(10.0, 10.0, 5.0, 5.0)
RPN_MATCHER = ArgMaxMatcher(0.7, 0.3, force_match_for_each_row=True)


def first_assigner(message: faster_rcnn_pb2.FasterRcnn) -> TargetAssigner:
    """Anchors and groundtruth -> Targets of one class."""
    return TargetAssigner(
        similarity=_similarity(message.first_stage_similarity_calculator, message.first_stage_matcher),
        matcher=_matcher(message.first_stage_matcher) or RPN_MATCHER,
        box_coder=_coder(message.first_stage_box_coder),
    )


def second_assigner(message: faster_rcnn_pb2.FasterRcnn) -> TargetAssigner:
    """Proposals and groundtruth -> Targets."""
    return TargetAssigner(
        similarity=_similarity(message.second_stage_similarity_calculator, message.second_stage_matcher),
        matcher=_matcher(message.second_stage_matcher) or _region_matcher(message),
        box_coder=_coder(message.second_stage_box_coder),
    )


def localization(message: losses_pb2.LocalizationLoss) -> LocalizationLoss | LossSum:
    """The localisation loss of a stage, for weights that are shares of the loss; smooth L1 unless one is set."""
    if message.WhichOneof("localization_loss") is None:
        return WeightedSmoothL1(1.0)
    return losses.localization(message, shares=True)


def _similarity(
    message: region_similarity_calculator_pb2.RegionSimilarityCalculator, chosen: matcher_pb2.Matcher
) -> boxes.Similarity:
    """IoU unless another one is set; by distance, boxes of zeros would be near those in the corner of the image."""
    built = boxes.iou if message.WhichOneof("region_similarity") is None else similarity.build(message)
    return matcher.similarity(chosen, boxes.OfAreas(built) if built is boxes.neg_sq_dist else built)


def _matcher(message: matcher_pb2.Matcher) -> Matcher | None:
    return None if message.WhichOneof("matcher_oneof") is None else matcher.build(message)


def _coder(message: box_coder_pb2.BoxCoder) -> BoxCoder:
    return CODER if message.WhichOneof("box_coder_oneof") is None else box_coder.build(message)


def _region_matcher(message: faster_rcnn_pb2.FasterRcnn) -> ArgMaxMatcher:
    """Proposals with an IoU below the lower threshold are ignored; with a threshold of 0 none is."""
    matched, background = message.second_stage_matched_iou, message.second_stage_background_iou
    if background == 0:
        return ArgMaxMatcher(matched, matched)
    return ArgMaxMatcher(matched, background, negatives_lower_than_unmatched=False)
