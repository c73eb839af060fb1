"""Hyperparams: every field becomes the object it describes."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format

from detection.builders import hyperparams
from detection.networks.hyperparams import BatchNormSettings, GroupNormSettings
from detection.protos import hyperparams_pb2

NORMAL = "initializer { truncated_normal_initializer { stddev: 0.03 } } "


def _build(text: str):
    return hyperparams.build(text_format.Parse(text, hyperparams_pb2.Hyperparams()))


def test_defaults_are_those_of_the_schema() -> None:
    built = _build(NORMAL)
    assert built.activation is tf.nn.relu and built.batch_norm is None and built.regularizer is None
    assert built.has_bias and not built.regularize_depthwise
    assert _build(NORMAL + "batch_norm {}").batch_norm == BatchNormSettings(
        decay=np.float32(0.999), epsilon=np.float32(0.001)
    )


@pytest.mark.parametrize(
    ("name", "value"), [("NONE", 3.0), ("RELU", 3.0), ("RELU_6", 3.0), ("SWISH", 3 / (1 + np.exp(-3)))]
)
def test_activations(name: str, value: float) -> None:
    activation = _build(f"{NORMAL} activation: {name}").activation
    x = tf.constant([3.0, -1.0, 8.0])
    y = x if activation is None else activation(x)
    np.testing.assert_allclose(y[0], value, rtol=1e-6)
    assert float(y[2]) == pytest.approx({"RELU_6": 6.0, "SWISH": 8 / (1 + np.exp(-8))}.get(name, 8.0))
    assert float(y[1]) == pytest.approx({"NONE": -1.0, "SWISH": -1 / (1 + np.exp(1))}.get(name, 0.0))


def test_regularizers_equal_tf_slim() -> None:
    kernel = tf.constant([[1.0, -2.0]])
    assert float(
        _build(NORMAL + "regularizer { l2_regularizer { weight: 0.1 } }").regularizer(kernel)
    ) == pytest.approx(0.1 * 5 / 2)
    assert float(
        _build(NORMAL + "regularizer { l1_regularizer { weight: 0.1 } }").regularizer(kernel)
    ) == pytest.approx(0.1 * 3)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("truncated_normal_initializer { mean: 1 stddev: 0.5 }", keras.initializers.TruncatedNormal),
        ("random_normal_initializer { mean: 1 stddev: 0.5 }", keras.initializers.RandomNormal),
        ("variance_scaling_initializer { factor: 2 uniform: true mode: FAN_AVG }", keras.initializers.VarianceScaling),
        ("keras_initializer_by_name: 'glorot_normal'", keras.initializers.GlorotNormal),
        ("", keras.initializers.GlorotUniform),
    ],
)
def test_initializers(text: str, kind: type) -> None:
    initializer = _build(f"initializer {{ {text} }}").initializer
    assert isinstance(initializer, kind)
    values = initializer((50, 400)).numpy()
    if "normal_initializer" in text:
        assert abs(values.mean() - 1) < 0.02
    if "variance" in text:
        assert abs(values).max() <= np.sqrt(3 * 2 / 225) and values.var() == pytest.approx(2 / 225, rel=0.05)


def test_without_an_initialiser_it_is_that_of_tensorflow() -> None:
    assert isinstance(_build("").initializer, keras.initializers.GlorotUniform)


def test_batch_norm_and_bias() -> None:
    built = _build(
        NORMAL + "batch_norm { decay: 0.9 epsilon: 0.01 center: false scale: true train: false } force_use_bias: true"
        " regularize_depthwise: true"
    )
    norm = built.batch_norm
    assert (norm.center, norm.scale, norm.train) == (False, True, False)
    assert norm.decay == pytest.approx(0.9) and norm.epsilon == pytest.approx(0.01)
    assert built.has_bias and built.regularize_depthwise
    assert not _build(NORMAL + "batch_norm {}").has_bias


def test_normalisers() -> None:
    sync = _build(NORMAL + "sync_batch_norm { decay: 0.5 scale: true }")
    assert sync.batch_norm == BatchNormSettings(0.5, np.float32(0.001), scale=True, synchronised=True)
    grouped = _build(NORMAL + "group_norm {}")
    assert grouped.batch_norm is None and grouped.group_norm == GroupNormSettings(32, 1e-6) and not grouped.has_bias
    assert grouped.linear().has_bias and grouped.linear().group_norm is None
