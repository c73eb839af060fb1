"""Replaces the second stage where the config has only the first one (`number_of_stages: 1`).

The proposals are the detections, all of class 0, which stands for "object".
"""

from __future__ import annotations

from collections.abc import Iterable

import keras
import tensorflow as tf

from detection.meta_architectures.proposal_sampler import valid_rows
from detection.ops import boxes as box_ops
from detection.types import Detections, Example, Groundtruth, Proposals, RegionPredictions, Targets


class ProposalsOnly:
    """A second stage (`two_stage.SecondStageSlot`) that adds nothing.

    Args:
        num_classes: number of foreground classes K; predictions keep a column for each of them.
    """

    measures_targets = False

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes

    def assign(
        self, proposals: Proposals, groundtruth: Groundtruth | None, training: bool
    ) -> tuple[Proposals, Targets | tuple[()]]:
        """Returns all proposals, without targets."""
        return proposals, ()

    def run(
        self, maps: tuple[tf.Tensor, ...], boxes: tf.Tensor, image_shape: tuple, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns zeros: codes float32 [B, P, 1, 4], logits float32 [B, P, K + 1]."""
        rows = tf.unstack(tf.shape(boxes)[:2])
        return tf.zeros([*rows, 1, 4]), tf.zeros([*rows, self.num_classes + 1])

    def loss(self, predictions: RegionPredictions) -> dict[str, tf.Tensor]:
        """Returns an empty dict: there is nothing to train."""
        return {}

    def postprocess(self, predictions: RegionPredictions, true_shapes: tf.Tensor) -> Detections:
        """Returns the proposals as detections, in descending order of score."""
        proposals = predictions.proposals
        boxes, scores = box_ops.to_normalised(proposals.boxes, true_shapes), proposals.scores
        rows = tf.broadcast_to(tf.range(tf.shape(scores)[1]), tf.shape(scores))
        valid = valid_rows(proposals)
        raw_scores = tf.stack([tf.where(valid, 1.0 - scores, 0.0), scores], axis=-1)
        rows_or_padding = tf.where(valid, rows, 0)
        return Detections(boxes, scores, tf.zeros_like(rows), proposals.counts, boxes, raw_scores, rows_or_padding)

    def measure_targets(self, examples: Iterable[Example]) -> tf.Tensor:
        """Does nothing, since there are no targets. Returns float32 [K], all 0."""
        return tf.zeros([self.num_classes])

    def build_weights(self, maps: tuple[tf.Tensor, ...]) -> None:
        """Does nothing: there are no variables."""

    def object_keys(self) -> dict[str, keras.Variable]:
        """Returns an empty dict: there are no variables."""
        return {}
