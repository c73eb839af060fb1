"""The seven steps that Fast R-CNN, Faster R-CNN and R-FCN share (survey, sections 2.2.2 and 2.2.3), with two slots.

    1. features of the image                         4. boxes and classes of every proposal     <- slot `regions`
    2. proposals                  <- slot `proposer` 5. loss of the proposals
    3. sample and assign them                        6. loss of the regions
                                                     7. decode, suppress per class, clip

`fast_rcnn.py`, `faster_rcnn.py` and `rfcn.py` beside this file fill the slots; reading them side by side is the
comparison of the three papers. Steps 3, 4, 6 and 7 are `second_stage.py`, or `proposals_only.py` where there is no
second stage.
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
    """Slot 1: where proposals come from."""

    given: bool  # whether they come with the images
    anchors_per_cell: tuple[int, ...]  # anchors a cell of each map; empty where there are none

    def run(
        self, maps: tuple[tf.Tensor, ...], batch: ImageBatch, training: bool
    ) -> tuple[DensePredictions | tuple[()], Proposals]:
        """Proposals without gradient, and what the proposals' own loss needs (nothing where they are given)."""

    def loss(self, predictions: DensePredictions | tuple[()], groundtruth: Groundtruth) -> dict[str, tf.Tensor]:
        """Step 5, weighted losses by TensorBoard tag; none where proposals are given."""

    def build_weights(self, maps: tuple[tf.Tensor, ...]) -> None:
        """Creates the slot's variables for maps like `maps`."""

    def object_keys(self) -> dict[str, keras.Variable]:
        """The slot's variables by their place below the detector in an object-based checkpoint."""


class TwoStage(keras.layers.Layer):
    """A detector called by its verbs, never by `__call__`: so its parts' variables stand at the root, as checkpoints
    have them.

    Args:
        name: of the meta-architecture.
        num_classes: foreground classes K.
        extractor: the network, cut in two.
        proposer: slot 1.
        second_stage: what is done with the proposals, with slot 2 in it.
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
        """Anchors a cell of each feature map; empty where proposals are given."""
        return self.proposer.anchors_per_cell

    @property
    def takes_proposals(self) -> bool:
        """Whether proposals come with the images."""
        return self.proposer.given

    @property
    def measures_targets(self) -> bool:
        """Whether box codes are normalised by what is measured on the data."""
        return self.second_stage.measures_targets

    def predict(
        self, batch: ImageBatch, groundtruth: Groundtruth | None = None, training: bool = False
    ) -> RegionPredictions:
        """Steps 1 to 4. With groundtruth the proposals are matched to it, and in training sampled; this happens once,
        here."""
        images = self.scale(batch.images)
        maps = as_maps(self.body(images, training=training))
        # Sizes are read off the scaled images, so that all that follows depends on the image through them alone: served
        # graphs are cut there.
        rpn, proposals = self.proposer.run(maps, batch._replace(images=images), training)
        proposals, targets = self.second_stage.assign(proposals, groundtruth, training)
        codes, logits = self.second_stage.run(maps, proposals.boxes, box_ops.image_shape(images), training)
        return RegionPredictions(images, maps, rpn, proposals, targets, codes, logits)

    def loss(self, predictions: RegionPredictions, groundtruth: Groundtruth) -> dict[str, tf.Tensor]:
        """Steps 5 and 6: weighted losses by TensorBoard tag, scalars; regularisation is apart."""
        return {**self.proposer.loss(predictions.rpn, groundtruth), **self.second_stage.loss(predictions)}

    def postprocess(self, predictions: RegionPredictions, true_shapes: tf.Tensor) -> Detections:
        """Step 7: decoded, suppressed, clipped and normalised boxes. true_shapes int32 [B, 2]."""
        return self.second_stage.postprocess(predictions, true_shapes)

    def measure_targets(self, examples: Iterable[Example]) -> tf.Tensor:
        """Fits the normalisation of box codes to the proposals and groundtruth of `examples`; returns the boxes seen of
        each class, float32 [K]."""
        return self.second_stage.measure_targets(examples)

    def object_keys(self) -> dict[str, keras.Variable]:
        """The variables by the keys that object-based checkpoints of the TF Object Detection API have for them; empty
        where its TF2 models have no such detector."""
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
        """Sum of the penalties of all kernels, scalar."""
        return sum_of_penalties(self)

    def build_weights(self) -> None:
        """Creates every variable by running one small image with one region, whose sizes no variable depends on."""
        if self.weights:
            return
        maps = as_maps(self.body(tf.zeros([1, 128, 128, self.image_channels])))
        self.proposer.build_weights(maps)
        self.second_stage.build_weights(maps)


def as_maps(features: tf.Tensor | tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, ...]:
    """What a body gives, one map or those of a pyramid, as a tuple."""
    return features if isinstance(features, tuple) else (features,)
