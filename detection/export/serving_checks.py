"""Checks the inputs of a served model inside its graph.

A frozen graph can only fail with a text message, so the message says which input, what is wrong with it and what to
send instead. Without these checks an empty batch fails somewhere in a convolution, and a bad image in a batch fails
without its number. The checks compare shapes and look at the first bytes of strings.
"""

from __future__ import annotations

from functools import reduce

import tensorflow as tf

from detection.data.graph_text import readable

EMPTY_BATCH = "the batch is empty; send at least one image"
EMPTY_IMAGE = "images without pixels; height and width must be at least 1. Shape:"
NO_IMAGE = "not a JPEG, PNG, GIF, BMP or WebP file; send the bytes of the file. Index in the batch, and first bytes:"
BASE64 = (
    'base64 text instead of an image; decode it first (in a REST request, send {"b64": "..."}). Index in the batch:'
)
# The first bytes of the formats that TensorFlow decodes, and the same bytes in base64.
_STARTS = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"RIFF")
_BASE64_STARTS = (b"/9j/", b"_9j_", b"iVBORw", b"R0lGOD", b"Qk", b"UklGR")


def checked_images(images: tf.Tensor, spec: tf.TensorSpec) -> tf.Tensor:
    """Returns `images` unchanged after checking that they fit `spec` and that there is at least one.

    TensorFlow compares the dtype of an input with the signature, but not its shape.
    """
    images = tf.ensure_shape(images, spec.shape, name=f"{spec.name}_as_declared")
    shape = tf.raw_ops.Shape(input=images)
    checks = [
        tf.debugging.Assert(shape[0] > 0, [f"{spec.name}: {EMPTY_BATCH}"]),
        tf.debugging.Assert(tf.reduce_all(shape[1:] > 0), [f"{spec.name}: {EMPTY_IMAGE}", shape], summarize=4),
    ]
    with tf.control_dependencies(checks):
        return tf.identity(images)


def checked_strings(strings: tf.Tensor, spec: tf.TensorSpec) -> tf.Tensor:
    """Returns `strings` unchanged after checking that there is at least one and that all start like image files."""
    strings = tf.ensure_shape(strings, spec.shape, name=f"{spec.name}_as_declared")
    other = tf.where(~_begin_with(strings, _STARTS))[:1, 0]
    base64 = tf.where(_begin_with(strings, _BASE64_STARTS))[:1, 0]
    checks = [
        tf.debugging.Assert(tf.raw_ops.Shape(input=strings)[0] > 0, [f"{spec.name}: {EMPTY_BATCH}"]),
        tf.debugging.Assert(tf.equal(tf.size(base64), 0), [f"{spec.name}: {BASE64}", base64]),
    ]
    with tf.control_dependencies(checks):  # Base64 text would fail both checks; the more specific message comes first.
        starts = readable(tf.strings.substr(tf.gather(strings, other), 0, 16), controls=False)
        checks = [tf.debugging.Assert(tf.equal(tf.size(other), 0), [f"{spec.name}: {NO_IMAGE}", other, starts])]
    with tf.control_dependencies(checks):
        return tf.identity(strings)


def _begin_with(strings: tf.Tensor, starts: tuple[bytes, ...]) -> tf.Tensor:
    return reduce(tf.logical_or, (tf.equal(tf.strings.substr(strings, 0, len(start)), start) for start in starts))
