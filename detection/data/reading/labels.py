"""From what a record says about a class (a text, a number) to a label id.

Where a label map is given, the text is looked up among its names and display names; of two classes called alike the
larger id wins (TF Object Detection API). The number counts where there is no text. Where both are there and mean two
classes, they disagree, which is an error.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from detection.data.reading.tables import text_table


class Labels(NamedTuple):
    """Classes of the boxes of one record."""

    ids: tf.Tensor  # int64 [n], 1-based; -1 where the text is unknown
    known: tf.Tensor  # bool [n], is a class of this run
    disagreeing: tf.Tensor  # int32 scalar, boxes whose text is known and means another number


class LabelLookup:
    """Tables of one label map.

    `text_ids` maps names and display names to ids (empty: numbers only); `ids` are the allowed ids (empty: 1 to
    `num_classes`, or any from 1 if that is 0).
    """

    def __init__(self, text_ids: tuple[tuple[str, int], ...], ids: tuple[int, ...], num_classes: int) -> None:
        merged: dict[str, int] = {}
        for text, label_id in text_ids:
            merged[text] = max(label_id, merged.get(text, -1))
        merged.pop("", None)
        self._num_classes = num_classes
        self.class_texts = tuple(merged)  # names and display names, by which `__call__` finds a class
        with tf.device("/cpu:0"):
            self._texts = None
            if merged:
                self._texts = text_table(merged)
        known = [label_id for label_id in ids if label_id >= 1 and (not num_classes or label_id <= num_classes)]
        allowed = [False] * (max(known, default=0) + 1)
        for label_id in known:
            allowed[label_id] = True
        self._allowed = tuple(allowed) if known else None

    @property
    def reads_texts(self) -> bool:
        """Whether class/text is used."""
        return self._texts is not None

    def __call__(self, texts: tf.Tensor, numbers: tf.Tensor) -> Labels:
        """From the record's class/text (string [n] or [0]) and class/label (int64 [n] or [0])."""
        ids, disagreeing = numbers, tf.constant(0)
        if self._texts is not None:
            found, count = self._texts.lookup(texts), tf.size(texts)
            both = (count > 0) & (count == tf.size(numbers))
            beside = tf.concat([numbers, tf.zeros([count], tf.int64)], axis=0)[
                :count
            ]  # the texts, where there are both
            found = tf.where(both & (texts == ""), beside, found)
            ids = tf.concat([found, numbers[: tf.where(count > 0, 0, tf.size(numbers))]], axis=0)
            disagree = both & (found != beside) & (found >= 0)
            disagreeing = tf.math.count_nonzero(disagree, dtype=tf.int32)
        return Labels(ids, self._is_known(ids), disagreeing)

    def _is_known(self, ids: tf.Tensor) -> tf.Tensor:
        if self._allowed is None:
            return (ids >= 1) & (ids <= self._num_classes) if self._num_classes else ids >= 1
        last = len(self._allowed) - 1
        return tf.gather(tf.constant(self._allowed), tf.clip_by_value(ids, 0, last)) & (ids >= 1) & (ids <= last)
