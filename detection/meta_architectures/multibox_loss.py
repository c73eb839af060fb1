"""The survey's Equation 1 summed over anchors (Huang et al. 2017, section 2.2; "MultiBox" of Szegedy et al.).

    L = sum_a [ alpha * w_loc(a) * l_loc(codes_a, target codes_a) + beta * w_cls(a) * l_cls(logits_a, target class_a) ]

Every stage uses it: anchors are those of an SSD or of a region proposal network, or the proposals of a second stage.
The normalisation differs between them and is left to the caller.
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
    """The loss uses a random sample of each image's anchors; the sampler balances matched and unmatched ones."""

    sampler: BalancedSampler

    def __call__(self, targets: Targets) -> Targets:
        """Returns the targets with weights set to 0 for anchors that are not sampled."""
        weights = targets.class_weights
        of_classes = weights.shape.rank == 3
        eligible = tf.reduce_max(weights, axis=-1) > 0 if of_classes else weights > 0
        drawn = tf.cast(self.sampler(eligible, targets.matches >= 0, None), tf.float32)
        class_weights = weights * (drawn[..., tf.newaxis] if of_classes else drawn)
        return targets._replace(box_weights=targets.box_weights * drawn, class_weights=class_weights)


@dataclasses.dataclass(frozen=True)
class EveryAnchor:
    """The loss uses all anchors."""

    def __call__(self, targets: Targets) -> Targets:
        """Returns the targets unchanged."""
        return targets


# (predictions, targets, weights) -> losses [B, A]. Where its `needs_boxes` is set, it compares boxes instead of codes.
LocalizationLoss = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]


@dataclasses.dataclass(frozen=True)
class LossSum:
    """A weighted sum of localisation losses, of codes, boxes or both (survey, Table 3: smooth L1 + IoU)."""

    terms: tuple[tuple[float, LocalizationLoss], ...]  # weight and loss


@dataclasses.dataclass(frozen=True)
class LossTerms:
    """The two unreduced losses l_loc and l_cls, their weights alpha and beta, and how anchors are selected."""

    localization: LocalizationLoss | LossSum
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
    """Computes Equation 1.

    Args:
        terms: the losses, their weights and the selection of anchors.
        codes: float32 [B, A, code], predicted box codes.
        logits: float32 [B, A, K + 1], predicted class logits.
        targets: the targets of the same anchors.
        decode: codes [B, A, code] -> boxes [B, A, 4], pixels.

    Returns:
        The localisation and classification sums over the batch, weighted by alpha and beta, scalars.
    """
    targets = terms.random_sampler(terms.example_weights(targets))
    localization = _localization(terms.localization, codes, targets, decode)
    classification = _classification(terms, logits, targets)
    sums = terms.miner(localization, classification, tf.stop_gradient(decode(codes)), targets.matches)
    return terms.localization_weight * sums[0], terms.classification_weight * sums[1]


def _localization(
    loss: LocalizationLoss | LossSum, codes: tf.Tensor, targets: Targets, decode: Callable[[tf.Tensor], tf.Tensor]
) -> tf.Tensor:
    """Returns the weighted l_loc of each anchor, float32 [B, A]."""
    if isinstance(loss, LossSum):
        return tf.add_n([weight * _localization(part, codes, targets, decode) for weight, part in loss.terms])
    if loss.needs_boxes:
        return loss(decode(codes), decode(targets.box_codes), targets.box_weights)
    return loss(codes, targets.box_codes, targets.box_weights)


def _classification(terms: LossTerms, logits: tf.Tensor, targets: Targets) -> tf.Tensor:
    """Returns the weighted l_cls of each anchor, float32 [B, A]."""
    weights = targets.class_weights
    if weights.shape.rank == 2:
        losses = terms.classification(logits, targets.classes, weights)
    else:  # each class has its own weight; a loss over all classes uses their mean
        losses = terms.classification(logits, targets.classes, tf.ones_like(weights[..., 0]))
        losses *= weights if losses.shape.rank == 3 else tf.reduce_mean(weights, axis=-1)
    if isinstance(terms.expected, NoExpectation):
        return tf.reduce_sum(losses, axis=2) if losses.shape.rank == 3 else losses
    if losses.shape.rank == 2:
        return losses * terms.expected(tf.cast(targets.matches >= 0, tf.float32))
    examples = tf.reshape(targets.classes, [tf.shape(losses)[0], -1])
    return tf.reduce_sum(losses * tf.reshape(terms.expected(examples), tf.shape(losses)), axis=2)
