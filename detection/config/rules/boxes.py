"""What must hold between the fields of a matcher, a loss, and non-max suppression."""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.message import Message


def argmax_matcher(message: Message, path: str) -> Iterator[str]:
    """ArgMaxMatcher: its two thresholds in order."""
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
    """BatchNonMaxSuppression: its ways of suppressing exclude each other, and its counts fit."""
    if message.use_combined_nms and message.use_class_agnostic_nms:
        yield f"{path}: use_combined_nms does not go with use_class_agnostic_nms; remove the former"
    if message.use_class_agnostic_nms and message.max_classes_per_detection != 1:
        yield (
            f"{path}.max_classes_per_detection ({message.max_classes_per_detection}) must be 1, as"
            " use_class_agnostic_nms gives a box one class"
        )


def loss(message: Message, path: str) -> Iterator[str]:
    """The focal loss and mining both choose what is learnt from."""
    if message.HasField("hard_example_miner") and message.classification_loss.HasField("weighted_sigmoid_focal"):
        yield (
            f"{path}.hard_example_miner does not go with weighted_sigmoid_focal, which weighs hard examples itself;"
            " remove one of the two"
        )
