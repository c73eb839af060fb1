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
from detection.protos import faster_rcnn_pb2

# Ren et al. 2015, section 3.1.2.
CODER = FasterRcnnBoxCoder(10.0, 10.0, 5.0, 5.0)
RPN_MATCHER = ArgMaxMatcher(0.7, 0.3, force_match_for_each_row=True)


def first_assigner(message: faster_rcnn_pb2.FasterRcnn) -> TargetAssigner:
    """Anchors and groundtruth -> Targets of one class."""
    return _assigner(message, "first_stage", RPN_MATCHER)


def second_assigner(message: faster_rcnn_pb2.FasterRcnn) -> TargetAssigner:
    """Proposals and groundtruth -> Targets."""
    return _assigner(message, "second_stage", _region_matcher(message))


def localization(message: faster_rcnn_pb2.FasterRcnn, stage: str) -> LocalizationLoss | LossSum:
    """The localisation loss of `stage` ("first_stage" or "second_stage"), for weights that are shares of the loss."""
    field = f"{stage}_localization_loss"
    return (
        losses.localization(getattr(message, field), shares=True) if message.HasField(field) else WeightedSmoothL1(1.0)
    )


def _assigner(message: faster_rcnn_pb2.FasterRcnn, stage: str, usual: Matcher) -> TargetAssigner:
    chosen = getattr(message, f"{stage}_matcher")
    return TargetAssigner(
        similarity=matcher.similarity(chosen, _similarity(message, stage)),
        matcher=matcher.build(chosen) if message.HasField(f"{stage}_matcher") else usual,
        box_coder=_coder(message, stage),
    )


def _similarity(message: faster_rcnn_pb2.FasterRcnn, stage: str) -> boxes.Similarity:
    """IoU unless another one is set; by distance, boxes of zeros would be near those in the corner of the image."""
    field = f"{stage}_similarity_calculator"
    built = similarity.build(getattr(message, field)) if message.HasField(field) else boxes.iou
    return boxes.OfAreas(built) if built is boxes.neg_sq_dist else built


def _coder(message: faster_rcnn_pb2.FasterRcnn, stage: str) -> BoxCoder:
    field = f"{stage}_box_coder"
    return box_coder.build(getattr(message, field)) if message.HasField(field) else CODER


def _region_matcher(message: faster_rcnn_pb2.FasterRcnn) -> ArgMaxMatcher:
    """Proposals with an IoU below the lower threshold are ignored; with a threshold of 0 none is."""
    matched, background = message.second_stage_matched_iou, message.second_stage_background_iou
    if background == 0:
        return ArgMaxMatcher(matched, matched)
    return ArgMaxMatcher(matched, background, negatives_lower_than_unmatched=False)
