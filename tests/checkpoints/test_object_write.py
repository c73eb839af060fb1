"""Object-based checkpoints that are written here, restored by TensorFlow's own code."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from detection.checkpoints import checkpoint_files, object_files, object_write
from detection.checkpoints.object_files import SLOT
from detection.checkpoints.object_names import ObjectNames
from detection.errors import ConfigError

KERNEL, SLASHED = "model/_feature_extractor/layers/0/kernel", "model/_prediction_head_dict/box.Sscale/bias"
NAMES = {"Net/weights": KERNEL, "Head/biases": SLASHED}


def _values() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    shapes = {KERNEL: (3, 2), f"{KERNEL}{SLOT}optimizer/m": (3, 2), f"{KERNEL}{SLOT}optimizer/v": (3, 2), SLASHED: (2,)}
    return {key: random.uniform(0.5, 1, shape).astype("f4") for key, shape in shapes.items()} | {
        "step": np.int64(7),
        "save_counter": np.int64(1),
        "optimizer/beta1_power": np.float32(0.5),
    }


@pytest.fixture
def prefix(tmp_path) -> str:
    checkpoint_files.write(tmp_path / "ckpt-1", object_write.tensors(_values()))
    return str(tmp_path / "ckpt-1")


def test_tensorflow_restores_variables_step_and_slots(prefix):
    values, model = _values(), tf.Module()
    model._feature_extractor, model._prediction_head_dict = tf.Module(), tf.Module()
    model._feature_extractor.layers = [tf.Module()]
    kernel = model._feature_extractor.layers[0].kernel = tf.Variable(tf.zeros([3, 2]))
    head = tf.Module()
    head.bias = tf.Variable(tf.zeros([2]))
    setattr(model._prediction_head_dict, "box/scale", head)
    optimizer, step = tf.compat.v1.train.AdamOptimizer(), tf.Variable(0, dtype=tf.int64)
    status = tf.train.Checkpoint(model=model, step=step, optimizer=optimizer).restore(prefix)
    status.assert_existing_objects_matched()
    optimizer.apply_gradients([(tf.zeros([3, 2]), kernel)])  # Which makes the slots.
    np.testing.assert_array_equal(head.bias, values[SLASHED])
    np.testing.assert_allclose(optimizer.get_slot(kernel, "m"), 0.9 * values[f"{KERNEL}{SLOT}optimizer/m"], rtol=1e-6)
    np.testing.assert_allclose(optimizer.get_slot(kernel, "v"), 0.999 * values[f"{KERNEL}{SLOT}optimizer/v"], rtol=1e-6)
    assert int(step) == 7


def test_ours_reads_it(prefix):
    found = object_files.contents(prefix)
    assert set(found.entries) | set(found.slots) == set(_values())
    assert found.step() == 7 and found.find(SLASHED) == SLASHED
    for key, value in _values().items():
        np.testing.assert_array_equal(object_files.read(prefix, [key])[key], value)
    assert object_files.average(KERNEL, {f"{KERNEL}{SLOT}optimizer/average": None}) is not None


def test_names_and_keys_are_each_others():
    names = ObjectNames(NAMES)
    run = ["Net/weights", "Net/weights/Adam", "Net/weights/Adam_1", "Net/weights/ExponentialMovingAverage"]
    run += ["Head/biases", "Head/biases/RMSProp", "Head/biases/RMSProp_1", "Net/weights/Momentum"]
    run += ["global_step", "beta1_power", "generator_0/seed_generator_state"]
    values = {name: np.int64(number) for number, name in enumerate(run)}
    encoded = names.encoded(values)
    assert {key.partition(SLOT)[2].partition("/.ATT")[0] for key in encoded if SLOT in key} == {
        *("optimizer/m", "optimizer/v", "optimizer/average", "optimizer/rms", "optimizer/momentum"),
        "optimizer/Momentum",
    }
    assert encoded["optimizer/iter/.ATTRIBUTES/VARIABLE_VALUE"] == values["global_step"]
    assert names.decoded(encoded, run) == values
    stray = names.decoded({**encoded, "model/other/.ATTRIBUTES/VARIABLE_VALUE": np.int64(0)}, run)
    assert set(stray) - set(values) == {"model/other"}


def test_a_model_without_keys_is_refused():
    with pytest.raises(
        ConfigError,
        match="--checkpoint_format=object: .* no object-based checkpoints of the config's model .*Net/weights",
    ):
        ObjectNames({}).check(["generator_0/seed_generator_state", "Net/weights"], "--checkpoint_format=object")
