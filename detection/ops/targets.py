"""Target assignment: the targets of every anchor in the survey's Equation 1.

    similarity -> match -> for anchor a matched to row m:  codes = encode(b_m, a), class = one-hot(c_m), both weights =
        w_m
                           unmatched:                      codes = 0, class = background, box weight 0, class weight
                                                           w_negative
                           ignored:                        codes = 0, class = background, both weights 0

Anchors can match rows of weight 0 that are not padding (crowds, difficult objects); they are then ignored in the loss.
No anchor matches a padding row.
"""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf

from detection.ops.anchors import Shape
from detection.ops.box_coders import BoxCoder
from detection.ops.boxes import Similarity
from detection.ops.matchers import IGNORED, Matcher
from detection.types import Groundtruth, Targets, is_given


@dataclass(frozen=True)
class TargetAssigner:
    """Assigns groundtruth to anchors.

    background_as_zeros gives background an all-zero class row instead of a one at column 0; without background_column
    there is no such column, only those of the K classes. With `normalised`, boxes are compared as fractions of the
    image: anchors of a pyramid and boxes at round coordinates can lie exactly on a threshold, and the TF Object
    Detection API rounds as fractions there.
    """

    similarity: Similarity
    matcher: Matcher
    box_coder: BoxCoder
    negative_class_weight: float = 1.0
    background_as_zeros: bool = False
    normalised: bool = False
    background_column: bool = True

    def __call__(
        self, anchors: tf.Tensor, groundtruth: Groundtruth, num_classes: int, image_shape: Shape = (1, 1)
    ) -> Targets:
        """Assigns targets to anchors; no gradient flows through them.

        Args:
            anchors: float32 [A, 4] (shared by all images) or [B, A, 4], pixels.
            groundtruth: the groundtruth boxes.
            num_classes: number of foreground classes K.
            image_shape: height and width of the padded images, pixels; used only with `normalised`.
        """
        anchors = tf.stop_gradient(anchors)
        matches = self._match(anchors, groundtruth, image_shape)
        matched = matches >= 0
        rows = tf.maximum(matches, 0)
        boxes, classes, weights = (
            _gather(values, rows) for values in (groundtruth.boxes, groundtruth.classes, groundtruth.weights)
        )

        codes = tf.where(matched[..., tf.newaxis], self.box_coder.encode(boxes, anchors), 0.0)
        box_weights = tf.where(matched, weights, 0.0)
        unmatched_weights = tf.where(matches == IGNORED, 0.0, self.negative_class_weight)
        first = int(self.background_column)  # column of class 0
        background = 0 if first and not self.background_as_zeros else -1  # one_hot of -1 is all zeros
        one_hot = tf.one_hot(tf.where(matched, classes + first, background), num_classes + first)
        if is_given(groundtruth.class_sets):  # a box may have several classes
            sets = _gather(groundtruth.class_sets, rows)
            sets = tf.pad(sets, [[0, 0], [0, 0], [one_hot.shape[-1] - sets.shape[-1], 0]])
            one_hot = tf.where(matched[..., tf.newaxis], sets, one_hot)
        return Targets(
            box_codes=tf.stop_gradient(codes),
            box_weights=box_weights,
            classes=one_hot,
            class_weights=tf.where(matched, weights, unmatched_weights),
            matches=matches,
        )

    def _match(self, anchors: tf.Tensor, groundtruth: Groundtruth, image_shape: Shape) -> tf.Tensor:
        """Returns the groundtruth row of each anchor, UNMATCHED or IGNORED, int32 [B, A]."""
        boxes = groundtruth.boxes
        if self.normalised:
            per_pixel = 1.0 / tf.cast(tf.stack([*image_shape, *image_shape]), tf.float32)
            boxes, anchors = boxes * per_pixel, anchors * per_pixel
        similarity = self.similarity(boxes, anchors)
        present = tf.sequence_mask(groundtruth.counts, tf.shape(groundtruth.boxes)[1])
        similarity = tf.where(present[..., tf.newaxis], similarity, -float("inf"))
        return self.matcher(similarity, present & (groundtruth.weights > 0.0))


def _gather(values: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """Gathers values [B, M, ...] at rows [B, A]: [B, A, ...]. If M is 0, all row numbers are 0 and give zeros."""
    if not values.shape[1]:
        values = tf.pad(values, [[0, 0], [0, 1]] + [[0, 0]] * (values.shape.rank - 2))
    return tf.gather(values, rows, batch_dims=1)
