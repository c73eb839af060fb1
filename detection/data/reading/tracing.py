"""Functions for `tf.data`, traced without autograph."""

from __future__ import annotations

import functools
from collections.abc import Callable

import tensorflow as tf


def without_autograph(function: Callable) -> Callable:
    """Disables autograph for a function, which makes tracing faster; it must use only TensorFlow operations."""
    return functools.wraps(function)(tf.autograph.experimental.do_not_convert(function))
