"""What a CenterNet takes from an object-based checkpoint, by kind; written by TensorFlow's `tf.train.Checkpoint`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format

from detection.builders import image_resizer, model
from detection.checkpoints import checkpoint_files, inspect, loading
from detection.checkpoints.checkpoint_files import Entry
from detection.checkpoints.recognise import detector as recognised
from detection.checkpoints.restore import FineTune
from detection.errors import ConfigError
from detection.protos import pipeline_pb2
from tests.helpers import detector_configs, object_checkpoints

BACKBONE, EXTRACTOR = "model/_feature_extractor/_base_model/", "model/_feature_extractor/"


def _detector(type_: str):
    settings = detector_configs.Settings(type_, 64, 64, depth_multiplier=0.1)
    message = text_format.Parse(detector_configs.center_net(settings), pipeline_pb2.TrainEvalPipelineConfig()).model
    made = model.build(message, image_resizer.build(message.center_net.image_resizer))
    made.build_weights()
    return made


@pytest.fixture(scope="module")
def detector():
    return _detector("mobilenet_v2_fpn")


@pytest.fixture(scope="module")
def values(detector) -> dict[str, np.ndarray]:
    """By key, no two variables alike."""
    random = np.random.default_rng(0)
    return {key: random.uniform(0.5, 1, each.shape).astype("f4") for key, each in detector.object_keys().items()}


@pytest.fixture(scope="module")
def prefix(values, tmp_path_factory: pytest.TempPathFactory) -> str:
    return object_checkpoints.write(tmp_path_factory.mktemp("center_net"), values)


@pytest.fixture
def empty(detector):
    """The detector with all of its variables at zero."""
    for variable in detector.variables:
        variable.assign(np.zeros(variable.shape, "f4"))
    return detector


def test_every_variable_of_exports_and_of_training_runs(empty, values, prefix: str) -> None:
    assert loading.load_into(empty, prefix) == 0
    assert object_checkpoints.filled(empty, values) == set(values) and len(values) == len(empty.variables)


def test_each_kind_takes_its_part(empty, values, prefix: str) -> None:
    report = loading.start_from(empty, FineTune(prefix, "detection"))
    extractor = {key for key in values if key.startswith(EXTRACTOR)}
    assert object_checkpoints.filled(empty, values) == extractor and len(report.restored) == len(extractor) < len(
        values
    )
    loading.start_from(empty, FineTune(prefix, "full"))
    assert object_checkpoints.filled(empty, values) == set(values)


def test_a_classifier_gives_the_network(empty, values, tmp_path: Path) -> None:
    network = {key: value for key, value in values.items() if key.startswith(BACKBONE)}
    saved = {f"feature_extractor/{key.removeprefix(BACKBONE)}": value for key, value in network.items()}
    saved["feature_extractor/layer_with_weights-104/kernel"] = np.zeros([8, 10], "f4")  # its last layer
    report = loading.start_from(empty, FineTune(object_checkpoints.write(tmp_path, saved), "classification"))
    assert object_checkpoints.filled(empty, values) == set(network)
    assert report.unexpected == ("feature_extractor/layer_with_weights-104/kernel",)


def test_a_classifier_is_the_first_layer_of_mobilenet_deconvolved(tmp_path: Path) -> None:
    made = _detector("mobilenet_v2")
    first = f"{EXTRACTOR}_network/layer_with_weights-0/"
    network = {key: np.ones(each.shape, "f4") for key, each in made.object_keys().items() if key.startswith(first)}
    saved = {f"feature_extractor/{key.removeprefix(first)}": value for key, value in network.items()}
    report = loading.start_from(made, FineTune(object_checkpoints.write(tmp_path, saved), "classification"))
    assert len(report.restored) == len(network) == 260 and not report.missing and not report.unexpected


def test_hourglasses_have_no_classifier(prefix: str) -> None:
    with pytest.raises(ConfigError, match="no variable matches as 'classification'"):
        loading.start_from(_detector("hourglass_10"), FineTune(prefix, "classification"))


def test_the_inspector_knows_what_it_is_of(detector, prefix: str) -> None:
    found = inspect.inspect(inspect.Request(prefix), inspect.Configured("my.config", detector, None))
    assert any("a CenterNet, 4 classes" in line for line in found.lines), found.lines
    own = {variable.path: Entry(tuple(variable.shape), None) for variable in detector.variables}
    assert recognised(own) == ("CenterNet", 4, None, None)
    assert checkpoint_files.locate(prefix) == prefix
