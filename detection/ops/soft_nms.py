"""Soft non-maximum suppression (Bodla et al. 2017), batched.

A detection lowers the scores of boxes that overlap it, instead of removing them:

    repeatedly take the box b of the highest score s_b:    s_i <- s_i exp(-IoU(b, i)² / (2 sigma))   for all others i

per class, until max_detections_per_class are taken or no score is above score_threshold. There is no IoU threshold.
Then step 2 of `ops.nms`. The score of a detection is its lowered score.

TensorFlow's op handles one class of one image, so images and classes are processed one after the other, which takes
longer than hard suppression.
"""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf

from detection.ops.nms import Kept, clip_and_select


@dataclass(frozen=True)
class SoftNms:
    """Sigma (above 0), and the settings of `ops.nms.MulticlassNms` without its IoU threshold."""

    sigma: float
    score_threshold: float = 0.0
    max_detections_per_class: int = 100
    max_total_detections: int = 100
    class_agnostic: bool = False

    def __call__(self, boxes: tf.Tensor, scores: tf.Tensor, windows: tf.Tensor) -> Kept:
        """Returns the detections; for arguments see `MulticlassNms`."""
        return self.with_indices(boxes, scores, windows)[0]

    def with_indices(self, boxes: tf.Tensor, scores: tf.Tensor, windows: tf.Tensor) -> tuple[Kept, tf.Tensor]:
        """Returns the detections, and int32 [B, D], the row r of each detection, 0 in padding."""
        boxes, scores = tf.stop_gradient(boxes), tf.stop_gradient(scores)
        best_classes, max_output = None, self.max_detections_per_class
        if self.class_agnostic:
            best_classes, max_output = tf.argmax(scores, axis=-1, output_type=tf.int32), self.max_total_detections
            scores = tf.reduce_max(scores, axis=-1, keepdims=True)
            if boxes.shape.rank == 4:
                boxes = tf.gather(boxes, best_classes, axis=2, batch_dims=2)
        class_boxes = boxes[:, :, tf.newaxis] if boxes.shape.rank == 3 else boxes
        rows, lowered, counts = self._by_class(class_boxes, scores, max_output)
        return self._merge_classes(class_boxes, rows, lowered, counts, best_classes, windows)

    def _by_class(self, boxes: tf.Tensor, scores: tf.Tensor, max_output: int) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Suppresses boxes in each image and class.

        Returns:
            Rows and scores [B, K, max_output] of the survivors, by descending score, and their number [B, K].
        """
        batch, num_classes = tf.shape(scores)[0], tf.shape(scores)[2]
        shared = boxes.shape[2] == 1

        def suppress(pair: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            image, class_ = pair // num_classes, pair % num_classes
            rows, lowered, count = tf.raw_ops.NonMaxSuppressionV5(
                boxes=boxes[image, :, 0 if shared else class_],
                scores=scores[image, :, class_],
                max_output_size=tf.minimum(max_output, tf.shape(scores)[1]),
                iou_threshold=1.0,
                score_threshold=self.score_threshold,
                soft_nms_sigma=self.sigma,
                pad_to_max_output_size=False,
            )
            padding = [[0, max_output - count]]
            return (
                tf.ensure_shape(tf.pad(rows, padding), [max_output]),
                tf.ensure_shape(tf.pad(lowered, padding), [max_output]),
                count,
            )

        signature = (
            tf.TensorSpec([max_output], tf.int32),
            tf.TensorSpec([max_output], tf.float32),
            tf.TensorSpec([], tf.int32),
        )
        found = tf.map_fn(suppress, tf.range(batch * num_classes), fn_output_signature=signature)
        rows, lowered, counts = (
            tf.reshape(values, tf.concat([[batch, num_classes], tf.shape(values)[1:]], axis=0)) for values in found
        )
        return rows, lowered, counts

    def _merge_classes(
        self,
        boxes: tf.Tensor,
        rows: tf.Tensor,
        scores: tf.Tensor,
        counts: tf.Tensor,
        best_classes: tf.Tensor | None,
        windows: tf.Tensor,
    ) -> tuple[Kept, tf.Tensor]:
        """Merges the survivors of all classes, by descending score.

        boxes are [B, R, Q, 4]; best_classes [B, R] is the class of each row if suppression was class-agnostic.
        """
        batch, num_classes, max_output = tf.shape(rows)[0], tf.shape(rows)[1], rows.shape[2]
        real = tf.reshape(tf.sequence_mask(counts, max_output), [batch, -1])
        classes = tf.broadcast_to(tf.range(num_classes)[:, tf.newaxis], tf.shape(rows))
        rows, scores, classes = (
            tf.reshape(values, [batch, num_classes * max_output]) for values in (rows, scores, classes)
        )
        order = tf.argsort(tf.where(real, scores, -float("inf")), axis=-1, direction="DESCENDING", stable=True)
        rows, scores, classes = (tf.gather(values, order, batch_dims=1) for values in (rows, scores, classes))
        places = rows if boxes.shape[2] == 1 else tf.stack([rows, classes], axis=-1)
        boxes = tf.gather(boxes[:, :, 0], rows, batch_dims=1) if boxes.shape[2] == 1 else tf.gather_nd(boxes, places, 1)
        if best_classes is not None:
            classes = tf.gather(best_classes, rows, batch_dims=1)
        total = tf.reduce_sum(counts, axis=-1)
        kept, (rows,) = clip_and_select(boxes, scores, classes, total, windows, self.max_total_detections, (rows,))
        return kept, rows
