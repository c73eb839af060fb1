"""Message `Matcher` -> a matcher of ops.matchers. use_matmul_gather has no effect: gathering is batched here."""

from __future__ import annotations

from detection.ops.matchers import ArgMaxMatcher, BipartiteMatcher, Matcher
from detection.protos import argmax_matcher_pb2, matcher_pb2


def build(message: matcher_pb2.Matcher) -> Matcher:
    """The matcher that is set."""
    if message.HasField("bipartite_matcher"):
        return BipartiteMatcher()
    return _argmax(message.argmax_matcher)


def _argmax(message: argmax_matcher_pb2.ArgMaxMatcher) -> ArgMaxMatcher:
    ignored = message.ignore_thresholds
    return ArgMaxMatcher(
        matched_threshold=None if ignored else message.matched_threshold,
        unmatched_threshold=None if ignored else message.unmatched_threshold,
        negatives_lower_than_unmatched=message.negatives_lower_than_unmatched,
        force_match_for_each_row=message.force_match_for_each_row,
    )
