"""Functions for `tf.data`: traced without autograph, and what is rarely needed only once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf


def without_autograph(function: Callable) -> Callable:
    """Keeps autograph away: everything here is plain operations, and tracing is faster without."""
    return functools.wraps(function)(tf.autograph.experimental.do_not_convert(function))


def traced_once(state: NamedTuple) -> Callable[[Callable], Callable]:
    """The decorator of a function for `passes_or`; `state` holds the tensors' specs."""
    # By the attribute TensorFlow knows functions of data sets, which are not optimised with what calls them.
    attributes = {"_tf_data_function": True}
    return tf.function(autograph=False, input_signature=[state], experimental_attributes=attributes)


def passes_or(fail: Callable, fine: tf.Tensor, state: NamedTuple) -> tf.Tensor:
    """True where `fine` (bool scalar) holds; otherwise `fail(state)` is called, which ends the pipeline with an error.

    Its operations stay out of the graph around it, which is far quicker to build without them.

    Args:
        fail: decorated by `traced_once`, returns a bool scalar. It is traced once a process, so all that it depends on
            must be in `state`.
        fine: nothing is wrong.
        state: tensors, or what becomes one.
    """
    if tf.executing_eagerly():
        return tf.constant(True) if fine else fail(state)
    failing = fail.get_concrete_function()
    passing = _passing(failing)
    for branch in (passing, failing):
        branch.add_to_graph()
    inputs = [tf.convert_to_tensor(part) for part in tf.nest.flatten(state)]
    (done,) = tf.raw_ops.If(cond=fine, input=inputs, Tout=[tf.bool], then_branch=passing, else_branch=failing)
    return tf.ensure_shape(done, [])


@functools.cache
def _passing(failing: Callable) -> Callable:
    """A function of the same inputs that returns True."""
    specs = tf.nest.flatten(failing.structured_input_signature)
    return tf.function(lambda *_: tf.constant(True), autograph=False, input_signature=specs).get_concrete_function()
