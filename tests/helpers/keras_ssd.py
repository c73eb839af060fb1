"""A thin SSD of the TF2 API's kind, with keys in object-based checkpoints: MobileNet v1 under a pyramid."""

from __future__ import annotations

from google.protobuf import text_format

from detection.builders import image_resizer, model
from detection.protos import pipeline_pb2
from tests.helpers import detector_configs

TYPE = "ssd_mobilenet_v1_fpn_keras"


def config(type_: str = TYPE) -> str:
    """Returns the config text of the model."""
    return detector_configs.ssd(detector_configs.Settings(type_, 64, 64, depth_multiplier=0.1))


def detector(type_: str = TYPE):
    """Returns the detector, built, with initial weights."""
    message = text_format.Parse(config(type_), pipeline_pb2.TrainEvalPipelineConfig()).model
    made = model.build(message, image_resizer.build(message.ssd.image_resizer))
    made.build_weights()
    return made
