"""Conversion of logits to scores, and the two objects that turn raw predictions into detections."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import tensorflow as tf

from detection.ops.nms import MulticlassNms
from detection.ops.soft_nms import SoftNms


@dataclass(frozen=True)
class ScoreConverter:
    """scores = f(logits / logit_scale) over all K + 1 columns, background included.

    Softmax runs across the columns; the others are applied to each number.
    """

    kind: Literal["identity", "sigmoid", "softmax"] = "identity"
    logit_scale: float = 1.0

    def __call__(self, logits: tf.Tensor) -> tf.Tensor:
        """Scores of logits float32 [B, R, K + 1], of the same shape."""
        if self.logit_scale != 1.0:
            logits = logits / self.logit_scale
        if self.kind == "sigmoid":
            return tf.sigmoid(logits)
        if self.kind == "softmax":
            # As a matrix: oneDNN's softmax of three dimensions takes twice as long on CPUs.
            return tf.reshape(tf.nn.softmax(tf.reshape(logits, [-1, tf.shape(logits)[-1]])), tf.shape(logits))
        return logits


@dataclass(frozen=True)
class PostProcessing:
    """Score conversion and suppression: nms gets the foreground columns of the scores, scores[..., 1:]."""

    nms: MulticlassNms | SoftNms
    score_converter: Callable[[tf.Tensor], tf.Tensor]
