"""Random minibatches: sizes by rule, members from the right side, uniform, reproducible."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from detection.ops.samplers import BalancedSampler, random_subset


def masks(positives, negatives, ineligible, batch=1):
    positive = tf.constant([[True] * positives + [False] * negatives + [True, False] * ineligible] * batch)
    eligible = tf.constant([[True] * (positives + negatives) + [False] * 2 * ineligible] * batch)
    return eligible, positive


@pytest.mark.parametrize(
    ("positives", "negatives", "size", "expected"),
    [
        (30, 200, 64, (16, 48)),  # enough of both
        (5, 200, 64, (5, 59)),  # few positives: filled up with negatives
        (30, 10, 64, (16, 10)),  # few negatives: fewer are drawn
        (0, 200, 64, (0, 64)),
        (0, 0, 64, (0, 0)),
    ],
)
def test_sizes(positives, negatives, size, expected):
    eligible, positive = masks(positives, negatives, 4, batch=2)
    drawn = BalancedSampler(0.25)(eligible, positive, size).numpy()
    assert drawn.shape == positive.shape and not (drawn & ~eligible.numpy()).any()
    for row, is_positive in zip(drawn, positive.numpy(), strict=True):
        assert ((row & is_positive).sum(), (row & ~is_positive).sum()) == expected


def test_without_a_size_all_positives_stay():
    eligible, positive = masks(7, 200, 4)
    drawn = BalancedSampler(0.3)(eligible, positive, None).numpy()[0]
    is_positive = positive.numpy()[0]
    assert ((drawn & is_positive).sum(), (drawn & ~is_positive).sum()) == (7, int(7 * 0.7 / 0.3))
    nothing = BalancedSampler(0.3)(*masks(0, 20, 0), None)
    assert not nothing.numpy().any()


def test_draws_are_uniform_and_reproducible():
    candidates = tf.constant([[True, False] * 4] * 2000)
    drawn = random_subset(candidates, tf.fill([2000], 2), tf.constant([1, 2])).numpy()
    assert (drawn.sum(-1) == 2).all() and not drawn[:, 1::2].any()
    np.testing.assert_allclose(drawn[:, ::2].mean(0), [0.5] * 4, atol=0.05)
    np.testing.assert_array_equal(drawn, random_subset(candidates, tf.fill([2000], 2), tf.constant([1, 2])))
    assert (drawn != random_subset(candidates, tf.fill([2000], 2), tf.constant([1, 3])).numpy()).any()


def test_compiles_under_xla_with_static_shape():
    eligible, positive = masks(30, 200, 4)
    sample = tf.function(lambda e, p, s: BalancedSampler(0.5)(e, p, 64, s), jit_compile=True)
    drawn = sample(eligible, positive, tf.constant([3, 4]))
    assert drawn.shape == positive.shape and drawn.numpy().sum() == 64
