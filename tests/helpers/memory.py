"""Memory that runs out at once."""

from __future__ import annotations

import tensorflow as tf


def exhausted() -> tf.Tensor:
    """A number, float32 [], whose computation ends with TensorFlow's ResourceExhaustedError.

    TensorFlow's own allocator tries again for ten seconds before it gives up; test_loop.py waits for that.
    """
    number = tf.numpy_function(_fail, [], tf.float32, stateful=True)
    return tf.ensure_shape(number, [])


def _fail() -> None:
    raise MemoryError("OOM when allocating a tensor")
