"""Functions for `tf.data`: traced without autograph, and error branches that are traced once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf


def without_autograph(function: Callable) -> Callable:
    """Disables autograph for a function, which makes tracing faster; it must use only TensorFlow operations."""
    return functools.wraps(function)(tf.autograph.experimental.do_not_convert(function))


def traced_once(state: NamedTuple) -> Callable[[Callable], Callable]:
    """Returns the decorator of a function for `passes_or`; `state` contains the specs of its tensors."""
    return tf.function(autograph=False, input_signature=[state])


def passes_or(fail: Callable, is_valid: tf.Tensor, state: NamedTuple) -> tf.Tensor:
    """True if `is_valid`; otherwise calls `fail(state)`, which makes the pipeline fail.

    The operations of `fail` are not part of the calling graph, which makes that graph much faster to build.

    Args:
        fail: decorated by `traced_once`, returns a bool scalar. It is traced once per process, so everything that it
            depends on must be in `state`.
        is_valid: bool scalar.
        state: tensors, or values that can be converted to tensors.
    """
    if tf.executing_eagerly():
        return tf.constant(True) if is_valid else fail(state)
    failing = fail.get_concrete_function()
    passing = _passing(failing)
    for branch in (passing, failing):
        branch.add_to_graph()
    inputs = [tf.convert_to_tensor(part) for part in tf.nest.flatten(state)]
    (done,) = tf.raw_ops.If(cond=is_valid, input=inputs, Tout=[tf.bool], then_branch=passing, else_branch=failing)
    return tf.ensure_shape(done, [])


@functools.cache
def _passing(failing: Callable) -> Callable:
    """Returns a function with the same inputs that returns True."""
    specs = tf.nest.flatten(failing.structured_input_signature)
    return tf.function(lambda *_: tf.constant(True), autograph=False, input_signature=specs).get_concrete_function()
