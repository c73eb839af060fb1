"""The second stage of Fast R-CNN, Faster R-CNN and R-FCN (survey, sections 2.2.2 and 2.2.3).

It predicts a class and a refined box for every proposal.
Its loss is Equation 1 with the proposals as anchors. For image i with n_i proposals, of a batch of B:

    L = sum_i 1 / (B max(n_i, 1)) sum_p [ alpha * 1[p is matched] * l_loc(codes of its class, target codes) + beta *
        l_cls(logits, class) ]
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import keras
import tensorflow as tf

from detection.meta_architectures.box_features import BoxFeatures, NoBoxFeatures
from detection.meta_architectures.multibox_loss import LossTerms, multibox_loss
from detection.meta_architectures.proposal_sampler import AllProposals, ProposalSampler, valid_rows
from detection.meta_architectures.target_normalization import Identity, TargetNormalization
from detection.ops import boxes as box_ops
from detection.ops.scores import PostProcessing
from detection.ops.targets import TargetAssigner
from detection.types import Detections, Example, Groundtruth, Proposals, RegionPredictions, Targets

_TAG = "Loss/BoxClassifierLoss"


class Regions(Protocol):
    """Slot 2: predicts class and box of proposals."""

    def object_keys(self) -> dict[str, keras.Variable]:
        """Returns the variables, keyed by their path below the detector in an object-based checkpoint."""

    def run(
        self, maps: tuple[tf.Tensor, ...], boxes: tf.Tensor, image_shape: tuple, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Predicts box codes and class logits of regions.

        Args:
            maps: float32 [B, h, w, c] each.
            boxes: float32 [B, P, 4], pixels.
            image_shape: height and width of the padded image, pixels.
            training: whether layers run in training mode.

        Returns:
            Codes float32 [B, P, K or 1, 4] and logits float32 [B, P, K + 1].
        """


