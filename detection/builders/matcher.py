"""Message `Matcher` -> a matcher of ops.matchers. use_matmul_gather has no effect: gathering is batched here."""

from __future__ import annotations

import math

from detection.errors import ConfigError
from detection.ops.matchers import ArgMaxMatcher, BipartiteMatcher, Matcher
from detection.protos import argmax_matcher_pb2, matcher_pb2


def build(message: matcher_pb2.Matcher, path: str = "matcher") -> Matcher:
    """`path` names the message in errors. Raises ConfigError where none is chosen or the thresholds contradict each
    other."""
    kind = message.WhichOneof("matcher_oneof")
    if kind == "argmax_matcher":
        return _argmax(message.argmax_matcher, f"{path}.argmax_matcher")
    if kind == "bipartite_matcher":
        return BipartiteMatcher()
    raise ConfigError(f"{path} is empty; set one, for example argmax_matcher {{}}")


def _argmax(message: argmax_matcher_pb2.ArgMaxMatcher, path: str) -> ArgMaxMatcher:
    matched, unmatched = message.matched_threshold, message.unmatched_threshold
    if message.ignore_thresholds:
        matched = unmatched = None
    elif not (math.isfinite(matched) and math.isfinite(unmatched)):
        raise ConfigError(
            f"{path}: matched_threshold ({matched:g}) and unmatched_threshold ({unmatched:g}) must be finite"
        )
    elif unmatched > matched:
        raise ConfigError(f"{path}.unmatched_threshold ({unmatched:g}) must not exceed matched_threshold ({matched:g})")
    elif unmatched == matched and not message.negatives_lower_than_unmatched:
        raise ConfigError(
            f"{path}: with negatives_lower_than_unmatched false, negatives lie between the thresholds, so "
            f"unmatched_threshold ({unmatched:g}) must be less than matched_threshold ({matched:g})"
        )
    return ArgMaxMatcher(
        matched_threshold=matched,
        unmatched_threshold=unmatched,
        negatives_lower_than_unmatched=message.negatives_lower_than_unmatched,
        force_match_for_each_row=message.force_match_for_each_row,
    )
