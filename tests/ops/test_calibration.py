"""Calibrated scores against numpy's interpolation."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from google.protobuf import text_format

from detection.builders import post_processing
from detection.ops.calibration import Curve
from detection.protos import post_processing_pb2

LOGITS = np.random.default_rng(0).normal(0, 3, (2, 5, 4)).astype(np.float32)


def scores(text: str) -> np.ndarray:
    message = text_format.Parse(text, post_processing_pb2.PostProcessing())
    return tf.function(post_processing.build(message).score_converter)(LOGITS).numpy()


def sigmoid(logits) -> np.ndarray:
    return 1 / (1 + np.exp(-logits.astype(np.float64)))


def test_a_curve_is_piecewise_linear_and_constant_outside():
    x, y = (0.2, 0.5, 0.9), (0.1, 0.6, 0.7)
    asked = np.concatenate([np.linspace(0, 1, 37), x]).astype(np.float32)
    np.testing.assert_allclose(Curve(x, y)(asked), np.interp(asked, x, y), atol=1e-6)
    np.testing.assert_allclose(Curve((0.5,), (0.3,))(asked), np.full(40, 0.3), rtol=1e-6)


def test_function_approximation_changes_every_column():
    points = "x_y_pair { x: 0 y: 0.5 } x_y_pair { x: 0.4 y: 0.6 } x_y_pair { x: 1 y: 0.9 }"
    found = scores(
        f"score_converter: SIGMOID calibration_config {{ function_approximation {{ x_y_pairs {{ {points} }} }} }}"
    )
    np.testing.assert_allclose(found, np.interp(sigmoid(LOGITS), [0, 0.4, 1], [0.5, 0.6, 0.9]), atol=1e-6)


def test_curves_by_label_id():
    """Column 0 is the background's; columns without a curve stay as they are."""
    found = scores("""score_converter: SIGMOID calibration_config { class_id_function_approximations {
        class_id_xy_pairs_map { key: 1 value { x_y_pair { x: 0 y: 0 } x_y_pair { x: 1 y: 0.5 } } }
        class_id_xy_pairs_map { key: 3 value { x_y_pair { x: 0.5 y: 0.2 } x_y_pair { x: 0.75 y: 1 } } } } }""")
    expected = sigmoid(LOGITS)
    expected[..., 1] /= 2
    expected[..., 3] = np.interp(expected[..., 3], [0.5, 0.75], [0.2, 1])
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_temperature_divides_logits():
    found = scores("score_converter: SOFTMAX calibration_config { temperature_scaling_calibration { scaler: 2 } }")
    powers = np.exp(LOGITS / 2)
    np.testing.assert_allclose(found, powers / powers.sum(axis=-1, keepdims=True), rtol=1e-5)


def test_no_calibration_by_default():
    np.testing.assert_array_equal(scores("calibration_config {}"), LOGITS)
