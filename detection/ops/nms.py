"""Per-class greedy non-maximum suppression, batched.

    1. per class: boxes scoring above score_threshold, by descending score, each suppressing later ones with IoU > iou_threshold;
       at most max_detections_per_class survive;
    2. all survivors: clipped to the image's window, empty ones dropped, the max_total_detections best kept.

Suppression looks at unclipped boxes: clipping first would change about half of an SSD's detections.

Nearly all of the time of a run at a low score threshold goes into pairs of box and class that have no chance. Since only higher
scores suppress, a run at any threshold t gives exactly the full result down to t. So it first runs at the t above which lie a few pairs for
each detection wanted; if an image had too few survivors for the result to be complete, at one of many more; and only then at score_threshold.
Likewise it asks for somewhat more rows than are wanted, since empty ones go, and for all rows only if those did not suffice.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import tensorflow as tf

from detection.ops import boxes as box_ops
from detection.ops import suppression

_FEW_PAIRS = 2**14  # of box and class: so many are not worth a first look
_SAMPLE = 2048  # scores that say how high the best lie
_FIRST_LOOK, _SECOND_LOOK = 8, 64  # pairs for each row that is wanted: most are suppressed
_LOOKED_AT = 8  # rows for each detection wanted, where its row is looked for first
_ODD = 0x3C6EF35F  # spreads the bits of scores before those of coordinates are added
_PAIRS = 2**18  # of row and detection, compared at a time when that did not find it


class Kept(NamedTuple):
    """Survivors by descending score, zero padded."""

    boxes: tf.Tensor  # float32 [B, D, 4], pixels, inside the window
    scores: tf.Tensor  # float32 [B, D]
    classes: tf.Tensor  # int32 [B, D], 0-based
    counts: tf.Tensor  # int32 [B]


@dataclass(frozen=True)
class MulticlassNms:
    """The settings, and the run. With class_agnostic each box has one class, its best, and boxes of all classes suppress each other."""

    score_threshold: float = 0.0
    iou_threshold: float = 0.6
    max_detections_per_class: int = 100
    max_total_detections: int = 100
    class_agnostic: bool = False

    def __call__(self, boxes: tf.Tensor, scores: tf.Tensor, windows: tf.Tensor) -> Kept:
        """Detections, D = max_total_detections.

        Args:
            boxes: float32 [B, R, 4], pixels, or class-specific [B, R, K, 4].
            scores: float32 [B, R, K], without background; rows at or below score_threshold are never detected (padding: 0).
            windows: float32 [B, 4], pixels, the true images.
        """
        return self._run(boxes, scores, windows)[0]

    def with_indices(self, boxes: tf.Tensor, scores: tf.Tensor, windows: tf.Tensor) -> tuple[Kept, tf.Tensor]:
        """As __call__, and int32 [B, D], the row r of each detection, 0 in padding."""
        kept, unclipped = self._run(boxes, scores, windows)
        return kept, _rows_of(kept, unclipped, boxes, scores)

    def _run(self, boxes: tf.Tensor, scores: tf.Tensor, windows: tf.Tensor) -> tuple[Kept, tf.Tensor]:
        """Detections and their unclipped boxes [B, D, 4]."""
        boxes, scores = tf.stop_gradient(boxes), tf.stop_gradient(scores)
        if self.class_agnostic:
            return self._agnostic(boxes, scores, windows)
        wanted = self.max_total_detections
        rows = wanted + wanted // 4 + 8
        all_rows = self.max_detections_per_class * tf.shape(scores)[2]
        class_boxes = boxes[:, :, tf.newaxis, :] if boxes.shape.rank == 3 else boxes

        def run(threshold: tf.Tensor | float, rows: int | tf.Tensor) -> tuple[Kept, tf.Tensor, tf.Tensor]:
            found = tf.image.combined_non_max_suppression(
                class_boxes, scores, self.max_detections_per_class, rows, self.iou_threshold, threshold, clip_boxes=False
            )
            classes = tf.cast(found.nmsed_classes, tf.int32)
            kept, unclipped = self._finish(found.nmsed_boxes, found.nmsed_scores, classes, found.valid_detections, windows)
            nothing_left = (threshold <= self.score_threshold) & (found.valid_detections < rows)
            return kept, unclipped, tf.reduce_all((kept.counts == wanted) | nothing_left)

        def first_complete(looks: list[tuple[Callable[[], tf.Tensor | float], int | tf.Tensor]]) -> tuple[Kept, tf.Tensor]:
            (threshold, rows), *others = looks
            *found, complete = run(threshold(), rows)
            return tf.cond(complete, lambda: tuple(found), lambda: first_complete(others)) if others else tuple(found)

        everything = [(lambda: self.score_threshold, rows), (lambda: self.score_threshold, all_rows)]
        pairs = scores.shape[1] * scores.shape[2] if scores.shape[1] and scores.shape[2] else None
        if pairs is not None and pairs <= _FEW_PAIRS:
            return first_complete(everything)
        glances = [(lambda: self._promising(scores, _FIRST_LOOK * rows), rows)]
        if pairs is None or pairs > 2 * _SECOND_LOOK * rows:
            glances.append((lambda: self._promising(scores, _SECOND_LOOK * rows), 2 * rows))
        return first_complete(glances + everything)

    def _promising(self, scores: tf.Tensor, wanted: int) -> tf.Tensor:
        """A threshold, scalar, that in every image about `wanted` scores exceed; at least score_threshold.

        Of a sample, since ordering all scores would take longer than suppression. A little less than the score found: what ties there counts too,
        which is everything where a detector knows nothing yet.
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
        return self._finish(*(tf.gather(values, positions, batch_dims=1) for values in (boxes, best, classes)), counts, windows)

    def _finish(self, boxes: tf.Tensor, scores: tf.Tensor, classes: tf.Tensor, counts: tf.Tensor, windows: tf.Tensor) -> tuple[Kept, tf.Tensor]:
        """Step 2 for survivors [B, S, ...] by descending score, of which the first counts [B] are real."""
        clipped = box_ops.clip(boxes, windows)
        ymin, xmin, ymax, xmax = tf.unstack(clipped, axis=-1)
        real = (tf.range(tf.shape(scores)[1]) < counts[:, tf.newaxis]) & (ymax > ymin) & (xmax > xmin)
        most = self.max_total_detections
        wanted = most if (scores.shape[1] or 0) >= most else tf.minimum(most, tf.shape(scores)[1])
        rows = tf.math.top_k(tf.where(real, scores, -float("inf")), wanted).indices
        counts = tf.minimum(tf.reduce_sum(tf.cast(real, tf.int32), axis=-1), self.max_total_detections)
        valid = tf.range(wanted) < counts[:, tf.newaxis]
        clipped, boxes, scores, classes = (self._pick(values, rows, valid) for values in (clipped, boxes, scores, classes))
        return Kept(clipped, scores, classes, counts), boxes

    def _pick(self, values: tf.Tensor, rows: tf.Tensor, valid: tf.Tensor) -> tf.Tensor:
        """values [B, S, ...] at rows [B, at most D], zero where not valid and in the padding up to D."""
        picked = tf.gather(values, rows, batch_dims=1)
        picked = tf.where(valid[..., tf.newaxis] if picked.shape.rank == 3 else valid, picked, tf.zeros([], picked.dtype))
        if picked.shape[1] == self.max_total_detections:
            return picked
        padding = [[0, 0], [0, self.max_total_detections - tf.shape(picked)[1]]] + [[0, 0]] * (picked.shape.rank - 2)
        return tf.ensure_shape(tf.pad(picked, padding), [picked.shape[0], self.max_total_detections, *picked.shape[2:]])


