"""Object-based checkpoints as TensorFlow itself writes them, made of nothing but paths of attributes and arrays."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf


def write(folder: Path, values: Mapping[str, np.ndarray], momentum: bool = False) -> str:
    """Saves `values` by key ("model/_box_predictor/.../bias") under folder/ckpt-1; returns the prefix.

    Args:
        momentum: as training does it: with a step (7), and a slot of an optimizer for every variable.
    """
    root, variables = tf.train.Checkpoint(), []
    for key, value in values.items():
        *path, leaf = key.split("/")
        node = root
        for name in path:
            if not hasattr(node, name):
                setattr(node, name, tf.Module())
            node = getattr(node, name)
        variables.append(tf.Variable(value))
        setattr(node, leaf, variables[-1])
    if momentum:
        root.step = tf.Variable(7, dtype=tf.int64)
        root.optimizer = tf.compat.v1.train.MomentumOptimizer(0.1, 0.9)
        root.optimizer.apply_gradients([(tf.zeros_like(variable), variable) for variable in variables])
    return root.save(str(folder / "ckpt"))
