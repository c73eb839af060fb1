"""What the inspector says of object-based checkpoints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf

from detection.checkpoints.inspect import Configured, Request, inspect
from detection.checkpoints.restore import FineTune
from tests.helpers import object_checkpoints
from tests.helpers.tiny import make_detector

CODES = "model/_box_predictor/_box_prediction_head/_box_encoder_layers/0/bias"
LOGITS = "model/_box_predictor/_prediction_heads/class_predictions_with_background/_class_predictor_layers/0/bias"


def test_a_training_checkpoint_is_described(tmp_path: Path) -> None:
    values = {CODES: np.zeros(24, "f4"), LOGITS: np.zeros(6 * 91, "f4")}
    prefix = object_checkpoints.write(tmp_path, values, slot="momentum")
    lines, fault = inspect(Request(prefix))
    text = "\n".join(lines)
    assert "a detector, 91 logits per anchor" in text and "2 arrays, 570 numbers" in text and not fault
    assert "every value is finite" in text and "step        7" in text and "momentum of 2" in text


def test_a_checkpoint_of_no_model_holds_no_weights(tmp_path: Path) -> None:
    prefix = tf.train.Checkpoint(x=tf.Variable(1.0)).write(str(tmp_path / "ckpt-0"))
    assert any("0 arrays, 0 numbers" in line for line in inspect(Request(prefix)).lines)


def test_values_that_are_not_finite_are_named(tmp_path: Path) -> None:
    prefix = object_checkpoints.write(tmp_path, {CODES: np.full(24, np.nan, "f4")})
    assert any("NaN or inf" in line and CODES in line for line in inspect(Request(prefix)).lines)


def test_a_config_of_another_kind_of_model_is_at_fault(tmp_path: Path) -> None:
    prefix = object_checkpoints.write(tmp_path, {CODES: np.zeros(24, "f4")})
    found = inspect(Request(prefix), Configured("my.config", make_detector(), FineTune(prefix, "detection")))
    assert "object-based (TensorFlow 2) checkpoint, and the config's model is not one" in found.fault
