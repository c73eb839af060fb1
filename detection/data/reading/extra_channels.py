"""Reads additional channels of an image, such as depth, infrared, or the previous frame.

`image/additional_channels/encoded` has one image file for each, of one channel and the size of the image. They follow
red, green and blue.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from detection.data import image_header
from detection.data.reading.record_errors import Check, check_record
from detection.data.sample import Record
from detection.types import MAX_PIXELS

KEY = "image/additional_channels/encoded"
FEATURES = {KEY: tf.io.RaggedFeature(tf.string)}


class ExtraChannelReader(NamedTuple):
    """Reads a fixed number of channels."""

    count: int

    def __call__(self, record: Record, features: dict[str, tf.Tensor], shape: tf.Tensor) -> tf.Tensor:
        """Returns uint8 [h, w, count].

        Args:
            record: for its address.
            features: its parsed keys.
            shape: int32 [2], height and width of the image.
        """
        files = features[KEY]
        given = tf.strings.format("has {} files", tf.size(files))
        fix = f"store {self.count}, or set num_additional_channels to what the records have"
        enough = Check(tf.size(files) == self.count, "record_unreadable", KEY, given, fix)
        with tf.control_dependencies([_passes(record, enough)]):
            files = tf.identity(files)
        return tf.concat([_channel(record, files[number], number, shape) for number in range(self.count)], axis=2)


def _channel(record: Record, encoded: tf.Tensor, number: int, shape: tf.Tensor) -> tf.Tensor:
    """Decodes one file to uint8 [h, w, 1], after checking the size in its header."""
    pixels, effort = image_header.measure(encoded)
    fits = (pixels == tf.cast(tf.reduce_prod(shape), pixels.dtype)) & (effort <= image_header.EFFORT * MAX_PIXELS)
    said, fix = f"has another size than the image in file {number}", "store each channel in the image's own size"
    with tf.control_dependencies([_passes(record, Check(fits, "size_mismatch", KEY, said, fix))]):
        encoded = tf.identity(encoded)
    channel = tf.io.decode_image(encoded, channels=1, expand_animations=False)
    channel.set_shape([None, None, 1])
    same = tf.reduce_all(tf.shape(channel)[:2] == shape)
    with tf.control_dependencies([_passes(record, Check(same, "size_mismatch", KEY, said, fix))]):
        return tf.identity(channel)


def _passes(record: Record, check: Check) -> tf.Tensor:
    """Returns True if the check holds; otherwise the pipeline fails."""

    def fail() -> tf.Tensor:
        check_record(record, [check])
        return tf.constant(False)

    return tf.cond(check.condition, lambda: tf.constant(True), fail)
