"""Reads the scores of all classes of each box (`image/object/class/multiclass_scores`).

They come from another detector, for example, or from several annotators. A record without scores gets one-hot classes.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from detection.data.reading.record_errors import Check, check_record
from detection.data.sample import Record

KEY = "image/object/class/multiclass_scores"
FEATURES = {KEY: tf.io.RaggedFeature(tf.float32)}


class ClassScoreReader(NamedTuple):
    """Reads the scores of the boxes of a record."""

    columns: int  # scores of a box: K, or K + 1 if the first is that of the background
    num_classes: int  # K

    def __call__(self, record: Record, features: dict[str, tf.Tensor], classes: tf.Tensor) -> tf.Tensor:
        """Returns float32 [n, columns], one-hot if the record has no scores.

        Args:
            record: for its address.
            features: its parsed keys.
            classes: int32 [n], 0-based.
        """
        scores, count = features[KEY], tf.size(classes)
        expected = count * self.columns
        absent = tf.size(scores) == 0

        def fail() -> tf.Tensor:
            given = tf.strings.format("has {} values for {} boxes", (tf.size(scores), count))
            finite = tf.reduce_all(tf.math.is_finite(scores))
            fix = f"write {self.columns} for each box, one a class, or none at all"
            checks = (
                Check(absent | (tf.size(scores) == expected), "field_length", KEY, given, fix),
                Check(finite, "field_length", KEY, "has values that are not finite", "write numbers"),
            )
            check_record(record, checks)
            return tf.constant(False)

        usable = (absent | (tf.size(scores) == expected)) & tf.reduce_all(tf.math.is_finite(scores))
        with tf.control_dependencies([tf.cond(usable, lambda: tf.constant(True), fail)]):
            one_hot = tf.one_hot(classes + (self.columns - self.num_classes), self.columns)
        return tf.cond(absent, lambda: one_hot, lambda: tf.reshape(scores, [count, self.columns]))
