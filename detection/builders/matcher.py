"""Message `Matcher` -> a matcher of ops.matchers. use_matmul_gather has no effect: gathering is batched here."""

from __future__ import annotations

from detection.ops.boxes import CentreInside, Similarity
from detection.ops.matchers import ArgMaxMatcher, BipartiteMatcher, Matcher
from detection.protos import argmax_matcher_pb2, matcher_pb2


def build(message: matcher_pb2.Matcher) -> Matcher:
    """The matcher that is set.

    A box_center_matcher takes the most similar of the boxes that `similarity` leaves to an anchor.
    """
    if message.HasField("bipartite_matcher"):
        return BipartiteMatcher()
    if message.HasField("box_center_matcher"):
        return ArgMaxMatcher(None, None)
    return _argmax(message.argmax_matcher)


def similarity(message: matcher_pb2.Matcher, of_boxes: Similarity) -> Similarity:
    """The similarity for the matcher that is set; a box_center_matcher restricts it to boxes centred in the anchor."""
    return CentreInside(of_boxes) if message.HasField("box_center_matcher") else of_boxes


def _argmax(message: argmax_matcher_pb2.ArgMaxMatcher) -> ArgMaxMatcher:
    ignored = message.ignore_thresholds
    return ArgMaxMatcher(
        matched_threshold=None if ignored else message.matched_threshold,
        unmatched_threshold=None if ignored else message.unmatched_threshold,
        negatives_lower_than_unmatched=message.negatives_lower_than_unmatched,
        force_match_for_each_row=message.force_match_for_each_row,
    )
