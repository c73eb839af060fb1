"""Parsing tf.Examples, whatever their bytes are.

`tf.io.parse_example` and its relatives use a fast parser of their own that believes the lengths it reads: of a packed
list whose length is damaged, it first makes room for that many bytes (up to 2 GiB for a record of 1 KB), and from 2^31
on it copies beyond the record, which ends the process with a segmentation fault. So no record reaches it before
protobuf's own parser has read it, which compares every length with the bytes that are there.

That parser is reached through an operation for tf.SequenceExamples, whose context has the place and the type of a
tf.Example's features. It is asked for a key that no record has, so that it parses everything and copies nothing out:
about 25 µs for a record of 70 KB, beside 1.1 ms for decoding its image (one thread).
"""

from __future__ import annotations

import tensorflow as tf

_NO_KEY = "not a key of any record"


def parse_example(serialized: tf.Tensor, features: dict[str, object]) -> dict[str, tf.Tensor]:
    """As `tf.io.parse_single_example`, for a string scalar that may hold anything.

    Raises:
        InvalidArgumentError, UnicodeDecodeError: `serialized` is no tf.Example (TensorFlow quotes its bytes in the
            message, which Python cannot always read), or a key has another type.
    """
    # An assertion, since TensorFlow removes an operation without side effects that nothing but a control dependency
    # asks for.
    parsed = tf.raw_ops.Assert(condition=_count(serialized) >= 0, data=[_NO_KEY])
    with tf.control_dependencies([] if parsed is None else [parsed]):
        checked = tf.identity(serialized)
    return tf.io.parse_single_example(checked, features)


def _count(serialized: tf.Tensor) -> tf.Tensor:
    """How many values `_NO_KEY` has (int64 scalar, 0), after protobuf's parser has read all of the record."""
    parsed = tf.raw_ops.ParseSingleSequenceExample(
        serialized=serialized,
        context_sparse_keys=[_NO_KEY],
        context_sparse_types=[tf.float32],
        context_dense_keys=[],
        context_dense_defaults=[],
        context_dense_shapes=[],
        feature_list_dense_missing_assumed_empty=tf.constant([], tf.string),
        feature_list_dense_keys=[],
        feature_list_dense_types=[],
        feature_list_dense_shapes=[],
        feature_list_sparse_keys=[],
        feature_list_sparse_types=[],
        debug_name="",
    )
    return parsed.context_sparse_shapes[0][0]
