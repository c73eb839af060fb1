"""Faster R-CNN (Ren et al. 2015; survey, section 2.2.2).

proposals: a region proposal network, which is a dense head of one class on one map, or on every map of a pyramid (Lin
    et al. 2017, section 4.1): trained by Equation 1 on a sampled minibatch
regions:   crop of each proposal -> tail of the network -> two sibling layers
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import keras
import tensorflow as tf

from detection.heads.dense import DenseHead
from detection.heads.region import RegionHead
from detection.meta_architectures.multibox_loss import LossTerms, multibox_loss
from detection.networks.keras_layers import numbered
from detection.networks.layers import Conv
from detection.ops import boxes as box_ops
from detection.ops.nms import MulticlassNms
from detection.ops.roi_chunks import REGIONS_AT_A_TIME, in_chunks
from detection.ops.roi_levels import CutOut
from detection.ops.samplers import BalancedSampler
from detection.ops.targets import TargetAssigner
from detection.types import DensePredictions, Groundtruth, ImageBatch, Proposals

# (maps [B, h, w, c] each, (H, W) of the image) -> a function that crops boxes [B, P, 4], pixels: [B * P, s, s, c]
CropOp = Callable[[tuple[tf.Tensor, ...], tuple], CutOut]


@dataclasses.dataclass(frozen=True)
class RpnSettings:
    """Everything in a region proposal network apart from its layers."""

    anchors: Callable[[list[tuple], tuple], tf.Tensor]  # (map shapes, image shape) -> float32 [A, 4], pixels
    assigner: TargetAssigner  # anchors and groundtruth -> Targets of one class
    loss_terms: LossTerms
    sampler: BalancedSampler
    minibatch: int  # anchors per image on which the loss is computed
    nms: MulticlassNms  # of the proposals; it also limits their number
    clip_anchors: bool = False  # also in training; otherwise anchors that cross the image border are not used there


class RegionProposalNetwork(keras.layers.Layer):
    """Slot 1 of Faster R-CNN and R-FCN: a 3x3 convolution, then objectness and a box for every anchor.

    Ren et al. 2015, section 3.1. Call `run`, not the layer itself, so that its layers stay at the root of a checkpoint
    (`Conv`, `FirstStageBoxPredictor`).

    Args:
        conv: the convolution, shared by all maps.
        predictor: predicts objectness logits and box codes of every anchor, with separate layers for each map.
        settings: anchors, targets, losses and suppression.
    """

    given = False

    def __init__(self, *, conv: Conv, predictor: DenseHead, settings: RpnSettings) -> None:
        super().__init__(name="RegionProposalNetwork", autocast=False)
        self.conv, self.predictor, self.settings = conv, predictor, settings

    @property
    def anchors_per_cell(self) -> tuple[int, ...]:
        """Number of anchors per cell, for each map."""
        return self.settings.anchors.num_per_location

    def run(self, maps: tuple[tf.Tensor, ...], batch: ImageBatch, training: bool) -> tuple[DensePredictions, Proposals]:
        """Predicts proposals.

        Args:
            maps: float32 [B, h, w, c] each.
            batch: the images that the maps were computed from.
            training: whether layers run in training mode and anchors that cross the border are left out.

        Returns:
            The predictions for `loss`, and the proposals, through which no gradient flows.
        """
        hidden = tuple(self.conv(features, training=training) for features in maps)
        codes, logits = self.predictor.run(hidden, training=training)
        anchors = self._anchors(maps, batch, training)
        dense = DensePredictions(codes, logits, anchors, hidden, batch.images)
        return dense, self._proposals(dense, batch.true_shapes)

    def loss(self, predictions: DensePredictions, groundtruth: Groundtruth) -> dict[str, tf.Tensor]:
        """Returns Equation 1 on `minibatch` random anchors per image, divided by their number, averaged over images."""
        settings = self.settings
        objects = groundtruth._replace(classes=tf.zeros_like(groundtruth.classes), class_sets=())
        targets = settings.assigner(predictions.anchors, objects, num_classes=1)
        eligible = (targets.class_weights > 0) & (box_ops.area(predictions.anchors) > 0)
        drawn = tf.cast(settings.sampler(eligible, targets.matches >= 0, settings.minibatch), tf.float32)
        share = drawn / (
            tf.maximum(tf.reduce_sum(drawn, axis=1, keepdims=True), 1.0) * tf.cast(tf.shape(drawn)[0], tf.float32)
        )
        targets = targets._replace(box_weights=targets.box_weights * share, class_weights=targets.class_weights * share)

        def decode(codes: tf.Tensor) -> tf.Tensor:
            return settings.assigner.box_coder.decode(codes, predictions.anchors)

        localization, objectness = multibox_loss(
            settings.loss_terms, predictions.box_codes, predictions.class_logits, targets, decode
        )
        return {"Loss/RPNLoss/localization_loss": localization, "Loss/RPNLoss/objectness_loss": objectness}

    def build_weights(self, maps: tuple[tf.Tensor, ...]) -> None:
        """Creates the variables, for maps with the depths of `maps`."""
        self.predictor.run(tuple(map(self.conv, maps)))

    def object_keys(self) -> dict[str, keras.Variable]:
        """Returns the variables, keyed by their path below the detector in an object-based checkpoint."""
        parts = {
            "_first_stage_box_predictor_first_conv": numbered((self.conv,)),
            "_first_stage_box_predictor": self.predictor.object_keys(),
        }
        return {f"{part}/{key}": variable for part, keys in parts.items() for key, variable in keys.items()}

    def _anchors(self, maps: tuple[tf.Tensor, ...], batch: ImageBatch, training: bool) -> tf.Tensor:
        """Returns the anchors, float32 [A, 4], clipped to the padded images.

        In training without `clip_anchors`, float32 [B, A, 4], all zero where they cross the border of the true image.
        """
        anchors = self.settings.anchors(list(map(box_ops.image_shape, maps)), box_ops.image_shape(batch.images))
        if training and not self.settings.clip_anchors:
            windows = box_ops.image_windows(batch.true_shapes)[:, tf.newaxis]
            inside = tf.reduce_all(anchors[:, :2] >= windows[..., :2], axis=-1) & tf.reduce_all(
                anchors[:, 2:] <= windows[..., 2:], axis=-1
            )
            return tf.where(inside[..., tf.newaxis], anchors, 0.0)
        height, width = (tf.cast(side, tf.float32) for side in box_ops.image_shape(batch.images))
        return box_ops.clip(anchors, tf.stack([0.0, 0.0, height, width]))

    def _proposals(self, dense: DensePredictions, true_shapes: tf.Tensor) -> Proposals:
        """Returns the decoded anchors by objectness, after suppression and clipping.

        They are inputs of the second stage: no gradient flows through them.
        """
        boxes = tf.stop_gradient(self.settings.assigner.box_coder.decode(dense.box_codes, dense.anchors))
        scores = tf.stop_gradient(tf.nn.softmax(dense.class_logits))[..., 1:]
        scores = tf.where((box_ops.area(dense.anchors) > 0)[..., tf.newaxis], scores, 0.0)
        kept = self.settings.nms(boxes, scores, box_ops.image_windows(true_shapes))
        return Proposals(kept.boxes, kept.scores, kept.counts)


class CropRegions(keras.layers.Layer):
    """Slot 2 of Fast and Faster R-CNN: every proposal is cropped from the map and goes through the tail of the network.

    Call `run`, not the layer itself, so that its layers stay at the root of a checkpoint
    (`SecondStageFeatureExtractor`, `SecondStageBoxPredictor`).

    Args:
        crop: `ops.roi.OneMap` or `ops.roi.MultilevelCrop`.
        tail: crops -> features.
        head: features -> codes and logits.
        chunk: regions per image that are computed at a time outside training, to limit memory.
    """

    def __init__(
        self, *, crop: CropOp, tail: keras.layers.Layer, head: RegionHead, chunk: int = REGIONS_AT_A_TIME
    ) -> None:
        super().__init__(name="CropRegions", autocast=False)
        self.crop, self.tail, self.head, self.chunk = crop, tail, head, chunk

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
        cut = self.crop(maps, image_shape)

        def regions(chunk: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            codes, logits = self.head(self.tail(cut(chunk), training=training), training=training)
            return by_image(codes, chunk), by_image(logits, chunk)

        return regions(boxes) if training else in_chunks(regions, boxes, self.head.sides, self.chunk)

    def object_keys(self) -> dict[str, keras.Variable]:
        """Returns the variables, keyed by their path below the detector in an object-based checkpoint."""
        parts = {
            "_feature_extractor_for_box_classifier_features": self.tail.object_keys(),
            "_mask_rcnn_box_predictor": self.head.object_keys(),
        }
        return {f"{part}/{key}": variable for part, keys in parts.items() for key, variable in keys.items()}


def by_image(values: tf.Tensor, boxes: tf.Tensor) -> tf.Tensor:
    """Reshapes values [B * P, ...] to [B, P, ...], with B and P of boxes [B, P, 4]; static where those are."""
    batch, proposals = boxes.shape[0] or -1, boxes.shape[1]
    if proposals is None:
        return tf.reshape(values, tf.concat([tf.shape(boxes)[:2], values.shape[1:]], 0))
    return tf.reshape(values, [batch, proposals, *values.shape[1:]])
