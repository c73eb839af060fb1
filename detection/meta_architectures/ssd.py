"""SSD (Liu et al. 2016; survey, section 2.2.1): boxes and classes of every anchor from one forward pass.

The loss is the survey's Equation 1 summed over anchors: for anchor a with groundtruth b_a (or none),

    L(a) = alpha * 1[a is matched] * l_loc(codes_a, encode(b_a, a)) + beta * l_cls(logits_a, class of b_a or background)
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable

import keras
import tensorflow as tf

from detection.feature_extractors.ssd_maps import SsdFeatureExtractor
from detection.heads.dense import DenseHead
from detection.meta_architectures.multibox_loss import LossTerms, multibox_loss
from detection.meta_architectures.penalties import sum_of_penalties
from detection.ops import boxes as box_ops
from detection.ops.scores import PostProcessing
from detection.ops.targets import TargetAssigner
from detection.types import DensePredictions, Detections, Example, Groundtruth, ImageBatch


@dataclasses.dataclass(frozen=True)
class FilledPadding:
    """Fills the padding of scaled images with one value (the reference scales first, then resizes and pads)."""

    value: tuple[float, ...]  # of the first channels of scaled images; of others 0

    def __call__(self, images: tf.Tensor, true_shapes: tf.Tensor) -> tf.Tensor:
        """Fills scaled images float32 [B, H, W, 3] outside their true shapes, int32 [B, 2]."""
        height, width = _shape(images)
        inside_y = tf.range(height) < true_shapes[:, :1]
        inside_x = tf.range(width) < true_shapes[:, 1:]
        inside = inside_y[:, :, tf.newaxis, tf.newaxis] & inside_x[:, tf.newaxis, :, tf.newaxis]
        others = (images.shape[-1] or len(self.value)) - len(self.value)
        return tf.where(inside, images, tf.constant((*self.value, *[0.0] * others)))


class NoPadding:
    """Leaves images alone, for a resizer that never pads."""

    def __call__(self, images: tf.Tensor, true_shapes: tf.Tensor) -> tf.Tensor:
        """Returns the images unchanged."""
        return images


class Ssd(keras.layers.Layer):
    """The SSD detector.

    Call `predict`, `loss` and `postprocess`, never the layer itself: `__call__` would put the layer's name in front of
    the variable names, and checkpoints have them at the root.

    Args:
        num_classes: number of foreground classes K.
        extractor: scaled images -> maps.
        anchors: (map shapes, image shape) -> float32 [A, 4], pixels.
        head: maps -> codes float32 [B, A, code], logits float32 [B, A, K + 1], or K where the assigner has no column
            for the background.
        assigner: anchors and groundtruth -> Targets.
        loss_terms: the terms of Equation 1.
        postprocessing: score conversion and per-class non-maximum suppression.
        normalize_by_matches: whether to divide both losses by the number of matched anchors in the batch, at least 1.
        normalize_by_code_size: whether to divide the localisation loss by the length of a box code.
        padding: how the padding of scaled images is filled.
    """

    takes_proposals = False
    measures_targets = False
    image_channels = 3  # of the images that its weights are made for

    def __init__(
        self,
        *,
        num_classes: int,
        extractor: SsdFeatureExtractor,
        anchors: Callable[[list[tuple], tuple], tf.Tensor],
        head: DenseHead,
        assigner: TargetAssigner,
        loss_terms: LossTerms,
        postprocessing: PostProcessing,
        normalize_by_matches: bool,
        normalize_by_code_size: bool,
        padding: FilledPadding | NoPadding,
    ) -> None:
        super().__init__(name="ssd", autocast=False)
        self.num_classes = num_classes
        self.extractor, self.anchors, self.head = extractor, anchors, head
        self.assigner, self.loss_terms, self.postprocessing = assigner, loss_terms, postprocessing
        self.normalize_by_matches, self.normalize_by_code_size = normalize_by_matches, normalize_by_code_size
        self.padding = padding

    @property
    def anchors_per_cell(self) -> tuple[int, ...]:
        """Number of anchors per cell, for each feature map."""
        return self.anchors.num_per_location

    def predict(
        self, batch: ImageBatch, groundtruth: Groundtruth | None = None, training: bool = False
    ) -> DensePredictions:
        """Predicts box codes and class logits of every anchor.

        Args:
            batch: the images.
            groundtruth: not used; SSD predicts the same with and without it.
            training: whether batch norm and dropout run in training mode.
        """
        images = self.padding(self.extractor.scale(batch.images), batch.true_shapes)
        maps = self.extractor(images, training=training)
        codes, logits = self.head.run(maps, training=training)
        anchors = self.anchors([_shape(features) for features in maps], _shape(images))
        return DensePredictions(codes, logits, anchors, maps, images)

    def loss(self, predictions: DensePredictions, groundtruth: Groundtruth) -> dict[str, tf.Tensor]:
        """Returns the weighted losses (scalars) by TensorBoard tag, without the regularisation loss."""
        targets = self.assigner(predictions.anchors, groundtruth, self.num_classes, _shape(predictions.images))
        decode = functools.partial(self.assigner.box_coder.decode, anchors=predictions.anchors)
        localization, classification = multibox_loss(
            self.loss_terms, predictions.box_codes, predictions.class_logits, targets, decode
        )
        if self.normalize_by_matches:
            matched = tf.maximum(tf.reduce_sum(targets.box_weights), 1.0)
            localization, classification = localization / matched, classification / matched
        if self.normalize_by_code_size:
            localization /= self.assigner.box_coder.code_size
        return {"Loss/localization_loss": localization, "Loss/classification_loss": classification}

    def postprocess(self, predictions: DensePredictions, true_shapes: tf.Tensor) -> Detections:
        """Decodes boxes, applies non-maximum suppression, clips and normalises.

        Args:
            predictions: as returned by `predict`.
            true_shapes: int32 [B, 2], height and width before padding, pixels.
        """
        boxes = self.assigner.box_coder.decode(predictions.box_codes, predictions.anchors)
        scores = self.postprocessing.score_converter(predictions.class_logits)
        foreground = scores[..., 1:] if self.assigner.background_column else scores
        kept, rows = self.postprocessing.nms.with_indices(boxes, foreground, box_ops.image_windows(true_shapes))
        return Detections(
            boxes=box_ops.to_normalised(kept.boxes, true_shapes),
            scores=kept.scores,
            classes=kept.classes,
            counts=kept.counts,
            raw_boxes=box_ops.to_normalised(boxes, true_shapes),
            raw_scores=scores,
            rows=rows,
        )

    def regularization_loss(self) -> tf.Tensor:
        """Returns the sum (scalar) of the regularisation penalties of all kernels."""
        return sum_of_penalties(self)

    def measure_targets(self, examples: Iterable[Example]) -> tf.Tensor:
        """Does nothing, since no target statistics are used. Returns float32 [K], all 0."""
        return tf.zeros([self.num_classes])

    def object_keys(self) -> dict[str, keras.Variable]:
        """Returns the variables by their keys in object-based checkpoints of the TF Object Detection API.

        Empty where its TF2 models have no such detector.
        """
        if not self.extractor.keras_form:
            return {}
        parts = {"_feature_extractor": self.extractor, "_box_predictor": self.head}
        return {
            f"model/{part}/{key}": variable
            for part, layer in parts.items()
            for key, variable in layer.object_keys().items()
        }

    def build_weights(self) -> None:
        """Creates every variable by running one small image; no variable's shape depends on the image size.

        Runs eagerly, because tracing takes four times as long.
        """
        if not self.weights:  # `variables` also has the state of random generators, which exists from the beginning
            self.predict(ImageBatch(tf.zeros([1, 128, 128, self.image_channels]), tf.constant([[128, 128]])))


def _shape(features: tf.Tensor) -> tuple:
    """Returns height and width, as ints where they are static."""
    dynamic = tf.shape(features)
    return tuple(features.shape[axis] or dynamic[axis] for axis in (1, 2))
