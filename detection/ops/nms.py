"""Per-class greedy non-maximum suppression, batched.

    1. per class: boxes scoring above score_threshold, by descending score, each suppressing later ones with IoU >
        iou_threshold; at most max_detections_per_class survive;
    2. all survivors: clipped to the image's window, empty ones dropped, the max_total_detections best kept.

Suppression uses unclipped boxes: clipping first would change about half of an SSD's detections.

At a low score threshold nearly all of the time is spent on pairs of box and class that are never detected. Since only
higher scores suppress, a run at any threshold t gives exactly the full result down to t. So the first run uses a t
that a few pairs for each requested detection exceed; if an image has too few survivors for a complete result, the
second run uses a t that many more pairs exceed; only then is score_threshold itself used. Likewise, each run asks for
slightly more rows than requested, since empty boxes are dropped, and for all rows only if those were not enough. If
there are very many pairs, boxes that do not exceed t in any class are removed first: reading all scores once is faster
than suppressing among them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import tensorflow as tf

from detection.ops import boxes as box_ops
from detection.ops import nms_rows, suppression

_FEW_PAIRS = 2**14  # of box and class: up to this many, a run at a higher threshold saves no time
_SAMPLE = 2048  # scores from which the threshold of the first runs is estimated
_FIRST_PASS, _SECOND_PASS = 8, 64  # pairs for each requested row, most of which are suppressed
# From this many pairs on, boxes that exceed the threshold in no class are removed first: suppression reads the scores
# class by class.
_MANY_PAIRS = 2**19


class Kept(NamedTuple):
    """Survivors by descending score, zero padded."""

    boxes: tf.Tensor  # float32 [B, D, 4], pixels, inside the window
    scores: tf.Tensor  # float32 [B, D]
    classes: tf.Tensor  # int32 [B, D], 0-based
    counts: tf.Tensor  # int32 [B]


@dataclass(frozen=True)
class MulticlassNms:
    """Non-maximum suppression with its settings.

    With class_agnostic each box has only its best class, and boxes of all classes suppress each other.
    """

    score_threshold: float = 0.0
    iou_threshold: float = 0.6
    max_detections_per_class: int = 100
    max_total_detections: int = 100
    class_agnostic: bool = False

    def __call__(self, boxes: tf.Tensor, scores: tf.Tensor, windows: tf.Tensor) -> Kept:
        """Detections, D = max_total_detections.

        Args:
            boxes: float32 [B, R, 4], pixels, or class-specific [B, R, K, 4].
            scores: float32 [B, R, K], without background; rows at or below score_threshold are never detected (padding:
                0).
            windows: float32 [B, 4], pixels, the true images.
        """
        return self._run(boxes, scores, windows)[0]

    def with_indices(self, boxes: tf.Tensor, scores: tf.Tensor, windows: tf.Tensor) -> tuple[Kept, tf.Tensor]:
        """As __call__, with the row r of each detection, int32 [B, D], 0 in padding."""
        kept, unclipped = self._run(boxes, scores, windows)
        return kept, nms_rows.rows_of(kept, unclipped, boxes, scores)

    def _run(self, boxes: tf.Tensor, scores: tf.Tensor, windows: tf.Tensor) -> tuple[Kept, tf.Tensor]:
        """Detections and their unclipped boxes [B, D, 4]."""
        boxes, scores = tf.stop_gradient(boxes), tf.stop_gradient(scores)
        if self.class_agnostic:
            return self._agnostic(boxes, scores, windows)
        max_total = self.max_total_detections
        rows = max_total + max_total // 4 + 8
        all_rows = self.max_detections_per_class * tf.shape(scores)[2]
        class_boxes = boxes[:, :, tf.newaxis, :] if boxes.shape.rank == 3 else boxes

        def run(
            threshold: tf.Tensor | float, rows: int | tf.Tensor, preselect_boxes: bool
        ) -> tuple[Kept, tf.Tensor, tf.Tensor]:
            chosen = _exceeding(class_boxes, scores, threshold) if preselect_boxes else (class_boxes, scores)
            result = tf.image.combined_non_max_suppression(
                *chosen, self.max_detections_per_class, rows, self.iou_threshold, threshold, clip_boxes=False
            )
            classes = tf.cast(result.nmsed_classes, tf.int32)
            kept, (unclipped,) = clip_and_select(
                result.nmsed_boxes, result.nmsed_scores, classes, result.valid_detections, windows, max_total
            )
            nothing_left = (threshold <= self.score_threshold) & (result.valid_detections < rows)
            return kept, unclipped, tf.reduce_all((kept.counts == max_total) | nothing_left)

        def first_complete(
            attempts: list[tuple[Callable[[], tf.Tensor | float], int | tf.Tensor, bool]],
        ) -> tuple[Kept, tf.Tensor]:
            (threshold, rows, preselect_boxes), *remaining = attempts
            *result, complete = run(threshold(), rows, preselect_boxes)
            return (
                tf.cond(complete, lambda: tuple(result), lambda: first_complete(remaining))
                if remaining
                else tuple(result)
            )

        full_attempts = [(lambda: self.score_threshold, rows, False), (lambda: self.score_threshold, all_rows, False)]
        pairs = scores.shape[1] * scores.shape[2] if scores.shape[1] and scores.shape[2] else None
        if pairs is not None and pairs <= _FEW_PAIRS:
            return first_complete(full_attempts)
        preselect = pairs is None or pairs > _MANY_PAIRS
        fast_attempts = [(lambda: self._estimated_threshold(scores, _FIRST_PASS * rows), rows, preselect)]
        if pairs is None or pairs > 2 * _SECOND_PASS * rows:
            fast_attempts.append((lambda: self._estimated_threshold(scores, _SECOND_PASS * rows), 2 * rows, preselect))
        return first_complete(fast_attempts + full_attempts)

    def _estimated_threshold(self, scores: tf.Tensor, num_scores: int) -> tf.Tensor:
        """A threshold, scalar, that about `num_scores` scores of every image exceed; at least score_threshold.

        It is estimated from a sample, since sorting all scores would take longer than suppression. It is slightly less
        than the sampled score, so that ties count too: at the start of training all scores may be equal.
        """
        pairs = tf.reshape(scores, [tf.shape(scores)[0], -1])
        count = scores.shape[1] * scores.shape[2] if scores.shape[1] and scores.shape[2] else tf.shape(pairs)[1]
        stride = _stride(count)
        sample = pairs[:, ::stride]
        size = tf.shape(sample)[1]
        rank = tf.clip_by_value(num_scores // stride, 1, size)
        lowest = tf.reduce_min(tf.math.top_k(sample, rank).values[:, -1])
        return tf.maximum(lowest - tf.abs(lowest) * 1e-6, self.score_threshold)

    def _agnostic(self, boxes: tf.Tensor, scores: tf.Tensor, windows: tf.Tensor) -> tuple[Kept, tf.Tensor]:
        """Empty boxes count towards the total here, as in the reference."""
        best, classes = tf.reduce_max(scores, axis=-1), tf.argmax(scores, axis=-1, output_type=tf.int32)
        if boxes.shape.rank == 4:
            boxes = tf.gather(boxes, classes, axis=2, batch_dims=2)
        order = suppression.order_by(best)
        best, classes, boxes = (tf.gather(values, order, batch_dims=1) for values in (best, classes, boxes))
        eligible = tf.reduce_sum(tf.cast(best > self.score_threshold, tf.int32), axis=-1)
        positions = suppression.suppress(boxes, eligible, self.iou_threshold, self.max_total_detections)
        size = tf.shape(boxes)[1]
        counts = tf.reduce_sum(tf.cast(positions < size, tf.int32), axis=-1)
        positions = tf.minimum(positions, size - 1)
        boxes, best, classes = (tf.gather(values, positions, batch_dims=1) for values in (boxes, best, classes))
        kept, (unclipped,) = clip_and_select(boxes, best, classes, counts, windows, self.max_total_detections)
        return kept, unclipped


def clip_and_select(
    boxes: tf.Tensor,
    scores: tf.Tensor,
    classes: tf.Tensor,
    counts: tf.Tensor,
    windows: tf.Tensor,
    max_total: int,
    extras: tuple[tf.Tensor, ...] = (),
) -> tuple[Kept, tuple[tf.Tensor, ...]]:
    """Step 2 for survivors [B, S, ...], of which the first counts [B] are real.

    Returns:
        The max_total best of them, and the same rows of `extras`; without extras, of the boxes before clipping.
    """
    clipped = box_ops.clip(boxes, windows)
    ymin, xmin, ymax, xmax = tf.unstack(clipped, axis=-1)
    real = (tf.range(tf.shape(scores)[1]) < counts[:, tf.newaxis]) & (ymax > ymin) & (xmax > xmin)
    num_rows = max_total if (scores.shape[1] or 0) >= max_total else tf.minimum(max_total, tf.shape(scores)[1])
    rows = tf.math.top_k(tf.where(real, scores, -float("inf")), num_rows).indices
    counts = tf.minimum(tf.reduce_sum(tf.cast(real, tf.int32), axis=-1), max_total)
    valid = tf.range(num_rows) < counts[:, tf.newaxis]
    clipped, scores, classes, *picked = (
        _pick(values, rows, valid, max_total) for values in (clipped, scores, classes, *(extras or (boxes,)))
    )
    return Kept(clipped, scores, classes, counts), tuple(picked)


def _pick(values: tf.Tensor, rows: tf.Tensor, valid: tf.Tensor, max_total: int) -> tf.Tensor:
    """Picks values [B, S, ...] at rows [B, at most D]; zero where not valid and in the padding up to D = max_total."""
    picked = tf.gather(values, rows, batch_dims=1)
    picked = tf.where(valid[..., tf.newaxis] if picked.shape.rank == 3 else valid, picked, tf.zeros([], picked.dtype))
    if picked.shape[1] == max_total:
        return picked
    padding = [[0, 0], [0, max_total - tf.shape(picked)[1]]] + [[0, 0]] * (picked.shape.rank - 2)
    return tf.ensure_shape(tf.pad(picked, padding), [picked.shape[0], max_total, *picked.shape[2:]])


def _exceeding(boxes: tf.Tensor, scores: tf.Tensor, threshold: tf.Tensor | float) -> tuple[tf.Tensor, tf.Tensor]:
    """Rows of boxes [B, R, Q, 4] and scores [B, R, K] that exceed the threshold in any class, in order.

    Padding rows have the threshold as their scores.
    """
    rows, real = nms_rows.numbers_of(tf.reduce_max(scores, axis=-1) > threshold)
    chosen_scores = tf.where(real[..., tf.newaxis], tf.gather(scores, rows, batch_dims=1), threshold)
    return tf.gather(boxes, rows, batch_dims=1), chosen_scores


def _stride(count: int | tf.Tensor) -> int | tf.Tensor:
    """Step between the sampled pairs.

    If the count is known, the step is coprime to it: otherwise only one class or anchor shape might be sampled.
    """
    stride = count // _SAMPLE
    if isinstance(stride, tf.Tensor):
        return tf.maximum(stride, 1)
    while math.gcd(max(stride, 1), count) > 1:
        stride += 1
    return max(stride, 1)
