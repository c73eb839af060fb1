"""The survey's Equation 1 summed over anchors, the one weighted sum of every stage (survey, section 2.2; Szegedy et al.'s MultiBox loss):

    L = sum_a [ alpha * w_loc(a) * l_loc(codes_a, target codes_a) + beta * w_cls(a) * l_cls(logits_a, target class_a) ]

Anchors are SSD's, a region proposal network's, or the proposals of a second stage. What it is divided by differs and is the caller's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import tensorflow as tf

from detection.ops.mining import HardExampleMiner
from detection.types import Targets


@dataclasses.dataclass(frozen=True)
class MultiboxLoss:
    """Two losses, their weights, and which anchors count.

    `localization` and `classification` map (predictions, targets, weights) to unreduced losses of anchors; localisation losses with
    `needs_boxes` compare decoded boxes instead of codes. With a `miner` only the hard anchors of each image count.
    """

    localization: Callable[..., tf.Tensor]
    classification: Callable[..., tf.Tensor]
    localization_weight: float = 1.0  # alpha
    classification_weight: float = 1.0  # beta
    miner: HardExampleMiner | None = None

    def __call__(
        self, codes: tf.Tensor, logits: tf.Tensor, targets: Targets, decode: Callable[[tf.Tensor], tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """(localisation, classification) sums over the batch, scalars.

        Args:
            codes: float32 [B, A, code], predicted.
            logits: float32 [B, A, K + 1].
            targets: of the same anchors.
            decode: codes [B, A, code] -> boxes [B, A, 4], pixels.
        """
        if getattr(self.localization, "needs_boxes", False):
            localization = self.localization(decode(codes), decode(targets.box_codes), targets.box_weights)
        else:
            localization = self.localization(codes, targets.box_codes, targets.box_weights)
        classification = self.classification(logits, targets.classes, targets.class_weights)
        if classification.shape.rank == 3:
            classification = tf.reduce_sum(classification, axis=2)
        if self.miner is None:
            sums = tf.reduce_sum(localization), tf.reduce_sum(classification)
        else:
            sums = self.miner(localization, classification, tf.stop_gradient(decode(codes)), targets.matches)
        return self.localization_weight * sums[0], self.classification_weight * sums[1]
