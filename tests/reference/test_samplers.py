"""The balanced sampler against the numbers in the TF Object Detection API's own unit tests of it."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from detection.ops.samplers import BalancedSampler

ALL = np.ones(300, bool)
# name -> (fraction, size, eligible, positive, drawn, positives drawn)
CASES = {
    "enough of both": (0.5, 64, ALL, np.arange(300) > 200, 64, 32),
    "few positives": (0.5, 64, np.arange(100) < 90, np.arange(100) >= 80, 64, 10),
    "fewer than wanted": (0.5, 64, np.arange(100) < 60, np.arange(100) >= 50, 60, 10),
    "without a size": (0.01, None, np.arange(1000) < 999, np.arange(1000) >= 994, 500, 5),
}


@pytest.mark.parametrize("seeded", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_numbers_drawn(name, seeded):
    fraction, size, eligible, positive, drawn, positives = CASES[name]
    seed = tf.constant([1, 2]) if seeded else None
    mask = BalancedSampler(fraction)(tf.constant(eligible[None]), tf.constant(positive[None]), size, seed).numpy()[0]
    assert mask.sum() == drawn and (mask & positive).sum() == positives and not (mask & ~eligible).any()


def test_all_eligible_are_drawn_where_there_are_fewer():
    """The reference's sampler for TPUs fills up to 64 with anchors that may not be drawn; its ordinary one, and ours,
    draw the 60 that there are."""
    _, size, eligible, positive, _, _ = CASES["fewer than wanted"]
    mask = BalancedSampler(0.5)(tf.constant(eligible[None]), tf.constant(positive[None]), size).numpy()[0]
    np.testing.assert_array_equal(mask, eligible)
