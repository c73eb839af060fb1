"""What must hold between the fields of a matcher, a loss, and non-max suppression."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from google.protobuf.message import Message


def argmax_matcher(message: Message, path: str) -> Iterator[str]:
    """ArgMaxMatcher: checks the order of its two thresholds."""
    matched, unmatched = message.matched_threshold, message.unmatched_threshold
    if message.ignore_thresholds:
        return
    if unmatched > matched:
        yield f"{path}.unmatched_threshold ({unmatched:g}) must not exceed matched_threshold ({matched:g})"
    if unmatched == matched and not message.negatives_lower_than_unmatched:
        yield (
            f"{path}.unmatched_threshold ({unmatched:g}) must be below matched_threshold ({matched:g}) when"
            " negatives_lower_than_unmatched is false: the negatives lie between them"
        )


def non_max_suppression(message: Message, path: str) -> Iterator[str]:
    """BatchNonMaxSuppression: its methods exclude each other, and its counts must be consistent."""
    if message.use_combined_nms and message.use_class_agnostic_nms:
        yield f"{path}: use_combined_nms cannot be combined with use_class_agnostic_nms; remove the former"
    for field in ("use_combined_nms", "use_hard_nms"):
        if message.soft_nms_sigma > 0 and getattr(message, field):
            yield (
                f"{path}.soft_nms_sigma ({message.soft_nms_sigma:g}) cannot be combined with {field}, which removes"
                " boxes instead of lowering their scores; remove one of them"
            )
    if message.use_class_agnostic_nms and message.max_classes_per_detection != 1:
        yield (
            f"{path}.max_classes_per_detection ({message.max_classes_per_detection}) must be 1, as"
            " use_class_agnostic_nms gives each box one class, as in the TF Object Detection API"
        )


def curve(message: Message, path: str) -> Iterator[str]:
    """XYPairs: x must increase."""
    points = [pair.x for pair in message.x_y_pair]
    if not points:
        yield f"{path}.x_y_pair is empty; give points of the curve, for example x_y_pair {{ x: 0 y: 0 }}"
    for index, (left, right) in enumerate(itertools.pairwise(points), start=1):
        if right <= left:
            yield (
                f"{path}.x_y_pair[{index}].x ({right:g}) must be more than the x before it ({left:g}); list the points"
                " from left to right"
            )


def calibrated_classes(message: Message, path: str) -> Iterator[str]:
    """ClassIdFunctionApproximations: keys are label ids, or 0 for the background."""
    for column in sorted(message.class_id_xy_pairs_map):
        if column < 0:
            yield f"{path}.class_id_xy_pairs_map has the key {column}; keys are label ids, or 0 for the background"


def loss_sum(message: Message, path: str) -> Iterator[str]:
    """LocalizationLossSum: needs terms, each with a loss, and not all of weight 0."""
    if not message.term:
        yield f"{path}.term is empty; give losses to add up, for example term {{ weighted_smooth_l1 {{ }} }}"
    elif not any(term.weight for term in message.term):
        yield f"{path}.term has the weight 0 only; give at least one loss another weight"


def code_size(coder: Message) -> int:
    """Numbers in a code of a BoxCoder."""
    return 3 if coder.HasField("square_box_coder") else 4


def loss(message: Message, path: str) -> Iterator[str]:
    """Loss: hard example mining cannot be combined with expected weights or the focal loss."""
    if message.HasField("hard_example_miner") and message.expected_loss_weights:
        yield (
            f"{path}.hard_example_miner cannot be combined with expected_loss_weights, which weighs every"
            f" example; remove one"
            " of the two"
        )
    if message.HasField("hard_example_miner") and message.classification_loss.HasField("weighted_sigmoid_focal"):
        yield (
            f"{path}.hard_example_miner cannot be combined with weighted_sigmoid_focal, which weighs hard"
            f" examples itself;"
            " remove one of the two"
        )
