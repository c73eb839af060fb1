"""Builders of score conversion and non-max suppression."""

from __future__ import annotations

import pytest
from google.protobuf import text_format

from detection.builders import post_processing
from detection.ops.nms import MulticlassNms
from detection.ops.scores import PostProcessing, ScoreConverter
from detection.protos import post_processing_pb2


def build(text):
    return post_processing.build(text_format.Parse(text, post_processing_pb2.PostProcessing()))


def test_defaults():
    expected = PostProcessing(MulticlassNms(0.0, pytest.approx(0.6), 100, 100), ScoreConverter("identity", 1.0))
    assert build("batch_non_max_suppression {}") == expected == build("")


def test_every_option_counts():
    built = build(
        """score_converter: SOFTMAX logit_scale: 2
        batch_non_max_suppression { score_threshold: 0.25 iou_threshold: 0.5 max_detections_per_class: 10
          max_total_detections: 20
                                    use_class_agnostic_nms: true use_static_shapes: true change_coordinate_frame:
                                      false }"""
    )
    assert built == PostProcessing(
        MulticlassNms(0.25, 0.5, 10, 20, class_agnostic=True), ScoreConverter("softmax", 2.0)
    )
    assert build("score_converter: SIGMOID").score_converter == ScoreConverter("sigmoid")
