"""The seven steps that Fast R-CNN, Faster R-CNN and R-FCN share (survey, sections 2.2.2 and 2.2.3), with two slots.

    1. features of the image                         4. boxes and classes of every proposal     <- slot `regions`
    2. proposals                  <- slot `proposer` 5. loss of the proposals
    3. sample and assign them                        6. loss of the regions
                                                     7. decode, suppress per class, clip

`fast_rcnn.py`, `faster_rcnn.py` and `rfcn.py` fill the slots and contain only what differs between the three papers.
Steps 3, 4, 6 and 7 are in `second_stage.py`, or in `proposals_only.py` where there is no second stage.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import keras
import tensorflow as tf

from detection.feature_extractors.two_stage import TwoStageExtractor
from detection.meta_architectures.penalties import sum_of_penalties
from detection.meta_architectures.proposals_only import ProposalsOnly
from detection.meta_architectures.second_stage import SecondStage
from detection.ops import boxes as box_ops
from detection.types import DensePredictions, Detections, Example, Groundtruth, ImageBatch, Proposals, RegionPredictions


class Proposer(Protocol):
    """Slot 1: the source of proposals."""

    given: bool  # whether they are given with the images
    anchors_per_cell: tuple[int, ...]  # number of anchors per cell, for each map; empty where there are none

    def run(
        self, maps: tuple[tf.Tensor, ...], batch: ImageBatch, training: bool
    ) -> tuple[DensePredictions | tuple[()], Proposals]:
        """Returns the predictions for `loss`, () where proposals are given, and the proposals, without gradient."""

    def loss(self, predictions: DensePredictions | tuple[()], groundtruth: Groundtruth) -> dict[str, tf.Tensor]:
        """Step 5: returns the weighted losses (scalars) by TensorBoard tag; empty where proposals are given."""

    def build_weights(self, maps: tuple[tf.Tensor, ...]) -> None:
        """Creates the variables of the slot, for maps with the depths of `maps`."""

    def object_keys(self) -> dict[str, keras.Variable]:
        """Returns the variables of the slot, keyed by their path below the detector in an object-based checkpoint."""


class TwoStage(keras.layers.Layer):
    """A two-stage detector.

    Call `predict`, `loss` and `postprocess`, never the layer itself: `__call__` would put the layer's name in front of
    the variable names, and checkpoints have them at the root.

    Args:
        name: name of the meta-architecture.
        num_classes: number of foreground classes K.
        extractor: the network, cut into body and tail.
        proposer: slot 1.
        second_stage: steps 3, 4, 6 and 7, including slot 2.
    """

    image_channels = 3  # of the images that its weights are made for

    def __init__(
        self,
        *,
        name: str,
        num_classes: int,
        extractor: TwoStageExtractor,
        proposer: Proposer,
        second_stage: SecondStage | ProposalsOnly,
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.num_classes = num_classes
        self.scale, self.body, self.keras_form = extractor.scale, extractor.body, extractor.keras_form
        self.proposer, self.second_stage = proposer, second_stage

    @property
    def anchors_per_cell(self) -> tuple[int, ...]:
        """Number of anchors per cell, for each feature map; empty where proposals are given."""
        return self.proposer.anchors_per_cell

    @property
    def takes_proposals(self) -> bool:
        """Whether proposals are given with the images."""
        return self.proposer.given

    @property
    def measures_targets(self) -> bool:
        """Whether box codes are normalised by statistics that are measured on the training data."""
        return self.second_stage.measures_targets

    def predict(
        self, batch: ImageBatch, groundtruth: Groundtruth | None = None, training: bool = False
    ) -> RegionPredictions:
        """Runs steps 1 to 4.

        Args:
            batch: the images, with proposals where `takes_proposals`.
            groundtruth: if given, the proposals are matched to it, and in training sampled. This is done once, here.
            training: whether layers run in training mode and proposals are sampled.
        """
        images = self.scale(batch.images)
        maps = as_maps(self.body(images, training=training))
        # Everything below takes the image size from the scaled images and not from `batch`: exported graphs are cut at
        # the scaled images.
        rpn, proposals = self.proposer.run(maps, batch._replace(images=images), training)
        proposals, targets = self.second_stage.assign(proposals, groundtruth, training)
        codes, logits = self.second_stage.run(maps, proposals.boxes, box_ops.image_shape(images), training)
        return RegionPredictions(images, maps, rpn, proposals, targets, codes, logits)

    def loss(self, predictions: RegionPredictions, groundtruth: Groundtruth) -> dict[str, tf.Tensor]:
        """Steps 5 and 6: returns the weighted losses (scalars) by TensorBoard tag, without the regularisation loss."""
        return {**self.proposer.loss(predictions.rpn, groundtruth), **self.second_stage.loss(predictions)}

    def postprocess(self, predictions: RegionPredictions, true_shapes: tf.Tensor) -> Detections:
        """Step 7: decodes boxes, applies non-maximum suppression, clips and normalises.

        Args:
            predictions: as returned by `predict`.
            true_shapes: int32 [B, 2], height and width before padding, pixels.
        """
        return self.second_stage.postprocess(predictions, true_shapes)

    def measure_targets(self, examples: Iterable[Example]) -> tf.Tensor:
        """Fits the normalisation of box codes to the proposals and groundtruth of `examples`.

        Returns:
            The number of boxes of each class, float32 [K].
        """
        return self.second_stage.measure_targets(examples)

    def object_keys(self) -> dict[str, keras.Variable]:
        """Returns the variables by their keys in object-based checkpoints of the TF Object Detection API.

        Empty where its TF2 models have no such detector.
        """
        if not self.keras_form:
            return {}
        keys = {
            **{
                f"_feature_extractor_for_proposal_features/{key}": each for key, each in self.body.object_keys().items()
            },
            **self.proposer.object_keys(),
            **self.second_stage.object_keys(),
        }
        whole = {id(each) for each in keys.values()} >= {id(each) for each in self.trainable_variables}
        return {f"model/{key}": variable for key, variable in keys.items()} if whole else {}

    def regularization_loss(self) -> tf.Tensor:
        """Returns the sum (scalar) of the regularisation penalties of all kernels."""
        return sum_of_penalties(self)

    def build_weights(self) -> None:
        """Creates every variable by running one small image with one region; no variable depends on their sizes."""
        if self.weights:
            return
        maps = as_maps(self.body(tf.zeros([1, 128, 128, self.image_channels])))
        self.proposer.build_weights(maps)
        self.second_stage.build_weights(maps)


def as_maps(features: tf.Tensor | tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, ...]:
    """Returns the output of a body, one map or the maps of a pyramid, as a tuple."""
    return features if isinstance(features, tuple) else (features,)
