"""Fast R-CNN (Girshick 2015, section 2).

proposals: given with the images (selective search, EdgeBoxes, a dense grid, any file)
regions:   crop of each proposal -> tail of the network -> two sibling layers, as in Faster R-CNN
"""

from __future__ import annotations

import keras
import tensorflow as tf

from detection.types import Groundtruth, ImageBatch, Proposals


class GivenProposals:
    """Slot 1 of Fast R-CNN: what came with the images. Nothing to learn, so nothing to lose."""

    given = True
    anchors_per_cell: tuple[int, ...] = ()

    def run(self, maps: tuple[tf.Tensor, ...], batch: ImageBatch, training: bool) -> tuple[tuple[()], Proposals]:
        """The proposals of the batch."""
        if not batch.proposals:
            raise ValueError("Fast R-CNN classifies proposals that come with the images; this batch has none")
        return (), batch.proposals

    def loss(self, predictions: tuple[()], groundtruth: Groundtruth) -> dict[str, tf.Tensor]:
        """None."""
        return {}

    def build_weights(self, maps: tuple[tf.Tensor, ...]) -> None:
        """There are none."""

    def object_keys(self) -> dict[str, keras.Variable]:
        """There are no variables."""
        return {}
