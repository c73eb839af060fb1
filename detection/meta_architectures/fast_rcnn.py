"""Fast R-CNN (Girshick 2015, section 2).

proposals: given with the images (from selective search, EdgeBoxes, a dense grid or any file)
regions:   crop of each proposal -> tail of the network -> two sibling layers, as in Faster R-CNN
"""

from __future__ import annotations

import keras
import tensorflow as tf

from detection.types import Groundtruth, ImageBatch, Proposals


class GivenProposals:
    """Slot 1 of Fast R-CNN: the proposals given with the images. It has no variables and no loss."""

    given = True
    anchors_per_cell: tuple[int, ...] = ()

    def run(self, maps: tuple[tf.Tensor, ...], batch: ImageBatch, training: bool) -> tuple[tuple[()], Proposals]:
        """Returns the proposals of the batch.

        Raises:
            ValueError: the batch has no proposals.
        """
        if not batch.proposals:
            raise ValueError("Fast R-CNN classifies proposals that come with the images; this batch has none")
        return (), batch.proposals

    def loss(self, predictions: tuple[()], groundtruth: Groundtruth) -> dict[str, tf.Tensor]:
        """Returns an empty dict: given proposals have no loss."""
        return {}

    def build_weights(self, maps: tuple[tf.Tensor, ...]) -> None:
        """Does nothing: there are no variables."""

    def object_keys(self) -> dict[str, keras.Variable]:
        """Returns an empty dict: there are no variables."""
        return {}
