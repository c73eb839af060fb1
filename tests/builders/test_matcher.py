"""Builder of matchers."""

from __future__ import annotations

import pytest
from google.protobuf import text_format

from detection.builders import matcher
from detection.ops import boxes
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
        ("box_center_matcher {}", ArgMaxMatcher(None, None)),
    ],
)
def test_builds(text, expected):
    assert build(text) == expected


def test_box_centres_restrict_the_similarity():
    centred, usual = (matcher_pb2.Matcher() for _ in range(2))
    centred.box_center_matcher.SetInParent()
    usual.argmax_matcher.SetInParent()
    assert matcher.similarity(centred, boxes.iou) == boxes.CentreInside(boxes.iou)
    assert matcher.similarity(usual, boxes.iou) is boxes.iou
