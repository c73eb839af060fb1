"""The seven steps that Fast R-CNN, Faster R-CNN and R-FCN share (survey, sections 2.2.2 and 2.2.3), with two slots.

    1. features of the image                         4. boxes and classes of every proposal     <- slot `regions`
    2. proposals                  <- slot `proposer` 5. loss of the proposals
    3. sample and assign them                        6. loss of the regions
                                                     7. decode, suppress per class, clip

`fast_rcnn.py`, `faster_rcnn.py` and `rfcn.py` beside this file fill the slots; reading them side by side is the
comparison of the three papers.

Step 6 is Equation 1 with the proposals as anchors. For image i with n_i proposals, of a batch of B:

    L = sum_i 1 / (B max(n_i, 1)) sum_p [ alpha * 1[p is matched] * l_loc(codes of its class, target codes) + beta *
        l_cls(logits, class) ]
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Protocol

import keras
import tensorflow as tf

from detection.errors import ConfigError
from detection.feature_extractors.two_stage import TwoStageExtractor
from detection.meta_architectures.multibox_loss import LossTerms, multibox_loss
from detection.meta_architectures.target_normalization import TargetNormalization
from detection.ops import boxes as box_ops
from detection.ops.samplers import BalancedSampler
from detection.ops.scores import PostProcessing
from detection.ops.targets import TargetAssigner
from detection.types import (
    DensePredictions,
    Detections,
    Example,
    Groundtruth,
    ImageBatch,
    Proposals,
    RegionPredictions,
    Targets,
)


class Proposer(Protocol):
    """Slot 1: where proposals come from."""

    anchors_per_cell: tuple[int, ...]  # anchors a cell of the one map; empty where there are none

    def run(
        self, features: tf.Tensor, batch: ImageBatch, training: bool
    ) -> tuple[DensePredictions | tuple[()], Proposals]:
        """Proposals without gradient, and what the proposals' own loss needs (nothing where they are given)."""

    def loss(self, predictions: DensePredictions | tuple[()], groundtruth: Groundtruth) -> dict[str, tf.Tensor]:
        """Step 5, weighted losses by TensorBoard tag; none where proposals are given."""

    def build_weights(self, features: tf.Tensor) -> None:
        """Creates the slot's variables for a map like `features`."""


