"""Weights of examples as expected of balanced sampling, by hand."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from detection.ops.expected_sampling import ExpectedSampling, ReweightedNegatives

# Two positives among ten; none; all.
POSITIVE = np.array([[1, 0, 0, 1] + [0] * 6, [0] * 10, [1] * 10], np.float32)


def test_expected_sampling():
    """Of ten, two positives: three negatives for each other positive, of as many as can be negative beside them. A
    negative sees two positives and eight negatives."""
    weights = tf.function(ExpectedSampling(ratio=3, least=2))(POSITIVE).numpy()
    np.testing.assert_allclose(weights[0], [1, 0.75, 0.75, 1] + [0.75] * 6)
    np.testing.assert_allclose(weights[1], [0.2] * 10)
    np.testing.assert_allclose(weights[2], [1] * 10)
    assert ExpectedSampling(ratio=100)(POSITIVE).numpy()[0].tolist() == [1] * 10, "no more than there are"
    assert ExpectedSampling(ratio=3)(POSITIVE).numpy()[1].tolist() == [0] * 10


@pytest.mark.parametrize(("ratio", "least", "first", "second"), [(3, 2, 0.75, 0.2), (0.5, 4, 0.5, 0.4), (9, 0, 1, 0)])
def test_reweighted_negatives(ratio, least, first, second):
    """All negatives together count as `ratio` a positive, but at least `least`, and no more than there are."""
    weights = tf.function(ReweightedNegatives(ratio, least))(POSITIVE).numpy()
    np.testing.assert_allclose(weights[0], np.where(POSITIVE[0] > 0, 1, first))
    np.testing.assert_allclose(weights[1], [second] * 10)
    np.testing.assert_allclose(weights[2], [1] * 10)
