"""Learning rates against the values in the TF Object Detection API's own unit tests of its schedules."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from detection.optimizers.schedules import CosineDecay, ExponentialDecay, ManualStep

HELD = CosineDecay(1.0, 120, 0.1, 9, 20)
CASES = {
    "exponential with burn-in": (
        ExponentialDecay(1.0, 3, 0.1, True, 0.5, 2, 0.05),
        range(9),
        [0.5, 0.5, 1, 1, 1, 0.1, 0.1, 0.1, 0.05],
    ),
    "cosine with warm-up": (CosineDecay(1.0, 100, 0.1, 9), [0, 4, 8, 9, 100], [0.1, 0.5, 0.9, 1.0, 0.0]),
    "cosine after its end": (CosineDecay(1.0, 100, 0.1, 9), [101], [0.0]),
    "cosine with a hold": (
        HELD,
        [0, 4, 8, 9, 10, 29, 30, 50, 70, 120],
        [0.1, 0.5, 0.9, 1, 1, 1, 0.999702, 0.874255, 0.577365, 0.0],
    ),
    "manual": (ManualStep((2, 3, 7), (1.0, 2.0, 3.0, 4.0)), range(10), [1, 1, 2, 3, 3, 3, 3, 4, 4, 4]),
    "manual with warm-up": (
        ManualStep((4, 6, 8), (0.02, 0.10, 0.01, 0.001), warmup=True),
        range(9),
        [0.02, 0.04, 0.06, 0.08, 0.10, 0.10, 0.01, 0.01, 0.001],
    ),
    "manual without boundaries": (ManualStep((), (0.01,)), range(4), [0.01] * 4),
}


@pytest.mark.parametrize("name", CASES)
def test_rates(name):
    schedule, steps, expected = CASES[name]
    rates = [schedule(tf.constant(step, tf.int64)).numpy() for step in steps]
    np.testing.assert_allclose(rates, expected, rtol=1e-4, atol=1e-6)
