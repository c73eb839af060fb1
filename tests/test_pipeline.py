"""The interface that every meta-architecture implements, and `Pipeline` with any of them."""

from __future__ import annotations

import dataclasses
import typing

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format

from detection.builders import model as model_builder
from detection.builders import pipeline as pipelines
from detection.checkpoints import loading, rotation
from detection.checkpoints.names import GLOBAL_STEP
from detection.errors import ConfigError
from detection.pipeline import Detector, Pipeline
from detection.protos import pipeline_pb2
from detection.types import Detections, Example, ImageInfo
from tests.helpers import detector_configs, two_stage_tiny

SETTINGS = {
    "ssd": detector_configs.Settings("ssd_mobilenet_v1", 96, 128, num_classes=3, depth_multiplier=0.25),
    "center_net": detector_configs.Settings("mobilenet_v2", 96, 128, num_classes=3, depth_multiplier=0.25),
    "two_stage": detector_configs.Settings("faster_rcnn_mobilenet_v1", 96, 128, num_classes=3, depth_multiplier=0.25),
}
_ONE_STAGE = "number_of_stages: 1 initial_crop_size"
TEXTS = {
    "ssd": detector_configs.ssd(SETTINGS["ssd"]),
    "center_net": detector_configs.center_net(SETTINGS["center_net"]),
    "faster_rcnn": detector_configs.faster_rcnn(SETTINGS["two_stage"]),
    "rfcn": detector_configs.rfcn(SETTINGS["two_stage"]),
    "fast_rcnn": detector_configs.fast_rcnn(SETTINGS["two_stage"]),
    "proposals_only": detector_configs.faster_rcnn(SETTINGS["two_stage"]).replace("initial_crop_size", _ONE_STAGE, 1),
    "normalized": detector_configs.fast_rcnn(SETTINGS["two_stage"]).replace(
        "initial_crop_size", "second_stage_normalize_targets: true initial_crop_size", 1
    ),
}


def pipeline(text: str) -> Pipeline:
    return pipelines.build(text_format.Parse(text, pipeline_pb2.TrainEvalPipelineConfig()), source="some.config")


@pytest.fixture(scope="module", params=TEXTS)
def made(request: pytest.FixtureRequest) -> tuple[str, Pipeline, Detector]:
    built = pipeline(TEXTS[request.param])
    return request.param, built, built.detector()


def test_every_meta_architecture_is_tested():
    kinds = {
        text_format.Parse(text, pipeline_pb2.TrainEvalPipelineConfig()).model.WhichOneof("model")
        for text in TEXTS.values()
    }
    assert kinds == set(model_builder.META_ARCHITECTURES) - {"custom"}  # tests/test_your_own_parts.py has one


def test_implements_detector(made):
    name, _, detector = made
    assert isinstance(detector, Detector)
    for member in typing.get_protocol_members(Detector) if hasattr(typing, "get_protocol_members") else ():
        assert hasattr(detector, member)
    assert detector.num_classes == 3
    assert detector.takes_proposals == (name in ("fast_rcnn", "normalized"))
    assert detector.measures_targets == (name == "normalized")
    assert bool(detector.anchors_per_cell) == (name not in ("fast_rcnn", "normalized", "center_net"))


@pytest.mark.parametrize("training", [False, True])
def test_predict_loss_and_postprocess_in_every_mode(made, training):
    """The structures are the same with and without groundtruth, in training and inference."""
    name, _, detector = made
    batch, groundtruth = two_stage_tiny.batch(proposals=detector.takes_proposals), two_stage_tiny.groundtruth()
    predictions = detector.predict(batch, groundtruth, training=training)
    assert type(detector.predict(batch)) is type(predictions)
    assert predictions.images.shape == (2, 96, 128, 3) and predictions.feature_maps[0].shape[0] == 2
    raw = {"center_logits", "sizes", "offsets"} if name == "center_net" else {"box_codes", "class_logits"}
    assert raw <= predictions.raw().keys()
    assert isinstance(predictions.stage_border(), dict)
    losses = detector.loss(predictions, groundtruth)
    assert losses and all(tag.startswith("Loss/") and np.isfinite(float(value)) for tag, value in losses.items())
    assert float(detector.regularization_loss()) >= 0.0
    found = detector.postprocess(predictions, batch.true_shapes)
    assert isinstance(found, Detections) and found.boxes.shape[0] == 2 and found.rows is not None


def test_measure_targets(made):
    name, _, detector = made
    batch, groundtruth = two_stage_tiny.batch(proposals=detector.takes_proposals), two_stage_tiny.groundtruth()
    info = ImageInfo(tf.constant(["a", "b"]), batch.true_shapes)
    counts = detector.measure_targets([Example(batch, groundtruth, info)])
    assert counts.shape == (3,) and (float(tf.reduce_sum(counts)) > 0) == (name == "normalized")


def test_weights_are_made_once_and_found_again_in_a_checkpoint(made, tmp_path):
    _, built, detector = made
    before = [variable.path for variable in detector.variables]
    detector.build_weights()
    assert [variable.path for variable in detector.variables] == before
    named = loading.by_name(detector)
    rotation.Checkpoints(tmp_path).save(4, {**named, GLOBAL_STEP: np.int64(4)})
    other = built.detector(tmp_path)
    assert built.restore(other, tmp_path) == 4
    for name, variable in loading.by_name(other).items():
        np.testing.assert_array_equal(variable, named[name])


def test_a_detector_that_cannot_be_built_names_the_file():
    built = pipeline(TEXTS["ssd"].replace('type: "ssd_mobilenet_v1"', 'type: "ssd_mobilenet_v9"'))
    with pytest.raises(ConfigError, match=r"^some\.config: feature_extractor\.type \('ssd_mobilenet_v9'\) is no reg"):
        built.detector()

    def make():
        raise ValueError("Negative dimension size\nand more")

    with pytest.raises(ConfigError, match="^some.config: the detector cannot be built: Negative dimension size; is"):
        dataclasses.replace(built, make_detector=make).detector()


def test_a_different_config_beside_the_checkpoint_is_a_warning(tmp_path, caplog):
    built = pipeline(TEXTS["ssd"])
    named = loading.by_name(built.detector())
    rotation.Checkpoints(tmp_path).save(1, {**named, GLOBAL_STEP: np.int64(1)})
    (tmp_path / "pipeline.config").write_text(built.text.replace("activation: RELU_6", "activation: RELU"))
    for _ in range(2):
        built.detector(tmp_path)
    assert caplog.text.count("next to the checkpoint differs in fields") == 1
