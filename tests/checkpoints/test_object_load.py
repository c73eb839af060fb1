"""What a detector takes from an object-based checkpoint, by kind; written by TensorFlow's own `tf.train.Checkpoint`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from detection.checkpoints import inspect, loading
from detection.checkpoints.restore import FineTune
from detection.errors import ConfigError
from tests.helpers import keras_ssd, object_checkpoints
from tests.helpers.tf2_parity import Reference
from tests.helpers.tiny import make_detector

BACKBONE = "model/_feature_extractor/classification_backbone/"


@pytest.fixture(scope="module")
def detector():
    return keras_ssd.detector()


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


@pytest.mark.parametrize(("slot", "step"), [("", 0), ("momentum", 7)])
def test_every_variable_of_exports_and_of_training_runs(empty, values, tmp_path: Path, slot: str, step: int) -> None:
    prefix = object_checkpoints.write(tmp_path, values, slot)
    assert loading.load_into(empty, prefix) == step
    assert object_checkpoints.filled(empty, values) == set(values)


def test_each_kind_takes_its_part(empty, values, tmp_path: Path) -> None:
    prefix = object_checkpoints.write(tmp_path, values)
    report = loading.start_from(empty, FineTune(prefix, "detection"))
    extractor = {key for key in values if key.startswith("model/_feature_extractor/")}
    assert object_checkpoints.filled(empty, values) == extractor
    assert len(report.restored) == len(extractor) and len(report.left_out) == len(values) - len(extractor)
    report = loading.start_from(empty, FineTune(prefix, "full"))
    assert object_checkpoints.filled(empty, values) == set(values) and len(report.restored) == len(values)


def test_a_classifier_gives_the_backbone_and_keeps_its_top(empty, values, tmp_path: Path) -> None:
    backbone = {key: value for key, value in values.items() if key.startswith(BACKBONE)}
    saved = {f"feature_extractor/{key.removeprefix(BACKBONE)}": value for key, value in backbone.items()}
    saved["feature_extractor/layer_with_weights-54/kernel"] = np.zeros([8, 10], "f4")
    prefix = object_checkpoints.write(tmp_path, saved)
    report = loading.start_from(empty, FineTune(prefix, "classification"))
    assert object_checkpoints.filled(empty, values) == set(backbone)
    assert report.unexpected == ("feature_extractor/layer_with_weights-54/kernel",)


def test_heads_of_another_shape_are_left_out_and_reported(empty, values, tmp_path: Path) -> None:
    head = "model/_box_predictor/_prediction_heads/class_predictions_with_background/_class_predictor_layers/0/"
    others = {key: np.zeros((*value.shape[:-1], 9), "f4") for key, value in values.items() if key.startswith(head)}
    prefix = object_checkpoints.write(tmp_path, values | others)
    with pytest.raises(ConfigError, match="2 of .* variables are of a different shape there, e.g. .*_class_predictor"):
        loading.load_into(empty, prefix)
    assert object_checkpoints.filled(empty, values) == set()
    report = loading.start_from(empty, FineTune(prefix, "full"))
    assert [name.rpartition("/")[2] for name in report.mismatched] == ["biases", "weights"] and not report.missing
    assert object_checkpoints.filled(empty, values) == set(values) - set(others)


def test_a_checkpoint_of_another_kind_says_which(empty, values, tmp_path: Path) -> None:
    prefix = object_checkpoints.write(tmp_path, values)
    with pytest.raises(ConfigError, match="no variable matches as 'classification'.*_type: 'detection'"):
        loading.start_from(empty, FineTune(prefix, "classification"))


def test_a_start_is_checked_before_anything_is_read(empty, values, tmp_path: Path) -> None:
    prefix = object_checkpoints.write(tmp_path, values)
    loading.check_start(empty, FineTune(prefix, "detection"))
    with pytest.raises(ConfigError, match=r"^train_config.fine_tune_checkpoint: .*_type: 'detection'$"):
        loading.check_start(empty, FineTune(prefix, "classification"))
    with pytest.raises(ConfigError, match="^train_config.fine_tune_checkpoint: .*this is an object-based"):
        loading.check_start(make_detector(), FineTune(prefix, "detection"))
    assert object_checkpoints.filled(empty, values) == set()


def test_a_checkpoint_of_another_network_is_refused(empty, values, tmp_path: Path) -> None:
    more = {**values, f"{BACKBONE}layer_with_weights-99/kernel": np.zeros([1, 1, 8, 8], "f4")}
    prefix = object_checkpoints.write(tmp_path, more)
    for kind in ("detection", "full"):
        with pytest.raises(ConfigError, match="layer_with_weights-99/kernel have no counterpart in the model"):
            loading.start_from(empty, FineTune(prefix, kind))
    with pytest.raises(ConfigError, match="layer_with_weights-99/kernel have no counterpart"):
        loading.load_into(empty, prefix)
    assert object_checkpoints.filled(empty, values) == set()
    loading.load_into(empty, prefix, allow_unused=True)
    assert object_checkpoints.filled(empty, values) == set(values)


def test_averages_are_those_that_the_optimizer_keeps(empty, values, tmp_path: Path) -> None:
    prefix = object_checkpoints.write(tmp_path, values, slot="momentum")
    with pytest.raises(ConfigError, match="holds no moving averages"):
        loading.load_into(empty, prefix, moving_averages=True)
    prefix = object_checkpoints.write(tmp_path / "averaged", values, slot="average")
    loading.load_into(empty, prefix, moving_averages=True)
    assert object_checkpoints.filled(empty, {key: 2 * value for key, value in values.items()}) == set(values)


def test_a_detector_without_keys_is_told_so(values, tmp_path: Path) -> None:
    prefix = object_checkpoints.write(tmp_path, values)
    for read in (loading.load_into, lambda tiny, path: loading.start_from(tiny, FineTune(path, "full"))):
        with pytest.raises(ConfigError, match="object-based .* end"):
            read(make_detector(), prefix)


def test_the_published_kind_of_checkpoint(shared: Path) -> None:
    """Written by the original code."""
    reference = Reference(shared, "ssd_mobilenet_v2_fpnlite_320x320")
    folder = reference.folder / "ckpt" / reference.name
    detector = reference.detector

    def clear() -> None:
        for variable in detector.variables:
            variable.assign(np.zeros(variable.shape, "f4"))

    clear()
    assert loading.load_into(detector, folder) == 0
    assert object_checkpoints.filled(detector, reference.values) == set(reference.values)
    clear()
    report = loading.start_from(detector, FineTune(str(folder), "detection"))
    assert len(report.restored) == 290 and len(object_checkpoints.filled(detector, reference.values)) == 290


def test_the_inspector_says_what_a_config_would_take(detector, values, tmp_path: Path) -> None:
    prefix = object_checkpoints.write(tmp_path, values)
    start = FineTune(prefix, "detection")
    found = inspect.inspect(inspect.Request(prefix), inspect.Configured("my.config", detector, start))
    extractor = sum(key.startswith("model/_feature_extractor/") for key in values)
    assert f"  {extractor} restored:" in found.lines and not found.fault
    start = FineTune(prefix, "classification")
    found = inspect.inspect(inspect.Request(prefix), inspect.Configured("my.config", detector, start))
    assert "they do as 'detection'" in found.fault
