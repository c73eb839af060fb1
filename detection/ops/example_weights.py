"""Weights of the classes of each anchor in the classification loss.

`EveryClass` gives all classes of an anchor the same weight. `ExplicitClasses` distinguishes explicit from implicit
labels. That a matched anchor is a dog, or that it is not background, is explicit; that it is not a cat, or that there
is nothing at an unmatched anchor, is implicit, and may be wrong where annotations are incomplete.
"""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf

from detection.types import Targets


@dataclass(frozen=True)
class EveryClass:
    """All classes of an anchor have the same weight."""

    def __call__(self, targets: Targets) -> Targets:
        """Returns the targets unchanged."""
        return targets


@dataclass(frozen=True)
class ExplicitClasses:
    """Implicit labels have weight `implicit_weight`; unmatched anchors are background.

    Anchors between the matching thresholds are background too. This is what the TF Object Detection API does with
    use_confidences_as_targets; since its records have no confidences, every box has confidence 1.
    """

    implicit_weight: float

    def __call__(self, targets: Targets) -> Targets:
        """Returns the targets with class_weights float32 [B, A, K + 1]."""
        matched = (targets.matches >= 0)[..., tf.newaxis]
        background = tf.where(matched, 0.0, 1.0)
        classes = tf.concat([background, targets.classes[..., 1:]], axis=-1)
        explicit = tf.concat([matched, targets.classes[..., 1:] > 0], axis=-1) & matched
        anchors = tf.where(matched, targets.class_weights[..., tf.newaxis], 1.0)
        return targets._replace(classes=classes, class_weights=anchors * tf.where(explicit, 1.0, self.implicit_weight))
