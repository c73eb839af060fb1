"""What a two-stage detector takes from an object-based checkpoint, by kind: one map, and a feature pyramid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format

from detection.builders import image_resizer, model
from detection.checkpoints import inspect, loading
from detection.checkpoints.restore import FineTune
from detection.networks import resnet_v1
from detection.networks.blocks import Blocks
from detection.networks.depths import depth_rule
from detection.networks.keras_layers import numbered
from detection.protos import pipeline_pb2
from tests.helpers import detector_configs, object_checkpoints

FIRST, SECOND = (
    "model/_feature_extractor_for_proposal_features/",
    "model/_feature_extractor_for_box_classifier_features/",
)
ONE_MAP, PYRAMID = "faster_rcnn_resnet50_keras", "faster_rcnn_resnet50_fpn_keras"
THIN, LEAST = 0.05, 8  # depth multiplier, least depth


@pytest.fixture(scope="module", params=[ONE_MAP, PYRAMID])
def detector(request: pytest.FixtureRequest):
    return _made(request.param)


def _made(type_: str, meta=detector_configs.faster_rcnn):
    settings = detector_configs.Settings(type_, 64, 64, depth_multiplier=THIN, min_depth=LEAST)
    message = text_format.Parse(meta(settings), pipeline_pb2.TrainEvalPipelineConfig()).model
    made = model.build(message, image_resizer.build(model.settings(message).image_resizer))
    made.build_weights()
    return made


@pytest.fixture(scope="module")
def values(detector) -> dict[str, np.ndarray]:
    """By key, no two variables alike."""
    random = np.random.default_rng(0)
    return {key: random.uniform(0.5, 1, each.shape).astype("f4") for key, each in detector.object_keys().items()}


@pytest.fixture
def empty(detector):
    """The detector with all of its variables at zero."""
    for variable in detector.variables:
        variable.assign(np.zeros(variable.shape, "f4"))
    return detector


def test_every_variable_of_exports_and_of_training_runs(empty, values, tmp_path: Path) -> None:
    assert len(values) == len(empty.variables)
    assert loading.load_into(empty, object_checkpoints.write(tmp_path, values, "momentum")) == 7
    assert object_checkpoints.filled(empty, values) == set(values)


def test_detection_gives_the_extractors_of_both_stages(empty, values, tmp_path: Path) -> None:
    report = loading.start_from(empty, FineTune(object_checkpoints.write(tmp_path, values), "detection"))
    extractors = {key for key in values if key.startswith((FIRST, SECOND))}
    assert object_checkpoints.filled(empty, values) == extractors and len(report.restored) == len(extractors)
    assert all("Predictor" in name or name.startswith("Conv/") for name in report.left_out)


def test_a_classifier_gives_the_whole_network(empty, tmp_path: Path) -> None:
    """Its layers are numbered through, also where the detector cuts it in two."""
    hyperparams, depth = resnet_v1.training_defaults(keras_form=True), depth_rule(THIN, LEAST)
    blocks = resnet_v1.keras_blocks(hyperparams, depth, resnet_v1.UNITS[50])
    network = Blocks(resnet_v1.scope(50, keras_form=True), blocks)
    network(tf.zeros([1, 64, 64, 3]))
    random = np.random.default_rng(1)
    for variable in network.variables:
        variable.assign(random.uniform(0.5, 1, variable.shape))
    saved = {f"feature_extractor/{key}": each.numpy() for key, each in numbered(network.blocks).items()}
    prefix = object_checkpoints.write(tmp_path, saved)
    report = loading.start_from(empty, FineTune(prefix, "classification"))
    assert len(report.restored) == len(network.variables) and not report.unexpected and not report.missing
    found = {variable.path.partition("/")[2]: variable.numpy() for variable in empty.variables}
    for variable in network.variables:
        np.testing.assert_array_equal(found[variable.path], variable.numpy(), err_msg=variable.path)


def test_the_inspector_says_what_the_checkpoint_is_of(detector, values, tmp_path: Path) -> None:
    prefix = object_checkpoints.write(tmp_path, values)
    configured = inspect.Configured("my.config", detector, FineTune(prefix, "detection"))
    found = inspect.inspect(inspect.Request(prefix), configured)
    assert any("a two-stage detector, 5 logits per region" in line for line in found.lines) and not found.fault
    assert f"  {sum(key.startswith((FIRST, SECOND)) for key in values)} restored:" in found.lines


def test_fast_rcnn_starts_from_faster_rcnn_and_rfcn_from_neither(tmp_path: Path) -> None:
    """The TF Object Detection API has no R-FCN with such checkpoints."""
    random, fast = np.random.default_rng(0), _made(ONE_MAP, detector_configs.fast_rcnn)
    values = {key: random.uniform(0.5, 1, each.shape).astype("f4") for key, each in fast.object_keys().items()}
    proposals = {"model/_first_stage_box_predictor_first_conv/layer_with_weights-0/bias": np.zeros(3, "f4")}
    loading.start_from(fast, FineTune(object_checkpoints.write(tmp_path, values | proposals), "detection"))
    for key, each in fast.object_keys().items():
        assert np.array_equal(each.numpy(), values[key]) == key.startswith((FIRST, SECOND)), key
    assert _made(ONE_MAP, detector_configs.rfcn).object_keys() == {}
