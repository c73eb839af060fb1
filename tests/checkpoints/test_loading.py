from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from detection.checkpoints import checkpoint_files, loading
from detection.checkpoints.names import is_optional
from detection.errors import ConfigError
from tests.helpers.tiny import make_detector


def test_load_into_fills_a_detector_by_names(tmp_path):
    source, target = make_detector(), make_detector()
    source.head.biases.assign(tf.range(28, dtype=tf.float32))
    tensors = {name: variable.value for name, variable in loading.by_name(source).items() if not is_optional(name)}
    assert "FeatureExtractor/TinyNet/Conv2d_0/BatchNorm/moving_mean" in tensors
    tensors["BoxPredictor_0/biases/ExponentialMovingAverage"] = tf.fill([28], 5.0)
    checkpoint_files.write(
        tmp_path / "model.ckpt-3",
        {**tensors, "global_step": np.int64(3), "BoxPredictor_0/biases/Momentum": tf.zeros([28])},
    )
    assert loading.load_into(target, tmp_path / "model.ckpt-3") == 3
    np.testing.assert_array_equal(target.head.biases.numpy(), np.arange(28))
    loading.load_into(target, tmp_path / "model.ckpt-3", moving_averages=True)
    np.testing.assert_array_equal(target.head.biases.numpy(), np.full(28, 5))


def test_load_into_names_what_does_not_fit(tmp_path):
    tensors = {name: variable.value for name, variable in loading.by_name(make_detector()).items()}
    checkpoint_files.write(tmp_path / "model.ckpt", tensors)
    before = make_detector(3)
    start = before.head.biases.numpy()
    with pytest.raises(
        ConfigError,
        match=r"BoxPredictor_0/biases is \[28\] in the checkpoint and \[32\] in the model, and 1 more differ",
    ):
        loading.load_into(before, tmp_path / "model.ckpt")
    np.testing.assert_array_equal(before.head.biases.numpy(), start)
    del tensors["BoxPredictor_0/weights"]
    checkpoint_files.write(tmp_path / "model.ckpt", tensors)
    with pytest.raises(ConfigError, match="BoxPredictor_0/weights is not in the checkpoint"):
        loading.load_into(make_detector(), tmp_path / "model.ckpt")
    with pytest.raises(ConfigError, match="no moving averages"):
        loading.load_into(make_detector(), tmp_path / "model.ckpt", moving_averages=True)
