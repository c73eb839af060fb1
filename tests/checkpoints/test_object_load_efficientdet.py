"""EfficientDets and object-based checkpoints: what lies where, and what may be missing."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format

from detection.builders import image_resizer, model
from detection.checkpoints import loading
from detection.checkpoints.names import is_optional
from detection.checkpoints.restore import FineTune
from detection.errors import ConfigError
from detection.protos import pipeline_pb2
from tests.helpers import detector_configs, object_checkpoints
from tests.helpers.tf2_parity import Reference, write_checkpoint

READ, TOP = "model/_feature_extractor/_efficientnet/", "model/_feature_extractor/classification_backbone/"


@pytest.fixture(scope="module")
def detector():
    settings = detector_configs.Settings("ssd_efficientnet-b0_bifpn_keras", 64, 64, depth_multiplier=0.1)
    message = text_format.Parse(detector_configs.ssd(settings), pipeline_pb2.TrainEvalPipelineConfig()).model
    made = model.build(message, image_resizer.build(message.ssd.image_resizer))
    made.build_weights()
    return made


@pytest.fixture(scope="module")
def values(detector) -> dict[str, np.ndarray]:
    """By key, no two variables alike."""
    random = np.random.default_rng(0)
    return {key: random.uniform(0.5, 1, each.shape).astype("f4") for key, each in detector.object_keys().items()}


@pytest.fixture
def empty(detector):
    """The detector with all of its weights at zero."""
    for variable in detector.object_keys().values():
        variable.assign(np.zeros(variable.shape, "f4"))
    return detector


def _only_heads(keys: tuple[str, ...]) -> bool:
    """What a start from a detector's extractor leaves in the file."""
    return bool(keys) and all(key.startswith("model/_box_predictor/") for key in keys)


def _without_top(values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {key: value for key, value in values.items() if not key.startswith(TOP)}


def test_every_weight_has_a_key(detector, values) -> None:
    weights = [variable for variable in detector.variables if not is_optional(variable.path)]
    assert len(values) == len(weights) and sum(key.startswith(TOP) for key in values) == 1 + 4 + 2


def test_a_whole_detector(empty, values, tmp_path: Path, caplog) -> None:
    prefix = object_checkpoints.write(tmp_path, values)
    with caplog.at_level(logging.WARNING):
        loading.load_into(empty, prefix)
        report = loading.start_from(empty, FineTune(prefix, "detection"))
    assert object_checkpoints.filled(empty, values) == set(values)
    assert not report.missing and not report.mismatched and _only_heads(report.unexpected) and not caplog.records


def test_what_nobody_reads_may_be_missing(empty, values, tmp_path: Path) -> None:
    prefix = object_checkpoints.write(tmp_path, _without_top(values))
    loading.load_into(empty, prefix)
    assert object_checkpoints.filled(empty, values) == set(_without_top(values))
    report = loading.start_from(empty, FineTune(prefix, "detection"))
    assert len(report.missing) == 7 and _only_heads(report.unexpected)
    short = {key: value for key, value in values.items() if not key.startswith(f"{READ}layer_with_weights-3/")}
    with pytest.raises(ConfigError, match="4 of .* variables are not in the checkpoint, e.g. .*weights-3/"):
        loading.load_into(empty, object_checkpoints.write(tmp_path / "short", short))


@pytest.mark.parametrize("whole", [True, False])
def test_a_classifier_gives_all_of_the_network(empty, values, tmp_path: Path, whole: bool) -> None:
    network = {key: value for key, value in values.items() if key.startswith((READ, TOP) if whole else READ)}
    saved = {f"feature_extractor/{key.removeprefix(READ).removeprefix(TOP)}": value for key, value in network.items()}
    report = loading.start_from(empty, FineTune(object_checkpoints.write(tmp_path, saved), "classification"))
    assert object_checkpoints.filled(empty, values) == set(network)
    assert not report.unexpected and len(report.missing) == (0 if whole else 7)


def test_a_classifier_of_other_classes(empty, values, tmp_path: Path) -> None:
    network = {key: value for key, value in values.items() if key.startswith((READ, TOP))}
    saved = {f"feature_extractor/{key.removeprefix(READ).removeprefix(TOP)}": value for key, value in network.items()}
    last = max(saved, key=lambda key: int(key.split("/")[1].rpartition("-")[2])).rpartition("/")[0]
    saved |= {f"{last}/{part}": saved[f"{last}/{part}"][..., :7] for part in ("kernel", "bias")}
    report = loading.start_from(empty, FineTune(object_checkpoints.write(tmp_path, saved), "classification"))
    assert sorted(name.rpartition("/")[2] for name in report.mismatched) == ["biases", "weights"]


def test_the_stored_model_as_the_original_code_saves_it(shared: Path, tmp_path: Path) -> None:
    reference = Reference(shared, "ssd_efficientdet_d0_512x512")
    prefix = write_checkpoint(reference.folder, reference.name, tmp_path)
    for key in reference.keys:
        reference.keys[key].assign(np.zeros(reference.keys[key].shape, "f4"))
    assert loading.load_into(reference.detector, prefix) == 0
    assert all(np.array_equal(variable, reference.values[key]) for key, variable in reference.keys.items())
    report = loading.start_from(reference.detector, FineTune(prefix, "detection"))
    extractor = [key for key in reference.keys if key.startswith("model/_feature_extractor/")]
    assert len(report.restored) == len(extractor) and not (report.missing or report.mismatched)
    assert _only_heads(report.unexpected)
