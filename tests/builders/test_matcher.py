"""Builder of matchers."""

from __future__ import annotations

import pytest
from google.protobuf import text_format

from detection.builders import matcher
from detection.ops.matchers import ArgMaxMatcher, BipartiteMatcher
from detection.protos import matcher_pb2


def build(text):
    return matcher.build(text_format.Parse(text, matcher_pb2.Matcher()))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("argmax_matcher {}", ArgMaxMatcher(0.5, 0.5, True, False)),
        (
            (
                "argmax_matcher { matched_threshold: 0.75 unmatched_threshold: 0.25 "
                "negatives_lower_than_unmatched: false force_match_for_each_row: true }"
            ),
            ArgMaxMatcher(0.75, 0.25, False, True),
        ),
        ("argmax_matcher { ignore_thresholds: true matched_threshold: 0.25 }", ArgMaxMatcher(None, None)),
        ("bipartite_matcher { use_matmul_gather: true }", BipartiteMatcher()),
    ],
)
def test_builds(text, expected):
    assert build(text) == expected
