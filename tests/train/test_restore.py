from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from tiny import make_detector

from detection.errors import ConfigError
from detection.train import checkpoint_files, checkpoints, restore
from detection.train.restore import FineTune, source_name

_CONV = "FeatureExtractor/TinyNet/Conv2d_0/weights"


def _variables() -> dict:
    return checkpoints.by_name(make_detector())


def _write(path, **change) -> str:
    """A checkpoint of a detector whose every value is 9; `change` gives {suffix of a name: replacement or None}."""
    values = {name: np.full(variable.shape, 9, variable.dtype) for name, variable in _variables().items() if not checkpoints.is_optional(name)}
    values |= {"global_step": np.int64(4), f"{_CONV}/Momentum": np.zeros(1, np.float32), "Elsewhere/weights": np.zeros(2, np.float32)}
    for suffix, value in change.items():
        name = next(name for name in values if name.endswith(suffix))
        values.pop(name) if value is None else values.update({name: value})
    checkpoint_files.write(path, values)
    return str(path)


def test_detection_restores_the_extractor_only(tmp_path):
    variables = _variables()
    report = restore.restore(variables, FineTune(_write(tmp_path / "m"), "detection"))
    assert set(report.restored) == {name for name in variables if name.startswith("FeatureExtractor/") and not checkpoints.is_optional(name)}
    assert report.left_out == ("BoxPredictor_0/biases", "BoxPredictor_0/weights")
    assert report.unexpected == ("BoxPredictor_0/biases", "BoxPredictor_0/weights", "Elsewhere/weights")
    assert not report.missing and not report.mismatched
    assert variables[_CONV].numpy().max() == 9 and variables["BoxPredictor_0/biases"].numpy().max() == 0


@pytest.mark.parametrize("start", [("detection", True), ("full", False)])
def test_everything_of_matching_name(tmp_path, start):
    variables = _variables()
    report = restore.restore(variables, FineTune(_write(tmp_path / "m"), *start))
    assert not report.left_out and variables["BoxPredictor_0/biases"].numpy().min() == 9


def test_another_shape_or_a_missing_name_keeps_the_initial_value_and_is_reported(tmp_path, caplog):
    variables = _variables()
    before = variables["BoxPredictor_0/weights"].numpy()
    path = _write(tmp_path / "m", **{"BoxPredictor_0/weights": np.zeros((4, 3), np.float32), "BoxPredictor_0/biases": None})
    report = restore.restore(variables, FineTune(path, "full"))
    assert report.mismatched == ("BoxPredictor_0/weights",) and report.missing == ("BoxPredictor_0/biases",)
    np.testing.assert_array_equal(variables["BoxPredictor_0/weights"].numpy(), before)
    assert "1 variable has another shape there and keeps its initial value: BoxPredictor_0/weights" in caplog.text
    assert "another shape in the checkpoint, e.g. BoxPredictor_0/weights" in report.table()


def test_classification_strips_the_scope(tmp_path):
    path = tmp_path / "slim"
    checkpoint_files.write(
        path, {"TinyNet/Conv2d_0/weights": np.full((3, 3, 3, 4), 2, np.float32), "TinyNet/Logits/weights": np.zeros(3, np.float32)}
    )
    variables = _variables()
    report = restore.restore(variables, FineTune(str(path), "classification"))
    assert report.restored == (_CONV,) and variables[_CONV].numpy().max() == 2
    assert len(report.missing) == 4 and report.unexpected == ("TinyNet/Logits/weights",)


def test_names_of_every_kind():
    assert source_name("FirstStageFeatureExtractor/resnet_v1_101/conv1/weights", "classification") == "resnet_v1_101/conv1/weights"
    assert source_name("SecondStageFeatureExtractor/resnet_v1_101/block4/x", "classification") == "resnet_v1_101/block4/x"
    second = "SecondStageFeatureExtractor/InceptionResnetV2/Repeat/block8_1/x"
    assert source_name(second, "classification") == "InceptionResnetV2/Repeat_2/block8_1/x"
    assert source_name(second, "detection") == second
    first = "FirstStageFeatureExtractor/InceptionResnetV2/Repeat/block35_1/x"
    assert source_name(first, "classification") == "InceptionResnetV2/Repeat/block35_1/x"
    for kind in ("classification", "detection"):
        assert source_name("Conv/weights", kind) is None
    assert source_name("Conv/weights", "full") == source_name("Conv/weights", "detection", load_all=True) == "Conv/weights"


def test_nothing_matched_hints_at_the_other_kind(tmp_path):
    path = tmp_path / "slim"
    checkpoint_files.write(path, {"TinyNet/Conv2d_0/weights": np.zeros((3, 3, 3, 4), np.float32)})
    with pytest.raises(ConfigError, match=r"slim: no variable matches as 'detection'.*fine_tune_checkpoint_type: 'classification'"):
        restore.restore(_variables(), FineTune(str(path), "detection"))
    with pytest.raises(ConfigError, match="fine_tune_checkpoint_type: 'detection'"):
        restore.restore(_variables(), FineTune(_write(tmp_path / "m"), "classification"))


def test_nothing_matched_names_the_closest(tmp_path):
    path = tmp_path / "m"
    checkpoint_files.write(path, {"TinyNetV2/Conv2d_0/weights": np.zeros(1, np.float32)})
    with pytest.raises(ConfigError, match=r"looked for e\.g\. TinyNet/Conv2d_0/\w+.*closest names are TinyNetV2/Conv2d_0/weights"):
        restore.restore(_variables(), FineTune(str(path), "classification"))
    checkpoint_files.write(path, {_CONV: np.zeros(1, np.float32)})
    with pytest.raises(ConfigError, match=r"another shape, e\.g\. FeatureExtractor/TinyNet/Conv2d_0/weights is \[1\] there and \[3, 3, 3, 4\]"):
        restore.restore(_variables(), FineTune(str(path), "full"))


def test_wrong_kind_wrong_path_and_object_based(tmp_path):
    with pytest.raises(ConfigError, match="fine_tune_checkpoint_type: 'ful' is none of classification, detection, full"):
        restore.restore(_variables(), FineTune("x", "ful"))
    with pytest.raises(ConfigError, match="nowhere/model.ckpt: no such checkpoint"):
        restore.restore(_variables(), FineTune(str(tmp_path / "nowhere" / "model.ckpt"), "full"))
    prefix = tf.train.Checkpoint(x=tf.Variable(1.0)).write(str(tmp_path / "ckpt-0"))
    with pytest.raises(ConfigError, match="object-based"):
        restore.restore(_variables(), FineTune(prefix, "full"))


def test_a_published_classifier_fits_the_names_of_a_detector(shared):
    path = shared / "weights/mobilenet_v1_0.75_224/model.ckpt"
    found = checkpoint_files.entries(path)
    variables = {f"FeatureExtractor/{name}": tf.Variable(tf.zeros(entry.shape)) for name, entry in found.items() if "/Logits/" not in name}
    report = restore.restore(variables, FineTune(str(path), "classification"))
    assert len(report.restored) == 135 and not report.missing and len(report.unexpected) == 2
    np.testing.assert_array_equal(
        variables["FeatureExtractor/MobilenetV1/Conv2d_0/weights"].numpy(), checkpoint_files.read(path)["MobilenetV1/Conv2d_0/weights"]
    )