def _stride(count: int | tf.Tensor) -> int | tf.Tensor:
    """Distance of the sampled of so many pairs; where that is known, without a factor in common with them, lest one class or anchor alone be seen."""
    stride = count // _SAMPLE
    if isinstance(stride, tf.Tensor):
        return tf.maximum(stride, 1)
    while math.gcd(max(stride, 1), count) > 1:
        stride += 1
    return max(stride, 1)


def _rows_of(kept: Kept, unclipped: tf.Tensor, boxes: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
    """int32 [B, D], a row that has both the box and the score of each detection, in general the first.

    Looked for by the bits of one corner, or where classes have boxes of their own among the rows that score best in any class; then in all rows, if
    that found a wrong one (several boxes share a corner) or none.
    """
    rows, right = (_by_corner if boxes.shape.rank == 3 else _among_best)(kept, unclipped, boxes, scores)
    padding = tf.range(tf.shape(rows)[1]) >= kept.counts[:, tf.newaxis]
    every = tf.reduce_all(right | padding)
    return tf.cond(every, lambda: tf.where(padding, 0, rows), lambda: _among_all(kept, unclipped, boxes, scores))


def _by_corner(kept: Kept, unclipped: tf.Tensor, boxes: tf.Tensor, scores: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Rows int32 [B, D] of boxes [B, R, 4], and whether they are right, bool [B, D]."""
    keys, sought = _corner_bits(boxes), _corner_bits(unclipped)
    order = tf.argsort(keys, axis=-1, stable=True)
    places = tf.searchsorted(tf.gather(keys, order, batch_dims=1), sought)
    rows = tf.gather(order, tf.minimum(places, tf.shape(order)[1] - 1), batch_dims=1)
    scores_there = tf.gather_nd(scores, tf.stack([rows, kept.classes], axis=-1), batch_dims=1)
    return rows, tf.equal(scores_there, kept.scores) & tf.reduce_all(tf.equal(tf.gather(boxes, rows, batch_dims=1), unclipped), axis=-1)


def _among_best(kept: Kept, unclipped: tf.Tensor, boxes: tf.Tensor, scores: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """As `_by_corner`, for boxes [B, R, K, 4]: a row whose score in one class made it a detection is seldom far down by its best score.

    By score and ymin mixed into one number, which two rows of a class hardly ever share, be their scores the same: all the boxes of a detection's
    class would be four times as many numbers.
    """
    enough = _LOOKED_AT * kept.scores.shape[1]
    sought, ymin = _mixed(kept.scores, unclipped[..., 0]), boxes[..., 0]
    if scores.shape[1] is not None and scores.shape[1] <= enough:
        rows = _with_key(sought, kept.classes, _mixed(scores, ymin))
    else:
        best = tf.math.top_k(tf.reduce_max(scores, axis=-1), tf.minimum(enough, tf.shape(scores)[1])).indices
        best = tf.sort(best, axis=-1)
        keys = _mixed(*(tf.gather(values, best, batch_dims=1) for values in (scores, ymin)))
        rows = tf.gather(best, _with_key(sought, kept.classes, keys), batch_dims=1)
    there = tf.stack([rows, kept.classes], axis=-1)
    same_box = tf.reduce_all(tf.equal(tf.gather_nd(boxes, there, batch_dims=1), unclipped), axis=-1)
    return rows, same_box & tf.equal(tf.gather_nd(scores, there, batch_dims=1), kept.scores)


def _mixed(scores: tf.Tensor, ymin: tf.Tensor) -> tf.Tensor:
    """int32 of the shape of both, from the bits of both."""
    return tf.bitcast(scores, tf.int32) * _ODD + tf.bitcast(ymin, tf.int32)


def _with_key(sought: tf.Tensor, classes: tf.Tensor, keys: tf.Tensor) -> tf.Tensor:
    """int32 [B, D], the first row of keys [B, R, K] that has in each class [B, D] what is sought [B, D]; 0 where there is none."""
    of_class = tf.gather(tf.transpose(keys, [0, 2, 1]), classes, axis=1, batch_dims=1)  # [B, D, R]
    rows = tf.shape(keys)[1]
    left = tf.where(tf.equal(of_class, sought[:, :, tf.newaxis]), tf.range(rows, 0, -1), 0)  # argmax is half as fast as max
    return (rows - tf.reduce_max(left, axis=-1)) % tf.maximum(rows, 1)


def _among_all(kept: Kept, unclipped: tf.Tensor, boxes: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
    """int32 [B, D], the first row; some hundred thousand pairs of row and detection at a time."""
    rows = tf.shape(scores)[1]
    share = max(_PAIRS // max(kept.scores.shape[1], 1), 1)

    def look(start: tf.Tensor, found: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        places, right = _first(kept, unclipped, boxes[:, start : start + share], scores[:, start : start + share])
        return start + share, tf.where(right, tf.minimum(found, start + places), found)

    _, found = tf.while_loop(lambda start, _: start < rows, look, (0, tf.fill(tf.shape(kept.scores), rows)), parallel_iterations=1)
    return tf.where(found < rows, found, 0)


def _first(kept: Kept, unclipped: tf.Tensor, boxes: tf.Tensor, scores: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The first of the rows that has both box and score of each detection, int32 [B, D], and whether there is one, bool [B, D]."""
    same = tf.equal(tf.gather(scores, kept.classes, axis=2, batch_dims=1), kept.scores[:, tf.newaxis, :])  # [B, R, D]
    candidates = boxes[:, :, tf.newaxis, :] if boxes.shape.rank == 3 else tf.gather(boxes, kept.classes, axis=2, batch_dims=1)
    same &= tf.reduce_all(tf.equal(candidates, unclipped[:, tf.newaxis, :, :]), axis=-1)
    return tf.argmax(tf.cast(same, tf.uint8), axis=1, output_type=tf.int32), tf.reduce_any(same, axis=1)


def _corner_bits(boxes: tf.Tensor) -> tf.Tensor:
    """int64 [B, N], ymin and xmin of boxes [B, N, 4], bit by bit."""
    return tf.bitcast(boxes[..., :2], tf.int64)
