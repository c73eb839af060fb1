"""Functions for `tf.data`, traced without autograph."""

from __future__ import annotations

import functools
from collections.abc import Callable

import tensorflow as tf


def without_autograph(function: Callable) -> Callable:
    """Keeps autograph away: everything here is plain operations, and tracing is faster without."""
    return functools.wraps(function)(tf.autograph.experimental.do_not_convert(function))
