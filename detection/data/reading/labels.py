"""Maps the class fields of a record (text and number) to label ids.

With a label map, the text is looked up among its names and display names; if two classes have the same name, the larger
id is used (as in the TF Object Detection API). The number is used if there is no text. If both are present and mean
different classes, that is an error.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from detection.data.reading.tables import text_table


class Labels(NamedTuple):
    """Classes of the boxes of one record."""

    ids: tf.Tensor  # int64 [n], 1-based; -1 if the text is unknown
    known: tf.Tensor  # bool [n], whether it is a class of this run
    disagreeing: tf.Tensor  # int32 scalar, number of boxes whose text has another id than their number


class LabelLookup:
    """Lookup tables of one label map.

    Args:
        text_ids: names and display names with their ids; empty: only numbers are used.
        ids: the allowed ids; empty: 1 to `num_classes`, or any from 1 on if that is 0.
        num_classes: the largest allowed id; 0: no limit.
    """

    def __init__(self, text_ids: tuple[tuple[str, int], ...], ids: tuple[int, ...], num_classes: int) -> None:
        merged: dict[str, int] = {}
        for text, label_id in text_ids:
            merged[text] = max(label_id, merged.get(text, -1))
        merged.pop("", None)
        self._num_classes = num_classes
        self.class_texts = tuple(merged)  # names and display names, for lookup
        with tf.device("/cpu:0"):
            self._texts = None
            if merged:
                self._texts = text_table(merged)
        valid_ids = [label_id for label_id in ids if label_id >= 1 and (not num_classes or label_id <= num_classes)]
        allowed = [False] * (max(valid_ids, default=0) + 1)
        for label_id in valid_ids:
            allowed[label_id] = True
        self._allowed = tuple(allowed) if valid_ids else None

    @property
    def reads_texts(self) -> bool:
        """Whether class/text is used."""
        return self._texts is not None

    def __call__(self, texts: tf.Tensor, numbers: tf.Tensor) -> Labels:
        """Looks up a record's class/text (string [n] or [0]) and class/label (int64 [n] or [0])."""
        ids, disagreeing = numbers, tf.constant(0)
        if self._texts is not None:
            text_ids, count = self._texts.lookup(texts), tf.size(texts)
            has_both = (count > 0) & (count == tf.size(numbers))
            padded = tf.concat([numbers, tf.zeros([count], tf.int64)], axis=0)[:count]  # as long as the texts
            text_ids = tf.where(has_both & (texts == ""), padded, text_ids)
            ids = tf.concat([text_ids, numbers[: tf.where(count > 0, 0, tf.size(numbers))]], axis=0)
            differs = has_both & (text_ids != padded) & (text_ids >= 0)
            disagreeing = tf.math.count_nonzero(differs, dtype=tf.int32)
        return Labels(ids, self._is_known(ids), disagreeing)

    def _is_known(self, ids: tf.Tensor) -> tf.Tensor:
        if self._allowed is None:
            return (ids >= 1) & (ids <= self._num_classes) if self._num_classes else ids >= 1
        last = len(self._allowed) - 1
        return tf.gather(tf.constant(self._allowed), tf.clip_by_value(ids, 0, last)) & (ids >= 1) & (ids <= last)
