"""Score conversion over all columns."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from detection.ops.scores import ScoreConverter

LOGITS = np.array([[[0.0, 2.0, -4.0]]], np.float32)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("identity", LOGITS / 2),
        ("sigmoid", 1 / (1 + np.exp(-LOGITS / 2))),
        ("softmax", np.exp(LOGITS / 2) / np.exp(LOGITS / 2).sum()),
    ],
)
def test_by_hand(kind, expected):
    np.testing.assert_allclose(ScoreConverter(kind, 2.0)(tf.constant(LOGITS)), expected, rtol=1e-6)
    np.testing.assert_allclose(ScoreConverter(kind)(tf.constant(LOGITS / 2)), expected, rtol=1e-6)