class Regions(Protocol):
    """Slot 2: what is computed for a proposal."""

    def run(
        self, features: tf.Tensor, boxes: tf.Tensor, image_shape: tuple, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """boxes float32 [B, P, 4], pixels -> codes float32 [B, P, K or 1, 4], logits float32 [B, P, K + 1]."""


@dataclasses.dataclass(frozen=True)
class ProposalSampler:
    """Step 3 of training: `size` proposals an image, at most `positive_fraction` of them matched (Girshick 2015,
    section 2.3)."""

    size: int
    positive_fraction: float
    field: str = "second_stage_batch_size"  # where the size comes from, for messages

    def __call__(self, proposals: Proposals, targets: Targets) -> tuple[Proposals, Targets]:
        """The drawn ones in their old order, P = size; padding where there were fewer.

        Raises:
            ConfigError: fewer proposals are made than are to be drawn. Only training draws, so a trained detector may
                be run with fewer.
        """
        most = proposals.scores.shape[1]
        if most is not None and self.size > most:
            raise ConfigError(
                f"{self.field} ({self.size}) exceeds first_stage_max_proposals ({most}): there are no more to draw from"
            )
        valid = _valid(proposals)
        drawn = BalancedSampler(self.positive_fraction)(
            valid & (targets.class_weights > 0), targets.matches >= 0, self.size
        )
        # A stable sort by "not drawn" brings the drawn ones to the front without disturbing their order.
        rows = tf.argsort(tf.cast(~drawn, tf.int32), axis=-1, stable=True)[:, : self.size]
        counts = tf.reduce_sum(tf.cast(drawn, tf.int32), axis=-1)

        def pick(values: tf.Tensor) -> tf.Tensor:
            picked = tf.gather(values, rows, batch_dims=1)
            kept = tf.reshape(
                tf.sequence_mask(counts, tf.shape(rows)[1]),
                tf.concat([tf.shape(rows), [1] * (values.shape.rank - 2)], 0),
            )
            return tf.where(kept, picked, tf.zeros([], picked.dtype))

        return Proposals(pick(proposals.boxes), pick(proposals.scores), counts), Targets(*map(pick, targets))


class TwoStage(keras.layers.Layer):
    """A detector called by its verbs, never by `__call__`: so its parts' variables stand at the root, as checkpoints
    have them.

    Args:
        name: of the meta-architecture.
        num_classes: foreground classes K.
        extractor: the network, cut in two.
        proposer: slot 1.
        regions: slot 2; None stops after the proposals, which then are the detections (of class 0).
        assigner: proposals and groundtruth -> Targets.
        sampler: of proposals in training; None keeps all, for a miner.
        loss_terms: the parts of Equation 1 for regions.
        postprocessing: score conversion and per-class non-maximum suppression.
        add_groundtruth: in training, groundtruth boxes are proposals too.
        normalization: of the codes that the box layer learns; None learns them as they are.
    """

    def __init__(
        self,
        *,
        name: str,
        num_classes: int,
        extractor: TwoStageExtractor,
        proposer: Proposer,
        regions: Regions | None,
        assigner: TargetAssigner,
        sampler: ProposalSampler | None,
        loss_terms: LossTerms,
        postprocessing: PostProcessing,
        add_groundtruth: bool = False,
        normalization: TargetNormalization | None = None,
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.num_classes = num_classes
        self.scale, self.body = extractor.scale, extractor.body
        self.proposer, self.regions = proposer, regions
        self.assigner, self.sampler = assigner, sampler
        self.loss_terms, self.postprocessing = loss_terms, postprocessing
        self.add_groundtruth, self.normalization = add_groundtruth, normalization

    @property
    def anchors_per_cell(self) -> tuple[int, ...]:
        """Anchors a cell of the one feature map; empty where proposals are given."""
        return self.proposer.anchors_per_cell

    def predict(
        self, batch: ImageBatch, groundtruth: Groundtruth | None = None, training: bool = False
    ) -> RegionPredictions:
        """Steps 1 to 4. With groundtruth the proposals are matched to it, and in training sampled; this happens once,
        here."""
        images = self.scale(batch.images)
        features = self.body(images, training=training)
        # Sizes are read off the scaled images, so that all that follows depends on the image through them alone: served
        # graphs are cut there.
        rpn, proposals = self.proposer.run(features, batch._replace(images=images), training)
        targets: Targets | tuple[()] = ()
        if groundtruth is not None and self.regions is not None:
            if training and self.add_groundtruth:
                proposals = _with_groundtruth(proposals, groundtruth)
            targets = self.assigner(proposals.boxes, groundtruth, self.num_classes)
            if training and self.sampler is not None:
                proposals, targets = self.sampler(proposals, targets)
        codes, logits = self._regions(features, proposals, images, training)
        return RegionPredictions(images, (features,), rpn, proposals, targets, codes, logits)

    def loss(self, predictions: RegionPredictions, groundtruth: Groundtruth) -> dict[str, tf.Tensor]:
        """Steps 5 and 6: weighted losses by TensorBoard tag, scalars; regularisation is apart."""
        losses = self.proposer.loss(predictions.rpn, groundtruth)
        if self.regions is None:
            return losses
        localization, classification = self._region_loss(predictions)
        tag = "Loss/BoxClassifierLoss"
        return {**losses, f"{tag}/localization_loss": localization, f"{tag}/classification_loss": classification}

    def postprocess(self, predictions: RegionPredictions, true_shapes: tf.Tensor) -> Detections:
        """Step 7: decoded, suppressed, clipped and normalised boxes. true_shapes int32 [B, 2]."""
        proposals = predictions.proposals
        if self.regions is None:
            return _as_detections(proposals, true_shapes)
        codes = (
            predictions.box_codes
            if self.normalization is None
            else self.normalization.restore_all(predictions.box_codes)
        )
        boxes = self.assigner.box_coder.decode(codes, proposals.boxes[:, :, tf.newaxis])
        scores = self.postprocessing.score_converter(predictions.class_logits)
        scores = tf.where(_valid(proposals)[..., tf.newaxis], scores, 0.0)
        if boxes.shape[2] == 1:
            boxes = boxes[:, :, 0]
        kept, rows = self.postprocessing.nms.with_indices(boxes, scores[..., 1:], box_ops.image_windows(true_shapes))
        return Detections(
            boxes=box_ops.to_normalised(kept.boxes, true_shapes),
            scores=kept.scores,
            classes=kept.classes,
            counts=kept.counts,
            raw_boxes=box_ops.to_normalised(_best_boxes(boxes, scores), true_shapes),
            raw_scores=scores,
            rows=rows,
        )

    def measure_targets(self, examples: Iterable[Example]) -> tf.Tensor:
        """Fits the normalisation of box codes to the proposals and groundtruth of `examples`; returns the boxes seen of
        each class, float32 [K].

        Only for proposals that come with the images: others depend on what is yet to be learnt.
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
        """None: object-based checkpoints of two-stage detectors cannot be read."""
        return {}

    def regularization_loss(self) -> tf.Tensor:
        """Sum of the penalties of all kernels, scalar."""
        penalties = self.losses
        return tf.add_n(penalties) if penalties else tf.constant(0.0)

    def build_weights(self) -> None:
        """Creates every variable by running one small image with one region, whose sizes no variable depends on."""
        if self.weights:
            return
        images = tf.zeros([1, 128, 128, 3])
        features = self.body(images)
        self.proposer.build_weights(features)
        if self.normalization is not None:
            self.normalization.build_weights()
        if self.regions is not None:
            self.regions.run(features, tf.constant([[[0.0, 0.0, 64.0, 64.0]]]), (128, 128), False)

    def _regions(
        self, features: tf.Tensor, proposals: Proposals, images: tf.Tensor, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Step 4; nothing to be seen where there is no second stage."""
        if self.regions is None:
            rows = tf.shape(proposals.scores)
            return tf.zeros([*tf.unstack(rows), 1, 4]), tf.zeros([*tf.unstack(rows), self.num_classes + 1])
        return self.regions.run(features, proposals.boxes, box_ops.image_shape(images), training)

    def _region_loss(self, predictions: RegionPredictions) -> tuple[tf.Tensor, tf.Tensor]:
        """Step 6, (localisation, classification)."""
        proposals, targets = predictions.proposals, predictions.targets
        if not targets:
            raise ValueError("these predictions were made without groundtruth: call predict(batch, groundtruth)")
        valid = tf.cast(_valid(proposals), tf.float32)
        share = valid / (
            tf.maximum(tf.reduce_sum(valid, axis=1, keepdims=True), 1.0) * tf.cast(tf.shape(valid)[0], tf.float32)
        )
        targets = targets._replace(box_weights=targets.box_weights * share, class_weights=targets.class_weights * share)

        classes = tf.argmax(
            targets.classes[..., 1:], axis=-1, output_type=tf.int32
        )  # 0 where there is none, which then weighs nothing
        normalization = self.normalization
        if normalization is not None:
            targets = targets._replace(box_codes=normalization.normalise(targets.box_codes, classes))

        def decode(codes: tf.Tensor) -> tf.Tensor:
            codes = codes if normalization is None else normalization.restore(codes, classes)
            return self.assigner.box_coder.decode(codes, proposals.boxes)

        return multibox_loss(
            self.loss_terms, _codes_of(classes, predictions.box_codes), predictions.class_logits, targets, decode
        )


def _valid(proposals: Proposals) -> tf.Tensor:
    """bool [B, P], False in padding."""
    return tf.sequence_mask(proposals.counts, tf.shape(proposals.scores)[1])


def _codes_of(classes: tf.Tensor, codes: tf.Tensor) -> tf.Tensor:
    """codes float32 [B, P, K or 1, 4] -> [B, P, 4]: those of each proposal's own class, int32 [B, P]."""
    return codes[:, :, 0] if codes.shape[2] == 1 else tf.gather(codes, classes, axis=2, batch_dims=2)


def _with_groundtruth(proposals: Proposals, groundtruth: Groundtruth) -> Proposals:
    """The boxes to be learnt first, as sure as can be, then the proposals; P grows by M."""
    learnt = groundtruth.weights > 0
    boxes = tf.concat([groundtruth.boxes, proposals.boxes], axis=1)
    scores = tf.concat([tf.ones_like(groundtruth.weights), proposals.scores], axis=1)
    valid = tf.concat([learnt, _valid(proposals)], axis=1)
    rows = tf.argsort(tf.cast(~valid, tf.int32), axis=-1, stable=True)  # valid ones to the front, in their order
    counts = tf.reduce_sum(tf.cast(valid, tf.int32), axis=-1)
    kept = tf.sequence_mask(counts, tf.shape(rows)[1])
    boxes = tf.where(kept[..., tf.newaxis], tf.gather(boxes, rows, batch_dims=1), 0.0)
    return Proposals(boxes, tf.where(kept, tf.gather(scores, rows, batch_dims=1), 0.0), counts)


def _best_boxes(boxes: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
    """boxes float32 [B, P, 4] or [B, P, K, 4] -> [B, P, 4], each proposal's box of its best foreground class."""
    if boxes.shape.rank == 3:
        return boxes
    return tf.gather(boxes, tf.argmax(scores[..., 1:], axis=-1, output_type=tf.int32), axis=2, batch_dims=2)


def _as_detections(proposals: Proposals, true_shapes: tf.Tensor) -> Detections:
    """Proposals as detections of class 0, which only says "object"."""
    boxes, scores = box_ops.to_normalised(proposals.boxes, true_shapes), proposals.scores
    rows = tf.broadcast_to(tf.range(tf.shape(scores)[1]), tf.shape(scores))
    valid = _valid(proposals)
    raw_scores = tf.stack([tf.where(valid, 1.0 - scores, 0.0), scores], axis=-1)
    return Detections(boxes, scores, tf.zeros_like(rows), proposals.counts, boxes, raw_scores, tf.where(valid, rows, 0))
