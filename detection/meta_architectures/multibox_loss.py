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

from detection.ops.example_weights import EveryClass, ExplicitClasses
from detection.ops.expected_sampling import ExpectedSampling, NoExpectation, ReweightedNegatives
from detection.ops.mining import HardExampleMiner, NoMining
from detection.ops.samplers import BalancedSampler
from detection.types import Targets


@dataclasses.dataclass(frozen=True)
class RandomAnchors:
    """Random anchors of each image count, of which the sampler says how many are matched ones."""

    sampler: BalancedSampler

    def __call__(self, targets: Targets) -> Targets:
        """Weights 0 for anchors that are not drawn."""
        weights = targets.class_weights
        of_classes = weights.shape.rank == 3
        eligible = tf.reduce_max(weights, axis=-1) > 0 if of_classes else weights > 0
        drawn = tf.cast(self.sampler(eligible, targets.matches >= 0, None), tf.float32)
        class_weights = weights * (drawn[..., tf.newaxis] if of_classes else drawn)
        return targets._replace(box_weights=targets.box_weights * drawn, class_weights=class_weights)


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
    example_weights: ExplicitClasses | EveryClass = EveryClass()
    random_sampler: RandomAnchors | EveryAnchor = EveryAnchor()
    expected: ExpectedSampling | ReweightedNegatives | NoExpectation = NoExpectation()
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
    targets = terms.random_sampler(terms.example_weights(targets))
    if terms.localization.needs_boxes:
        localization = terms.localization(decode(codes), decode(targets.box_codes), targets.box_weights)
    else:
        localization = terms.localization(codes, targets.box_codes, targets.box_weights)
    classification = _classification(terms, logits, targets)
    sums = terms.miner(localization, classification, tf.stop_gradient(decode(codes)), targets.matches)
    return terms.localization_weight * sums[0], terms.classification_weight * sums[1]


def _classification(terms: LossTerms, logits: tf.Tensor, targets: Targets) -> tf.Tensor:
    """float32 [B, A], l_cls of each anchor with its weight."""
    weights = targets.class_weights
    if weights.shape.rank == 2:
        losses = terms.classification(logits, targets.classes, weights)
    else:  # each class has a weight of its own; a loss over all classes takes their mean
        losses = terms.classification(logits, targets.classes, tf.ones_like(weights[..., 0]))
        losses *= weights if losses.shape.rank == 3 else tf.reduce_mean(weights, axis=-1)
    if isinstance(terms.expected, NoExpectation):
        return tf.reduce_sum(losses, axis=2) if losses.shape.rank == 3 else losses
    if losses.shape.rank == 2:
        return losses * terms.expected(tf.cast(targets.matches >= 0, tf.float32))
    examples = tf.reshape(targets.classes, [tf.shape(losses)[0], -1])
    return tf.reduce_sum(losses * tf.reshape(terms.expected(examples), tf.shape(losses)), axis=2)
