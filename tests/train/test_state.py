from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from detection.errors import ConfigError
from detection.optimizers.rules import RmsProp
from detection.train.state import TrainState
from tests.helpers.tiny import make_detector, make_optimizer

_SOURCE = Path("run/model.ckpt-3")


def _state(num_classes: int = 2, **optimizer) -> TrainState:
    return TrainState(make_detector(num_classes), make_optimizer(**optimizer), lambda name: True)


def _values(state: TrainState, fill: float = 9.0) -> dict[str, np.ndarray]:
    return {
        name: np.full(variable.shape, fill, variable.dtype.as_numpy_dtype)
        for name, variable in state.variables().items()
    }


def test_everything_comes_back():
    state = _state(decay=0.5)
    state.load(3, _values(state), _SOURCE)
    assert state.step.numpy() == 3
    assert all((variable.numpy() == 9).all() for name, variable in state.variables().items() if name != "global_step")


def test_slots_start_as_the_rule_says():
    extras = _state(rule=RmsProp()).extras()
    assert (
        extras["BoxPredictor_0/biases/RMSProp"].numpy().min() == 1
        and extras["BoxPredictor_0/biases/RMSProp_1"].numpy().max() == 0
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"BoxPredictor_0/biases": np.zeros(5, np.float32)},
            r"model\.ckpt-3: BoxPredictor_0/biases is \[5\] in the checkpoint and \[28\] in the model",
        ),
        ({"BoxPredictor_0/biases": None}, r"model\.ckpt-3: BoxPredictor_0/biases is not in the checkpoint"),
        (
            {"Extra/weights": np.zeros(5, np.float32)},
            r"model\.ckpt-3: Extra/weights \(1 in all\) does not exist.*--allow_config_change",
        ),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_assigned(change, message):
    state = _state()
    before = state.detector.head.weights_.numpy()
    values = {name: value for name, value in (_values(state) | change).items() if value is not None}
    with pytest.raises(ConfigError, match=message):
        state.load(3, values, _SOURCE)
    np.testing.assert_array_equal(state.detector.head.weights_.numpy(), before)


def test_lenient_only_for_what_training_adds(caplog):
    state = _state(rule=RmsProp(), decay=0.5)
    values = {name: value for name, value in _values(state).items() if "RMSProp" not in name and "Average" not in name}
    state.load(3, values | {"BoxPredictor_0/biases/Momentum": np.zeros(28, np.float32)}, _SOURCE, lenient=True)
    extras = state.extras()
    assert extras["BoxPredictor_0/biases/RMSProp"].numpy().max() == 1
    assert extras["BoxPredictor_0/biases/ExponentialMovingAverage"].numpy().min() == 9
    assert "keep their initial values" in caplog.text
    del values["BoxPredictor_0/biases"]
    with pytest.raises(ConfigError, match="BoxPredictor_0/biases is not in the checkpoint"):
        state.load(3, values, _SOURCE, lenient=True)


def test_dice_from_elsewhere_are_optional():
    state = _state()
    values = _values(state)
    assert values.pop("generator_0/seed_generator_state") is not None
    state.load(3, values, _SOURCE)
