"""Converts groundtruth from lists with one tensor per image to the padded structure that detectors take."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from detection.types import Groundtruth


class Given(NamedTuple):
    """The arguments of `DetectionModel.provide_groundtruth`."""

    boxes: list[tf.Tensor]
    classes: list[tf.Tensor]
    weights: list[tf.Tensor] | None
    is_crowd: list[tf.Tensor] | None

    def padded(self, images: tf.Tensor) -> Groundtruth:
        """Returns padded groundtruth for preprocessed images, float32 [B, H, W, 3]."""
        counts = tf.stack([tf.shape(boxes)[0] for boxes in self.boxes])
        most = tf.reduce_max(counts)
        weights = self.weights or [tf.ones(tf.shape(boxes)[:1]) for boxes in self.boxes]
        crowds = self.is_crowd or [tf.zeros(tf.shape(boxes)[:1], tf.bool) for boxes in self.boxes]
        sides = tf.cast(tf.tile(tf.shape(images)[1:3], [2]), tf.float32)
        boxes = sides * _stacked([tf.cast(each, tf.float32) for each in self.boxes], most)
        is_crowd = _stacked([tf.cast(each, tf.bool) for each in crowds], most)
        return Groundtruth(
            boxes=boxes,
            classes=_stacked([tf.argmax(each, axis=-1, output_type=tf.int32) for each in self.classes], most),
            weights=tf.where(is_crowd, 0.0, _stacked([tf.cast(each, tf.float32) for each in weights], most)),
            counts=counts,
            is_crowd=is_crowd,
            difficult=tf.zeros_like(is_crowd),
            areas=(boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1]),
        )


def _stacked(rows: list[tf.Tensor], most: tf.Tensor) -> tf.Tensor:
    """Stacks tensors [n, ...] to [B, most, ...], padded with zeros."""
    return tf.stack([tf.pad(each, [[0, most - tf.shape(each)[0]], *[[0, 0]] * (each.shape.rank - 1)]) for each in rows])
