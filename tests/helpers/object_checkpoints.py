"""Object-based checkpoints written by TensorFlow itself from attribute paths and arrays."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from detection.pipeline import Detector


def write(folder: Path, values: Mapping[str, np.ndarray], slot: str = "") -> str:
    """Saves `values` by key ("model/_box_predictor/.../bias") under folder/ckpt-1; returns the prefix.

    Args:
        slot: as training does it: with a step (7), and an optimizer's slot of this name for every variable, of twice
            its value.
    """
    root, variables = tf.train.Checkpoint(), []
    for key, value in values.items():
        # TensorFlow writes a slash within a name as ".S".
        *path, leaf = (name.replace(".S", "/") for name in key.split("/"))
        node = root
        for name in path:
            if not hasattr(node, name):
                setattr(node, name, tf.Module())
            node = getattr(node, name)
        variables.append(tf.Variable(value))
        setattr(node, leaf, variables[-1])
    if slot:
        root.step = tf.Variable(7, dtype=tf.int64)
        root.optimizer = tf.compat.v1.train.GradientDescentOptimizer(0.1)
        for variable in variables:
            root.optimizer._get_or_make_slot(variable, 2 * variable, slot, slot)
    return root.save(str(folder / "ckpt"))


def filled(detector: Detector, values: Mapping[str, np.ndarray]) -> set[str]:
    """Returns the keys of variables that have their value in `values`; asserts that the others are zero."""
    variables = {key: variable.numpy() for key, variable in detector.object_keys().items()}
    done = {key for key, value in variables.items() if np.array_equal(value, values[key])}
    assert all(not value.any() for key, value in variables.items() if key not in done)
    return done
