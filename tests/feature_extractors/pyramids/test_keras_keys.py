"""Keras forms below pyramids: every variable has its own key in object-based checkpoints."""

from __future__ import annotations

import pytest
from google.protobuf import text_format

from detection.builders import pipeline
from detection.protos import pipeline_pb2
from tests.helpers import detector_configs

# A network of each kind of block; those of the other tests of object keys are left out.
TYPES = (
    "ssd_inception_v2_fpn_keras",
    "ssd_inception_v3_fpn_keras",
    "ssd_inception_resnet_v2_fpn_keras",
    "ssd_vgg16_fpn_keras",
    "ssd_mobilenet_v3_small_fpn_keras",
)


@pytest.mark.slow
@pytest.mark.parametrize("type_", TYPES)
def test_every_variable_has_a_key(type_: str) -> None:
    settings = detector_configs.Settings(type_, 64, 64, num_classes=2, depth_multiplier=0.25)
    text = detector_configs.ssd(settings)
    detector = pipeline.build(text_format.Parse(text, pipeline_pb2.TrainEvalPipelineConfig())).detector()
    keyed = detector.object_keys().values()
    assert {id(variable) for variable in keyed} == {id(variable) for variable in detector.variables}
    assert len(keyed) == len(detector.variables)
