"""Bytes in the messages with which a graph fails: texts from data need not be UTF-8, and Python cannot read an error
whose message is not.
"""

from __future__ import annotations

import tensorflow as tf


def readable(data: tf.Tensor, controls: bool = True) -> tf.Tensor:
    """The string(s) `data` as UTF-8: what is none becomes U+FFFD, and so do control characters unless they may stay
    (`controls`).
    """
    return tf.strings.unicode_transcode(
        data, "UTF-8", "UTF-8", errors="replace", replace_control_characters=not controls
    )
