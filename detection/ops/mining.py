"""Online hard example mining (Shrivastava et al. 2016; SSD, section 2.2): only the hardest anchors enter the loss.

Per image: rank the anchors by loss; suppress, in that order, boxes that overlap a kept one; keep at most
num_hard_examples; then keep all remaining positives, the first n = max(min_negatives, int(ratio * positives)) remaining
negatives, and the ignored anchors that rank before negative n + 1. Ignored anchors are not negatives, so they use up
none of the n (the rule of the TF Object Detection API).

Full suppression compares every pair of boxes, 0.1 s for 24 images of 1917 anchors. But what survives among the first L
ranks does not depend on the others. So it first runs on the ranks down to the last positive and to somewhat more
negatives than the ratio allows. The result is exact unless so many negatives were suppressed that too few remain for
the ratio rule; then suppression runs in full.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import tensorflow as tf

from detection.ops import suppression
from detection.ops.matchers import UNMATCHED


@dataclass(frozen=True)
class NoMining:
    """Sums the losses of all anchors."""

    def __call__(
        self, loc_losses: tf.Tensor, cls_losses: tf.Tensor, decoded_boxes: tf.Tensor, matches: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Sums of both losses over the anchors of all images, scalars; arguments as in HardExampleMiner."""
        return tf.reduce_sum(loc_losses), tf.reduce_sum(cls_losses)


@dataclass(frozen=True)
class HardExampleMiner:
    """Sums the losses of the hardest anchors only.

    num_hard_examples 0: no limit. max_negatives_per_positive 0: no ratio rule, every survivor is kept. The two weights
    only affect the ranking.
    """

    num_hard_examples: int = 64
    iou_threshold: float = 0.7
    loss_type: Literal["both", "classification", "localization"] = "both"
    max_negatives_per_positive: int = 0
    min_negatives_per_image: int = 0
    classification_weight: float = 1.0
    localization_weight: float = 1.0

    def __call__(
        self, loc_losses: tf.Tensor, cls_losses: tf.Tensor, decoded_boxes: tf.Tensor, matches: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Sums of both losses over the kept anchors of all images, scalars; the gradient reaches kept losses only.

        Args:
            loc_losses: float32 [B, A].
            cls_losses: float32 [B, A], summed over classes.
            decoded_boxes: float32 [B, A, 4], predicted boxes, pixels.
            matches: int32 [B, A], as in Targets.
        """
        kept = self.select(loc_losses, cls_losses, decoded_boxes, matches)
        return tf.reduce_sum(tf.where(kept, loc_losses, 0.0)), tf.reduce_sum(tf.where(kept, cls_losses, 0.0))

    def select(
        self, loc_losses: tf.Tensor, cls_losses: tf.Tensor, decoded_boxes: tf.Tensor, matches: tf.Tensor
    ) -> tf.Tensor:
        """The anchors that are kept, bool [B, A]; arguments as in __call__."""
        losses = self._ranking_losses(tf.stop_gradient(loc_losses), tf.stop_gradient(cls_losses))
        order = suppression.order_by(losses)
        boxes = tf.gather(tf.stop_gradient(decoded_boxes), order, batch_dims=1)
        matches = tf.gather(matches, order, batch_dims=1)  # from here on, everything is by rank
        if self.max_negatives_per_positive > 0:
            kept = self._kept_by_ratio(boxes, matches)
        else:
            kept = self._survivors(boxes, tf.fill(tf.shape(boxes)[:1], tf.shape(boxes)[1]))
        rows = tf.broadcast_to(tf.range(tf.shape(order)[0])[:, tf.newaxis], tf.shape(order))
        return tf.ensure_shape(tf.scatter_nd(tf.stack([rows, order], axis=-1), kept, tf.shape(order)), losses.shape)

    def _ranking_losses(self, loc_losses: tf.Tensor, cls_losses: tf.Tensor) -> tf.Tensor:
        if self.loss_type == "classification":
            losses = cls_losses
        elif self.loss_type == "localization":
            losses = loc_losses
        else:
            losses = self.classification_weight * cls_losses + self.localization_weight * loc_losses
        # NaN cannot be ranked. It counts as the hardest, so that divergence shows in the loss.
        return tf.where(tf.math.is_nan(losses), losses.dtype.max, losses)

    def _survivors(self, boxes: tf.Tensor, depths: tf.Tensor) -> tf.Tensor:
        """Survivors of suppression among the first depths [B] ranks, at most num_hard_examples; bool [B, A] by rank."""
        size = tf.shape(boxes)[1]
        max_depth = tf.reduce_max(depths)
        max_survivors = tf.minimum(self.num_hard_examples, max_depth) if self.num_hard_examples else max_depth
        ranks = suppression.suppress(boxes[:, :max_depth], depths, self.iou_threshold, max_survivors)
        ranks = tf.where(ranks < max_depth, ranks, size)
        rows = tf.broadcast_to(tf.range(tf.shape(boxes)[0])[:, tf.newaxis], tf.shape(ranks))
        marks = tf.scatter_nd(tf.stack([rows, ranks], axis=-1), tf.ones_like(ranks), [tf.shape(boxes)[0], size + 1])
        return marks[:, :size] > 0

    def _kept_by_ratio(self, boxes: tf.Tensor, matches: tf.Tensor) -> tf.Tensor:
        """The survivors that the ratio rule keeps, bool [B, A] by rank."""
        size = tf.shape(matches)[1]
        positive, negative = matches >= 0, matches == UNMATCHED
        depths = tf.minimum(self._sufficient_depths(positive, negative), size)
        kept = self._survivors(boxes, depths)
        # The first excluded negative must be among the ranks too: ignored anchors are kept up to it.
        is_complete = (depths == size) | (_count(kept & negative) > self._max_negatives(kept & positive))
        if self.num_hard_examples:
            is_complete |= _count(kept) >= self.num_hard_examples
        kept = tf.cond(
            tf.reduce_all(is_complete), lambda: kept, lambda: self._survivors(boxes, tf.fill(tf.shape(depths), size))
        )
        within_ratio = (
            tf.cumsum(tf.cast(kept & negative, tf.int32), axis=-1)
            <= self._max_negatives(kept & positive)[:, tf.newaxis]
        )
        return kept & (positive | within_ratio)

    def _sufficient_depths(self, positive: tf.Tensor, negative: tf.Tensor) -> tf.Tensor:
        """Ranks that hold all positives and very likely as many surviving negatives as may be kept.

        int32 [B]; may exceed A.
        """
        num_negatives = self._max_negatives(positive)
        num_negatives += num_negatives // 8 + 8
        last_positive = tf.reduce_max(tf.where(positive, tf.range(1, tf.shape(positive)[1] + 1), 0), axis=-1)
        before_last_negative = tf.cumsum(tf.cast(negative, tf.int32), axis=-1) < num_negatives[:, tf.newaxis]
        return tf.maximum(last_positive, _count(before_last_negative) + 1)

    def _max_negatives(self, positive: tf.Tensor) -> tf.Tensor:
        """Number of negatives int32 [B] that may be kept with the positives bool [B, A]."""
        return tf.maximum(self.max_negatives_per_positive * _count(positive), self.min_negatives_per_image)


def _count(mask: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.cast(mask, tf.int32), axis=-1)
