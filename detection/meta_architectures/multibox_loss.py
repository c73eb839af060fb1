"""The survey's Equation 1 summed over anchors, the one weighted sum of every stage (survey, section 2.2; "MultiBox" of
Szegedy et al.):

    L = sum_a [ alpha * w_loc(a) * l_loc(codes_a, target codes_a) + beta * w_cls(a) * l_cls(logits_a, target class_a) ]

Anchors are SSD's, a region proposal network's, or the proposals of a second stage. What the sum is divided by differs
and is the caller's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import tensorflow as tf

from detection.ops.mining import HardExampleMiner, NoMining
from detection.ops.samplers import BalancedSampler
from detection.types import Targets


@dataclasses.dataclass(frozen=True)
class RandomAnchors:
    """Random anchors of each image count, of which the sampler says how many are matched ones."""

    sampler: BalancedSampler

    def __call__(self, targets: Targets) -> Targets:
        """Weights 0 for anchors that are not drawn."""
        drawn = tf.cast(self.sampler(targets.class_weights > 0, targets.matches >= 0, None), tf.float32)
        return targets._replace(box_weights=targets.box_weights * drawn, class_weights=targets.class_weights * drawn)


@dataclasses.dataclass(frozen=True)
class EveryAnchor:
    """All anchors count."""

    def __call__(self, targets: Targets) -> Targets:
        """The targets as they are."""
        return targets


@dataclasses.dataclass(frozen=True)
class LossTerms:
    """The two losses l_loc and l_cls, unreduced, their weights alpha and beta, and who picks the anchors that count."""

    localization: Callable[
        [tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor
    ]  # with `needs_boxes`: compares boxes, not codes
    classification: Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]
    localization_weight: float = 1.0
    classification_weight: float = 1.0
    random_sampler: RandomAnchors | EveryAnchor = EveryAnchor()
    miner: HardExampleMiner | NoMining = NoMining()


def multibox_loss(
    terms: LossTerms, codes: tf.Tensor, logits: tf.Tensor, targets: Targets, decode: Callable[[tf.Tensor], tf.Tensor]
) -> tuple[tf.Tensor, tf.Tensor]:
    """(localisation, classification) sums over the batch, weighted by alpha and beta, scalars.

    Args:
        terms: what is computed on each anchor.
        codes: float32 [B, A, code], predicted.
        logits: float32 [B, A, K + 1].
        targets: of the same anchors.
        decode: codes [B, A, code] -> boxes [B, A, 4], pixels.
    """
    targets = terms.random_sampler(targets)
    if terms.localization.needs_boxes:
        localization = terms.localization(decode(codes), decode(targets.box_codes), targets.box_weights)
    else:
        localization = terms.localization(codes, targets.box_codes, targets.box_weights)
    classification = terms.classification(logits, targets.classes, targets.class_weights)
    if classification.shape.rank == 3:  # one loss a class
        classification = tf.reduce_sum(classification, axis=2)
    sums = terms.miner(localization, classification, tf.stop_gradient(decode(codes)), targets.matches)
    return terms.localization_weight * sums[0], terms.classification_weight * sums[1]