class SecondStage(keras.layers.Layer):
    """Steps 3, 4, 6 and 7 of `two_stage.TwoStage`.

    Call its methods, not the layer itself, so that the layers of slot 2 stay at the root of a checkpoint.

    Args:
        num_classes: number of foreground classes K.
        regions: slot 2, which predicts class and box of proposals.
        assigner: proposals and groundtruth -> Targets.
        sampler: samples proposals in training.
        loss_terms: the terms of Equation 1.
        postprocessing: score conversion and per-class non-maximum suppression.
        normalization: normalises the box codes that the box layer is trained on.
        add_groundtruth: whether groundtruth boxes are added to the proposals in training.
        box_features: which features of detections are outputs; None: none.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        regions: Regions,
        assigner: TargetAssigner,
        sampler: ProposalSampler | AllProposals,
        loss_terms: LossTerms,
        postprocessing: PostProcessing,
        normalization: TargetNormalization | Identity,
        add_groundtruth: bool = False,
        box_features: BoxFeatures | NoBoxFeatures | None = None,
    ) -> None:
        super().__init__(name="SecondStage", autocast=False)
        self.num_classes, self.add_groundtruth = num_classes, add_groundtruth
        self.regions, self.normalization = regions, normalization
        self.assigner, self.sampler = assigner, sampler
        self.loss_terms, self.postprocessing = loss_terms, postprocessing
        self.box_features = box_features or NoBoxFeatures()

    @property
    def measures_targets(self) -> bool:
        """Whether box codes are normalised by statistics that are measured on the training data."""
        return self.normalization.measures

    def assign(
        self, proposals: Proposals, groundtruth: Groundtruth | None, training: bool
    ) -> tuple[Proposals, Targets | tuple[()]]:
        """Step 3: assigns a target to every proposal; in training, samples the proposals that are trained on.

        Returns:
            The proposals and their targets; the targets are () without groundtruth.
        """
        if groundtruth is None:
            return proposals, ()
        if training and self.add_groundtruth:
            proposals = _with_groundtruth(proposals, groundtruth)
        targets = self.assigner(proposals.boxes, groundtruth, self.num_classes)
        return self.sampler(proposals, targets) if training else (proposals, targets)

    def run(
        self, maps: tuple[tf.Tensor, ...], boxes: tf.Tensor, image_shape: tuple, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Step 4: see `Regions.run`."""
        return self.regions.run(maps, boxes, image_shape, training)

    def loss(self, predictions: RegionPredictions) -> dict[str, tf.Tensor]:
        """Step 6: returns the weighted losses (scalars) by TensorBoard tag.

        Raises:
            ValueError: the predictions were made without groundtruth.
        """
        localization, classification = self._loss(predictions)
        return {f"{_TAG}/localization_loss": localization, f"{_TAG}/classification_loss": classification}

    def postprocess(self, predictions: RegionPredictions, true_shapes: tf.Tensor) -> Detections:
        """Step 7: decodes boxes, applies non-maximum suppression, clips and normalises.

        Args:
            predictions: as returned by `TwoStage.predict`.
            true_shapes: int32 [B, 2], height and width before padding, pixels.
        """
        proposals = predictions.proposals
        codes = self.normalization.restore_all(predictions.box_codes)
        boxes = self.assigner.box_coder.decode(codes, proposals.boxes[:, :, tf.newaxis])
        scores = self.postprocessing.score_converter(predictions.class_logits)
        scores = tf.where(valid_rows(proposals)[..., tf.newaxis], scores, 0.0)
        if boxes.shape[2] == 1:
            boxes = boxes[:, :, 0]
        kept, rows = self.postprocessing.nms.with_indices(boxes, scores[..., 1:], box_ops.image_windows(true_shapes))
        shape = box_ops.image_shape(predictions.images)
        final, cropped = self.box_features(self.regions, predictions.feature_maps, kept.boxes, shape)
        return Detections(
            boxes=box_ops.to_normalised(kept.boxes, true_shapes),
            scores=kept.scores,
            classes=kept.classes,
            counts=kept.counts,
            raw_boxes=box_ops.to_normalised(_best_boxes(boxes, scores), true_shapes),
            raw_scores=scores,
            rows=rows,
            box_features=final,
            cropped_features=cropped,
        )

    def measure_targets(self, examples: Iterable[Example]) -> tf.Tensor:
        """Fits the normalisation of box codes to the proposals and groundtruth of `examples`.

        Only for proposals that are given with the images: those of a region proposal network change in training.

        Returns:
            The number of boxes of each class, float32 [K].
        """

        def assign(example: Example) -> Targets:
            proposals = (
                _with_groundtruth(example.batch.proposals, example.groundtruth)
                if self.add_groundtruth
                else example.batch.proposals
            )
            return self.assigner(proposals.boxes, example.groundtruth, self.num_classes)

        return self.normalization.measure(examples, assign)

    def object_keys(self) -> dict[str, keras.Variable]:
        """Returns the variables of slot 2, keyed by their path below the detector in an object-based checkpoint."""
        return self.regions.object_keys()

    def build_weights(self, maps: tuple[tf.Tensor, ...]) -> None:
        """Creates every variable by running one region on `maps`."""
        self.normalization.build_weights()
        self.regions.run(maps, tf.constant([[[0.0, 0.0, 64.0, 64.0]]]), (128, 128), False)

    def _loss(self, predictions: RegionPredictions) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the localisation and classification losses, scalars."""
        proposals, targets = predictions.proposals, predictions.targets
        if not targets:
            raise ValueError("these predictions were made without groundtruth: call predict(batch, groundtruth)")
        valid = tf.cast(valid_rows(proposals), tf.float32)
        share = valid / (
            tf.maximum(tf.reduce_sum(valid, axis=1, keepdims=True), 1.0) * tf.cast(tf.shape(valid)[0], tf.float32)
        )
        targets = targets._replace(box_weights=targets.box_weights * share, class_weights=targets.class_weights * share)

        # 0 for unmatched proposals, whose box weight is 0.
        classes = tf.argmax(targets.classes[..., 1:], axis=-1, output_type=tf.int32)
        targets = targets._replace(box_codes=self.normalization.normalise(targets.box_codes, classes))

        def decode(codes: tf.Tensor) -> tf.Tensor:
            return self.assigner.box_coder.decode(self.normalization.restore(codes, classes), proposals.boxes)

        return multibox_loss(
            self.loss_terms, _codes_of(classes, predictions.box_codes), predictions.class_logits, targets, decode
        )


def _codes_of(classes: tf.Tensor, codes: tf.Tensor) -> tf.Tensor:
    """Selects from codes float32 [B, P, K or 1, 4] those of each proposal's class, int32 [B, P]: float32 [B, P, 4]."""
    return codes[:, :, 0] if codes.shape[2] == 1 else tf.gather(codes, classes, axis=2, batch_dims=2)


def _with_groundtruth(proposals: Proposals, groundtruth: Groundtruth) -> Proposals:
    """Returns the groundtruth boxes of positive weight, with score 1, followed by the proposals; P grows by M."""
    learnt = groundtruth.weights > 0
    boxes = tf.concat([groundtruth.boxes, proposals.boxes], axis=1)
    scores = tf.concat([tf.ones_like(groundtruth.weights), proposals.scores], axis=1)
    valid = tf.concat([learnt, valid_rows(proposals)], axis=1)
    rows = tf.argsort(tf.cast(~valid, tf.int32), axis=-1, stable=True)  # valid ones to the front, in their order
    counts = tf.reduce_sum(tf.cast(valid, tf.int32), axis=-1)
    kept = tf.sequence_mask(counts, tf.shape(rows)[1])
    boxes = tf.where(kept[..., tf.newaxis], tf.gather(boxes, rows, batch_dims=1), 0.0)
    return Proposals(boxes, tf.where(kept, tf.gather(scores, rows, batch_dims=1), 0.0), counts)


def _best_boxes(boxes: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
    """Selects from boxes float32 [B, P, 4] or [B, P, K, 4] those of the best foreground class: [B, P, 4]."""
    if boxes.shape.rank == 3:
        return boxes
    return tf.gather(boxes, tf.argmax(scores[..., 1:], axis=-1, output_type=tf.int32), axis=2, batch_dims=2)
