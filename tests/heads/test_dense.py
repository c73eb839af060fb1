"""The dense head: names, row order, and every option of its message."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from detection.heads.dense import DenseHead, PredictorOptions
from detection.networks.hyperparams import BatchNormSettings, Hyperparams

HYPER = Hyperparams(
    keras.initializers.RandomNormal(stddev=0.5, seed=1),
    activation=tf.nn.relu6,
    batch_norm=BatchNormSettings(scale=True),
)
MAPS = tuple(
    tf.constant(np.random.default_rng(i).normal(size=(2, side, side + 1, 8)), tf.float32)
    for i, side in enumerate((3, 2))
)


def _run(training: bool = False, **options: object) -> tuple[DenseHead, tf.Tensor, tf.Tensor]:
    head = DenseHead((2, 3), 5, PredictorOptions(HYPER, **options))
    return head, *head.run(MAPS, training=training)


def test_rows_are_ordered_by_cell_and_anchor() -> None:
    head, codes, logits = _run()
    assert codes.shape == (2, 3 * 4 * 2 + 2 * 3 * 3, 4) and logits.shape == (2, 42, 5)
    kernel = head.predictors[0].classes[0].kernel.numpy()[0, 0]  # [8, 2 anchors * 5]
    cell = (MAPS[0].numpy()[1, 2, 1] @ kernel).reshape(2, 5)
    np.testing.assert_allclose(logits[1, (2 * 4 + 1) * 2 :][:2], cell, rtol=1e-5, atol=1e-5)


def test_names() -> None:
    head, _, _ = _run(layers_before=1, min_depth=0, max_depth=6, depthwise=True, kernel_size=3)
    paths = {v.path for v in head.variables}
    assert {
        "BoxPredictor_0/Conv2d_0_1x1_6/weights",
        "BoxPredictor_1/ClassPredictor_depthwise/depthwise_weights",
    } <= paths
    assert {
        "BoxPredictor_0/BoxEncodingPredictor/biases",
        "BoxPredictor_0/BoxEncodingPredictor_depthwise/BatchNorm/gamma",
    } <= paths
    assert "BoxPredictor_0/BoxEncodingPredictor/BatchNorm/gamma" not in paths
    single = DenseHead((2,), 5, PredictorOptions(HYPER))
    single.run(MAPS[:1])
    assert {v.path.split("/")[0] for v in single.variables} == {"BoxPredictor"}


def test_no_shared_layers_without_a_depth() -> None:
    head, _, _ = _run(layers_before=2)
    assert head.predictors[0].shared == ()


def test_options() -> None:
    _, codes, logits = _run(code_range=(-0.1, 0.1), sigmoid_scores=True)
    assert abs(codes.numpy()).max() <= 0.1 and 0 < logits.numpy().min() < logits.numpy().max() < 1
    head, _, _ = _run(class_bias=-4.0)
    np.testing.assert_array_equal(head.predictors[1].classes[0].bias, np.full(15, -4.0, "f4"))
    np.testing.assert_array_equal(head.predictors[1].boxes[0].bias, np.zeros(12, "f4"))


def test_dropout_reaches_classes_in_training_only() -> None:
    head, codes, logits = _run(dropout_keep=0.5)
    again_codes, again = head.run(MAPS, training=True)
    np.testing.assert_array_equal(codes, again_codes)
    assert abs(logits - again).numpy().max() > 0.1
    np.testing.assert_array_equal(head.run(MAPS)[1], logits)


def test_regularizer_reaches_kernels_but_not_biases() -> None:
    penalized = dataclasses.replace(HYPER, regularizer=lambda kernel: tf.reduce_sum(tf.abs(kernel)))
    head = DenseHead((2, 3), 5, PredictorOptions(penalized))
    head.run(MAPS)
    kernels = [v for v in head.trainable_variables if v.path.endswith("/weights")]
    assert len(kernels) == 4
    assert float(sum(head.losses)) == pytest.approx(sum(float(tf.reduce_sum(tf.abs(k))) for k in kernels), rel=1e-5)
