"""What a served model says of an input that it cannot use.

A frozen graph can only fail with text, so the text says which input, what is wrong with it and what to send instead;
without these checks an empty batch fails somewhere in a convolution, and one image among many without its number. The
checks compare shapes, and look at the first bytes of strings.
"""

from __future__ import annotations

from functools import reduce

import tensorflow as tf

from detection.data.graph_text import readable

EMPTY_BATCH = "the batch is empty; send at least one image"
EMPTY_IMAGE = "images of no pixels; height and width must be at least 1. Shape:"
NO_IMAGE = "not a JPEG, PNG, GIF, BMP or WebP file; send the bytes of the file. Number in the batch, and how it starts:"
BASE64 = (
    'base64 text instead of an image; decode it first (a REST request does with {"b64": "..."}). Number in the batch:'
)
# What TensorFlow decodes, by its first bytes; and those bytes as base64 writes them.
_STARTS = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"RIFF")
_BASE64_STARTS = (b"/9j/", b"_9j_", b"iVBORw", b"R0lGOD", b"Qk", b"UklGR")


def checked_images(images: tf.Tensor, spec: tf.TensorSpec) -> tf.Tensor:
    """`images` as they are, once they are known to have the rank, the channels and the fixed sizes of `spec`, and to be
    at least one.

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
    """`strings` as they are, once they are known to be at least one, each beginning as an image file does."""
    strings = tf.ensure_shape(strings, spec.shape, name=f"{spec.name}_as_declared")
    other = tf.where(~_begin_with(strings, _STARTS))[:1, 0]
    base64 = tf.where(_begin_with(strings, _BASE64_STARTS))[:1, 0]
    checks = [
        tf.debugging.Assert(tf.raw_ops.Shape(input=strings)[0] > 0, [f"{spec.name}: {EMPTY_BATCH}"]),
        tf.debugging.Assert(tf.equal(tf.size(base64), 0), [f"{spec.name}: {BASE64}", base64]),
    ]
    with tf.control_dependencies(checks):  # Base64 text is no image either; of the two reasons the closer one is given.
        starts = readable(tf.strings.substr(tf.gather(strings, other), 0, 16), controls=False)
        checks = [tf.debugging.Assert(tf.equal(tf.size(other), 0), [f"{spec.name}: {NO_IMAGE}", other, starts])]
    with tf.control_dependencies(checks):
        return tf.identity(strings)


def _begin_with(strings: tf.Tensor, starts: tuple[bytes, ...]) -> tf.Tensor:
    return reduce(tf.logical_or, (tf.equal(tf.strings.substr(strings, 0, len(start)), start) for start in starts))
