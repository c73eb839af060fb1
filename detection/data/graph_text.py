"""Makes text valid UTF-8 inside a graph: Python cannot read the message of a TensorFlow error that is not UTF-8."""

from __future__ import annotations

import tensorflow as tf


def readable(data: tf.Tensor, controls: bool = True) -> tf.Tensor:
    """Replaces invalid UTF-8 in strings by U+FFFD.

    Args:
        data: string tensor of any shape.
        controls: keep control characters; otherwise they are replaced too.
    """
    return tf.strings.unicode_transcode(
        data, "UTF-8", "UTF-8", errors="replace", replace_control_characters=not controls
    )
