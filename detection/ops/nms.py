"""Per-class greedy non-maximum suppression, batched.

    1. per class: boxes scoring above score_threshold, by descending score, each suppressing later ones with IoU >
        iou_threshold; at most max_detections_per_class survive;
    2. all survivors: clipped to the image's window, empty ones dropped, the max_total_detections best kept.

Suppression looks at unclipped boxes: clipping first would change about half of an SSD's detections.

Nearly all of the time of a run at a low score threshold goes into pairs of box and class that have no chance. Since
only higher scores suppress, a run at any threshold t gives exactly the full result down to t. So it first runs at the t
above which lie a few pairs for each detection wanted; if an image had too few survivors for the result to be complete,
at one of many more; and only then at score_threshold. Likewise it asks for somewhat more rows than are wanted, since
empty ones go, and for all rows only if those did not suffice. Of very many pairs, the boxes that do not exceed t in any
class are left out before: to read all scores once is faster than to suppress among them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import tensorflow as tf

from detection.ops import boxes as box_ops
from detection.ops import nms_rows, suppression

_FEW_PAIRS = 2**14  # of box and class: so many are not worth a first look
_SAMPLE = 2048  # scores that say how high the best lie
_FIRST_LOOK, _SECOND_LOOK = 8, 64  # pairs for each row that is wanted: most are suppressed
_MANY_PAIRS = (
    2**19
)  # so many that those of hopeless boxes are left out first: suppression reads the scores of one class after the other


class Kept(NamedTuple):
    """Survivors by descending score, zero padded."""

    boxes: tf.Tensor  # float32 [B, D, 4], pixels, inside the window
    scores: tf.Tensor  # float32 [B, D]
    classes: tf.Tensor  # int32 [B, D], 0-based
    counts: tf.Tensor  # int32 [B]


@dataclass(frozen=True)
class MulticlassNms:
    """The settings, and the run. With class_agnostic each box has one class, its best, and boxes of all classes
    suppress each other."""

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
        """As __call__, and int32 [B, D], the row r of each detection, 0 in padding."""
        kept, unclipped = self._run(boxes, scores, windows)
        return kept, nms_rows.rows_of(kept, unclipped, boxes, scores)

    def _run(self, boxes: tf.Tensor, scores: tf.Tensor, windows: tf.Tensor) -> tuple[Kept, tf.Tensor]:
        """Detections and their unclipped boxes [B, D, 4]."""
        boxes, scores = tf.stop_gradient(boxes), tf.stop_gradient(scores)
        if self.class_agnostic:
            return self._agnostic(boxes, scores, windows)
        wanted = self.max_total_detections
        rows = wanted + wanted // 4 + 8
        all_rows = self.max_detections_per_class * tf.shape(scores)[2]
        class_boxes = boxes[:, :, tf.newaxis, :] if boxes.shape.rank == 3 else boxes

        def run(threshold: tf.Tensor | float, rows: int | tf.Tensor, choose: bool) -> tuple[Kept, tf.Tensor, tf.Tensor]:
            chosen = _exceeding(class_boxes, scores, threshold) if choose else (class_boxes, scores)
            found = tf.image.combined_non_max_suppression(
                *chosen, self.max_detections_per_class, rows, self.iou_threshold, threshold, clip_boxes=False
            )
            classes = tf.cast(found.nmsed_classes, tf.int32)
            kept, (unclipped,) = clip_and_cut(
                found.nmsed_boxes, found.nmsed_scores, classes, found.valid_detections, windows, wanted
            )
            nothing_left = (threshold <= self.score_threshold) & (found.valid_detections < rows)
            return kept, unclipped, tf.reduce_all((kept.counts == wanted) | nothing_left)

        def first_complete(
            looks: list[tuple[Callable[[], tf.Tensor | float], int | tf.Tensor, bool]],
        ) -> tuple[Kept, tf.Tensor]:
            (threshold, rows, choose), *others = looks
            *found, complete = run(threshold(), rows, choose)
            return tf.cond(complete, lambda: tuple(found), lambda: first_complete(others)) if others else tuple(found)

        everything = [(lambda: self.score_threshold, rows, False), (lambda: self.score_threshold, all_rows, False)]
        pairs = scores.shape[1] * scores.shape[2] if scores.shape[1] and scores.shape[2] else None
        if pairs is not None and pairs <= _FEW_PAIRS:
            return first_complete(everything)
        many = pairs is None or pairs > _MANY_PAIRS
        glances = [(lambda: self._promising(scores, _FIRST_LOOK * rows), rows, many)]
        if pairs is None or pairs > 2 * _SECOND_LOOK * rows:
            glances.append((lambda: self._promising(scores, _SECOND_LOOK * rows), 2 * rows, many))
        return first_complete(glances + everything)

    def _promising(self, scores: tf.Tensor, wanted: int) -> tf.Tensor:
        """A threshold, scalar, that in every image about `wanted` scores exceed; at least score_threshold.

        Of a sample, since ordering all scores would take longer than suppression. A little less than the score found:
        what ties there counts too, which is everything where a detector knows nothing yet.
        """
        pairs = tf.reshape(scores, [tf.shape(scores)[0], -1])
        count = scores.shape[1] * scores.shape[2] if scores.shape[1] and scores.shape[2] else tf.shape(pairs)[1]
        stride = _stride(count)
        sample = pairs[:, ::stride]
        size = tf.shape(sample)[1]
        enough = tf.clip_by_value(wanted // stride, 1, size)
        lowest = tf.reduce_min(tf.math.top_k(sample, enough).values[:, -1])
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
        kept, (unclipped,) = clip_and_cut(boxes, best, classes, counts, windows, self.max_total_detections)
        return kept, unclipped


def clip_and_cut(
    boxes: tf.Tensor,
    scores: tf.Tensor,
    classes: tf.Tensor,
    counts: tf.Tensor,
    windows: tf.Tensor,
    most: int,
    more: tuple[tf.Tensor, ...] = (),
) -> tuple[Kept, tuple[tf.Tensor, ...]]:
    """Step 2 for survivors [B, S, ...], of which the first counts [B] are real, and for `more` that is known of each
    of them. Without `more`, their boxes before they are clipped."""
    clipped = box_ops.clip(boxes, windows)
    ymin, xmin, ymax, xmax = tf.unstack(clipped, axis=-1)
    real = (tf.range(tf.shape(scores)[1]) < counts[:, tf.newaxis]) & (ymax > ymin) & (xmax > xmin)
    wanted = most if (scores.shape[1] or 0) >= most else tf.minimum(most, tf.shape(scores)[1])
    rows = tf.math.top_k(tf.where(real, scores, -float("inf")), wanted).indices
    counts = tf.minimum(tf.reduce_sum(tf.cast(real, tf.int32), axis=-1), most)
    valid = tf.range(wanted) < counts[:, tf.newaxis]
    clipped, scores, classes, *rest = (
        _pick(values, rows, valid, most) for values in (clipped, scores, classes, *(more or (boxes,)))
    )
    return Kept(clipped, scores, classes, counts), tuple(rest)


def _pick(values: tf.Tensor, rows: tf.Tensor, valid: tf.Tensor, most: int) -> tf.Tensor:
    """values [B, S, ...] at rows [B, at most D], zero where not valid and in the padding up to D = most."""
    picked = tf.gather(values, rows, batch_dims=1)
    picked = tf.where(valid[..., tf.newaxis] if picked.shape.rank == 3 else valid, picked, tf.zeros([], picked.dtype))
    if picked.shape[1] == most:
        return picked
    padding = [[0, 0], [0, most - tf.shape(picked)[1]]] + [[0, 0]] * (picked.shape.rank - 2)
    return tf.ensure_shape(tf.pad(picked, padding), [picked.shape[0], most, *picked.shape[2:]])


def _exceeding(boxes: tf.Tensor, scores: tf.Tensor, threshold: tf.Tensor | float) -> tuple[tf.Tensor, tf.Tensor]:
    """Those rows of boxes [B, R, Q, 4] and scores [B, R, K] that exceed the threshold in any class, in order; padding
    never does."""
    rows, real = nms_rows.numbers_of(tf.reduce_max(scores, axis=-1) > threshold)
    chosen = tf.where(real[..., tf.newaxis], tf.gather(scores, rows, batch_dims=1), threshold)
    return tf.gather(boxes, rows, batch_dims=1), chosen


def _stride(count: int | tf.Tensor) -> int | tf.Tensor:
    """Distance of the sampled of so many pairs; where that is known, without a factor in common with them, lest one
    class or anchor alone be seen."""
    stride = count // _SAMPLE
    if isinstance(stride, tf.Tensor):
        return tf.maximum(stride, 1)
    while math.gcd(max(stride, 1), count) > 1:
        stride += 1
    return max(stride, 1)
