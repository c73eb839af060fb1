"""How much the classes of each anchor count.

Without it an anchor weighs the same for all classes. `ExplicitClasses` tells what a record says from what it leaves
open: that a matched anchor is a dog, or that it is no background, is said; that it is no cat, or that nothing is on an
unmatched anchor, is only concluded, and may be wrong where not everything is labelled.
"""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf

from detection.types import Targets


@dataclass(frozen=True)
class EveryClass:
    """All classes of an anchor weigh the same."""

    def __call__(self, targets: Targets) -> Targets:
        """The targets as they are."""
        return targets


@dataclass(frozen=True)
class ExplicitClasses:
    """As the TF Object Detection API does with use_confidences_as_targets: what is only concluded weighs
    `implicit_weight`; unmatched anchors, those between the thresholds too, are background.

    Its records hold no confidences, so each box is sure of its classes.
    """

    implicit_weight: float

    def __call__(self, targets: Targets) -> Targets:
        """Targets with class_weights float32 [B, A, K + 1]."""
        matched = (targets.matches >= 0)[..., tf.newaxis]
        background = tf.where(matched, 0.0, 1.0)
        classes = tf.concat([background, targets.classes[..., 1:]], axis=-1)
        explicit = tf.concat([matched, targets.classes[..., 1:] > 0], axis=-1) & matched
        anchors = tf.where(matched, targets.class_weights[..., tf.newaxis], 1.0)
        return targets._replace(classes=classes, class_weights=anchors * tf.where(explicit, 1.0, self.implicit_weight))
