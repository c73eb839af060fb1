"""Proposals from the first stage of a trained Faster R-CNN, to train and test a Fast R-CNN."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import tensorflow as tf

from detection.data.resize import Resizer
from detection.proposals.methods import Method, ScoredBoxes, tidy
from detection.types import ImageBatch, Proposals


class _Predictions(Protocol):
    proposals: Proposals


class ProposalDetector(Protocol):
    """A detector whose predictions contain its proposals."""

    def predict(self, batch: ImageBatch) -> _Predictions:
        """Runs the network."""
        ...


def from_detector(detector: ProposalDetector, resizer: Resizer, max_proposals: int = 0) -> Method:
    """A method (`methods.Method`) that returns a detector's proposals in pixels of the given image.

    Args:
        detector: the trained detector.
        resizer: resizes the image for it.
        max_proposals: how many to return at most; 0: all.
    """

    @tf.function(autograph=False, reduce_retracing=True, input_signature=[tf.TensorSpec([None, None, 3], tf.uint8)])
    def propose(image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        batch = resizer.batch(image[tf.newaxis])
        proposals = detector.predict(batch).proposals
        count = proposals.counts[0]
        return proposals.boxes[0, :count], proposals.scores[0, :count], batch.true_shapes[0]

    def method(image: np.ndarray) -> ScoredBoxes:
        boxes, scores, true_shape = (tensor.numpy() for tensor in propose(tf.constant(image)))
        size = image.shape[0], image.shape[1]
        return tidy(boxes * np.tile(np.array(size) / true_shape, 2), scores, size, max_proposals)

    return method
