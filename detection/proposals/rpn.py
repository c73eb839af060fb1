"""The proposals of a trained detector, kept: what Faster R-CNN's first stage finds can train and test a Fast R-CNN."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import tensorflow as tf

from detection.data.resize import Resizer
from detection.proposals.methods import Found, Method, tidy
from detection.types import ImageBatch, Proposals


class _Predictions(Protocol):
    proposals: Proposals


class Proposing(Protocol):
    """A detector that says where it looked."""

    def predict(self, batch: ImageBatch) -> _Predictions: ...


def from_detector(detector: Proposing, resizer: Resizer, max_proposals: int = 0) -> Method:
    """A method (`methods.Method`): the detector's proposals for an image as `resizer` makes it, in pixels of the
    image as given.
    """

    @tf.function(autograph=False, reduce_retracing=True, input_signature=[tf.TensorSpec([None, None, 3], tf.uint8)])
    def propose(image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        batch = resizer.batch(image[tf.newaxis])
        proposals = detector.predict(batch).proposals
        count = proposals.counts[0]
        return proposals.boxes[0, :count], proposals.scores[0, :count], batch.true_shapes[0]

    def method(image: np.ndarray) -> Found:
        boxes, scores, true_shape = (tensor.numpy() for tensor in propose(tf.constant(image)))
        size = image.shape[0], image.shape[1]
        return tidy(boxes * np.tile(np.array(size) / true_shape, 2), scores, size, max_proposals)

    return method
