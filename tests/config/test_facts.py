"""Properties of models as in the survey's Table 3."""

from __future__ import annotations

import pytest

from detection.config import facts, text
from detection.protos import pipeline_pb2

TWO_STAGE = """model { %s {
  num_classes: 3 image_resizer { keep_aspect_ratio_resizer { min_dimension: 300 max_dimension: 512 } }
  feature_extractor { type: "faster_rcnn_resnet101" first_stage_features_stride: 8 }
  second_stage_localization_loss_weight: 2 %s
} }"""
SSD = """model { ssd {
  image_resizer { fixed_shape_resizer { height: 300 width: 400 } } feature_extractor { type: "ssd_mobilenet_v1" }
  loss { localization_loss { weighted_smooth_l1 { } } classification_loss { weighted_sigmoid { } }
    localization_weight: 3 classification_weight: 0.5 }
} }"""


def of(config: str) -> dict[str, str]:
    return facts.of(text.parse(config, pipeline_pb2.TrainEvalPipelineConfig(), "x.config").model)


@pytest.mark.parametrize(
    ("kind", "predictor", "name"),
    [
        ("faster_rcnn", "", "faster_rcnn"),
        ("faster_rcnn", "second_stage_box_predictor { rfcn_box_predictor { } }", "rfcn"),
        ("fast_rcnn", "", "fast_rcnn"),
    ],
)
def test_two_stage(kind, predictor, name):
    expected = {
        "meta_architecture": name,
        "feature_extractor": "resnet101",
        "resolution": "300-512",
        "output_stride": "8",
    }
    assert of(TWO_STAGE % (kind, predictor)) == {**expected, "loss_ratio": "2:1", "location_loss": "smooth_l1"}


def test_ssd():
    expected = {"meta_architecture": "ssd", "feature_extractor": "mobilenet_v1", "resolution": "300x400"}
    assert of(SSD) == {**expected, "loss_ratio": "3:0.5", "location_loss": "smooth_l1"}


def test_other_configs_have_no_facts():
    assert of("model { }") == {}
