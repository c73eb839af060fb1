"""Builder of similarities."""

from __future__ import annotations

import pytest
from google.protobuf import text_format

from detection.builders import similarity
from detection.ops import boxes
from detection.protos import region_similarity_calculator_pb2


def build(text):
    return similarity.build(text_format.Parse(text, region_similarity_calculator_pb2.RegionSimilarityCalculator()))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("iou_similarity {}", boxes.iou),
        ("ioa_similarity {}", boxes.ioa),
        ("neg_sq_dist_similarity {}", boxes.neg_sq_dist),
        ("thresholded_iou_similarity { iou_threshold: 0.25 }", boxes.ThresholdedIou(0.25)),
    ],
)
def test_builds(text, expected):
    assert build(text) == expected
