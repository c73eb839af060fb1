"""Weights of explicit and implicit labels."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from detection.ops.example_weights import EveryClass, ExplicitClasses
from detection.types import Targets

# Anchors: matched to a box of class 1 and weight 1, to one of two classes and weight 0.5, unmatched, ignored; K = 2.
TARGETS = Targets(
    box_codes=tf.zeros([1, 4, 4]),
    box_weights=tf.constant([[1.0, 0.5, 0, 0]]),
    classes=tf.constant([[[0.0, 0, 1], [0, 1, 1], [0, 0, 0], [0, 0, 0]]]),
    class_weights=tf.constant([[1.0, 0.5, 1, 0]]),
    matches=tf.constant([[0, 1, -1, -2]]),
)


def test_implicit_labels_have_a_smaller_weight():
    weighed = ExplicitClasses(0.25)(TARGETS)
    np.testing.assert_allclose(
        weighed.class_weights, [[[1, 0.25, 1], [0.5, 0.5, 0.5], [0.25, 0.25, 0.25], [0.25, 0.25, 0.25]]]
    )
    np.testing.assert_allclose(weighed.classes, [[[0, 0, 1], [0, 1, 1], [1, 0, 0], [1, 0, 0]]])
    assert weighed.box_weights is TARGETS.box_weights and EveryClass()(TARGETS) is TARGETS
