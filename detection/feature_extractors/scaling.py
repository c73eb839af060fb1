"""How images are scaled for the networks: each was trained on pixels of its own range, and its checkpoints expect it."""

from __future__ import annotations

import tensorflow as tf


def to_unit_range(images: tf.Tensor) -> tf.Tensor:
    """0 ... 255 -> -1 ... 1, as the Inception and MobileNet families want it."""
    return images * (2.0 / 255.0) - 1.0
