from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from detection.optimizers import schedules


def _at(schedule, *steps: int) -> list[float]:
    traces = []

    @tf.function
    def rate(step):
        traces.append(1)
        return schedule(step)

    values = [float(rate(tf.constant(step, tf.int64))) for step in steps]
    assert len(traces) == 1
    return values


def test_constant():
    assert _at(schedules.Constant(0.25), 0, 10) == [0.25, 0.25]


def test_exponential_burn_in_staircase_and_minimum():
    schedule = schedules.ExponentialDecay(1.0, 10, 0.5, burnin_learning_rate=0.125, burnin_steps=5, minimum=0.2)
    np.testing.assert_allclose(_at(schedule, 0, 4, 5, 14, 15, 25, 35), [0.2, 0.2, 1, 1, 0.5, 0.25, 0.2], rtol=1e-6)
    smooth = schedules.ExponentialDecay(1.0, 10, 0.25, staircase=False)
    np.testing.assert_allclose(_at(smooth, 0, 5, 10), [1, 0.5, 0.25], rtol=1e-6)


def test_exponential_burn_in_without_a_rate_is_the_initial_one():
    schedule = schedules.ExponentialDecay(1.0, 10, 0.5, burnin_steps=20)
    np.testing.assert_allclose(_at(schedule, 0, 19, 20, 30), [1, 1, 1, 0.5])


def test_exponential_staircase_is_exact_beyond_float32():
    schedule = schedules.ExponentialDecay(1.0, 2**25, 0.5)
    assert _at(schedule, 2**25 - 1, 2**25) == [1.0, 0.5]


def test_manual_steps():
    assert _at(schedules.ManualStep((), (0.5,)), 3) == [0.5]
    assert _at(schedules.ManualStep((10, 20), (1.0, 0.5, 0.25)), 0, 9, 10, 19, 20, 99) == [1, 1, 0.5, 0.5, 0.25, 0.25]
    assert _at(schedules.ManualStep((10, 20), (0.0, 1.0, 0.25), warmup=True), 0, 5, 10, 20) == [0, 0.5, 1, 0.25]


@pytest.mark.parametrize(("boundaries", "rates"), [((0, 5), (1, 1, 1)), ((5, 5), (1, 1, 1)), ((5,), (1,))])
def test_manual_steps_must_rise(boundaries, rates):
    with pytest.raises(ValueError, match="must rise"):
        schedules.ManualStep(boundaries, rates)


def test_cosine_warms_up_holds_and_ends_at_zero():
    schedule = schedules.CosineDecay(1.0, 110, warmup_learning_rate=0.5, warmup_steps=5, hold_steps=5)
    np.testing.assert_allclose(_at(schedule, 0, 3, 5, 10, 60, 110, 200), [0.5, 0.8, 1, 1, 0.5, 0, 0], atol=1e-7)
    with pytest.raises(ValueError, match="must not exceed total_steps"):
        schedules.CosineDecay(1.0, 9, warmup_steps=5, hold_steps=5)


def test_a_cosine_that_only_warms_up():
    schedule = schedules.CosineDecay(1.0, 10, warmup_learning_rate=0.5, warmup_steps=10)
    np.testing.assert_allclose(_at(schedule, 0, 5, 9, 10, 11), [0.5, 0.75, 0.95, 1, 0], atol=1e-7)
