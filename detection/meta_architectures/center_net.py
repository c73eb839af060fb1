"""CenterNet (Zhou et al. 2019, "Objects as Points"): objects are heat map peaks; boxes are decoded at the peaks.

With N boxes in the batch and Y, s, o the target heat maps, sizes and offsets (`ops.center_targets`),

    L = λ_center / N Σ_cells L_k(Ŷ, Y)  +  λ_size / N Σ_boxes |ŝ - s|  +  λ_off / N Σ_boxes |ô - o|   (Equations 1-4)

averaged over the outputs of the extractor. Padding cells are ignored.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable

import keras
import tensorflow as tf

from detection.errors import ConfigError
from detection.feature_extractors.center_maps import STRIDE, CenterExtractor, HourglassExtractor
from detection.feature_extractors.ssd_maps import pad_to_multiple
from detection.heads.center import CenterHead
from detection.meta_architectures.penalties import sum_of_penalties
from detection.ops import boxes as box_ops
from detection.ops import center_targets, peaks
from detection.ops.nms import MulticlassNms
from detection.types import CenterPredictions, Detections, Example, Groundtruth, ImageBatch, is_given

Loss = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]


@dataclasses.dataclass(frozen=True)
class CenterLosses:
    """The unreduced losses of heat map cells and of boxes, and the weights λ."""

    center: Loss
    box: Loss
    center_weight: float = 1.0
    size_weight: float = 0.1
    offset_weight: float = 1.0
    labelled_only: bool = False  # whether the heat maps of classes without image-level label are left out
    overlap: float = 0.7  # minimum IoU of a box with a shifted centre for which the penalty is reduced


@dataclasses.dataclass(frozen=True)
class PeakSettings:
    """How peaks are converted to detections."""

    window: int = 3  # side of the square of cells in which a peak must be the maximum
    count: int = 100  # detections per image
    nms: MulticlassNms | None = None  # additional non-maximum suppression; None: none


class CenterNet(keras.layers.Layer):
    """The CenterNet detector.

    Call `predict`, `loss` and `postprocess`, never the layer itself: `__call__` would put the layer's name in front of
    the variable names, and checkpoints have them at the root.

    Args:
        num_classes: number of foreground classes K.
        extractor: scaled images -> maps of stride 4.
        heads: the heads for heat maps (K channels), sizes and offsets (2 channels each).
        losses: the loss functions and their weights.
        settings: how peaks are converted to detections.
    """

    takes_proposals = False
    measures_targets = False
    anchors_per_cell: tuple[int, ...] = ()

    def __init__(
        self,
        *,
        num_classes: int,
        extractor: CenterExtractor | HourglassExtractor,
        heads: tuple[CenterHead, CenterHead, CenterHead],
        losses: CenterLosses,
        settings: PeakSettings,
    ) -> None:
        super().__init__(name="center_net", autocast=False)
        self.num_classes, self.extractor, self.heads = num_classes, extractor, heads
        self.terms, self.settings = losses, settings

    def predict(
        self, batch: ImageBatch, groundtruth: Groundtruth | None = None, training: bool = False
    ) -> CenterPredictions:
        """Predicts heat maps, sizes and offsets for every cell.

        Args:
            batch: the images. They are padded at the bottom and right to a multiple of the extractor's stride.
            groundtruth: not used.
            training: whether batch norm and dropout run in training mode.
        """
        images = self.extractor.scale(pad_to_multiple(batch.images, self.extractor.multiple))
        maps = self.extractor(images, training=training)
        centers, sizes, offsets = (head(maps, training=training) for head in self.heads)
        return CenterPredictions(centers, sizes, offsets, batch.true_shapes, maps, images)

    def loss(self, predictions: CenterPredictions, groundtruth: Groundtruth) -> dict[str, tf.Tensor]:
        """Returns the weighted losses (scalars) by TensorBoard tag; CenterNet has no regularisation loss."""
        terms, outputs = self.terms, len(predictions.center_logits)
        map_shape = box_ops.image_shape(predictions.center_logits[0])
        targets = center_targets.assign(groundtruth, map_shape, STRIDE, self.num_classes, terms.overlap)
        weights = _inside(map_shape, -(-predictions.true_shapes // STRIDE))
        of_classes = _labelled(groundtruth) if terms.labelled_only else 1.0
        center = tf.add_n(
            [
                tf.reduce_sum(
                    of_classes * terms.center(_as_rows(logits), _as_rows(targets.heat_maps), _as_rows(weights)[..., 0])
                )
                for logits in predictions.center_logits
            ]
        )
        size = self._at_boxes(predictions.sizes, targets.sizes, targets)
        offset = self._at_boxes(predictions.offsets, targets.offsets, targets)
        divisor = targets.count * outputs
        return {
            "Loss/object_center": terms.center_weight * center / divisor,
            "Loss/box/scale": terms.size_weight * size / divisor,
            "Loss/box/offset": terms.offset_weight * offset / divisor,
        }

    def _at_boxes(
        self, maps: tuple[tf.Tensor, ...], expected: tf.Tensor, targets: center_targets.CenterTargets
    ) -> tf.Tensor:
        """Returns the sum (scalar) of the box losses at the cells of the box centres, over all outputs."""
        found = (tf.gather_nd(features, targets.cells, batch_dims=1) for features in maps)
        return tf.add_n([tf.reduce_sum(self.terms.box(values, expected, targets.weights)) for values in found])

    def postprocess(self, predictions: CenterPredictions, true_shapes: tf.Tensor) -> Detections:
        """Decodes the boxes of the highest peaks, clipped and normalised; the raw boxes are those of all cells.

        Args:
            predictions: as returned by `predict`.
            true_shapes: int32 [B, 2], height and width before padding, pixels.
        """
        logits, settings = predictions.center_logits[-1], self.settings
        # As in the TF Object Detection API, which compares cell indices with sizes in pixels: peaks in the padding are
        # dropped only where the image covers less than a quarter of the padded side, otherwise their boxes are clipped.
        scores = tf.sigmoid(logits) * _inside(box_ops.image_shape(logits), true_shapes)
        found = peaks.find(scores, settings.window, settings.count)
        cells = peaks.boxes(predictions.sizes[-1], predictions.offsets[-1])
        raw_boxes, raw_scores = box_ops.to_normalised(cells * STRIDE, true_shapes), _as_rows(scores)
        boxes = tf.clip_by_value(tf.gather(raw_boxes, found.cells, batch_dims=1), 0.0, 1.0)
        if settings.nms is None:
            counts = tf.math.count_nonzero(found.scores > 0.0, axis=1, dtype=tf.int32)
            return Detections(boxes, found.scores, found.classes, counts, raw_boxes, raw_scores, found.cells)
        own = found.scores[..., tf.newaxis] * tf.one_hot(found.classes, self.num_classes)
        windows = tf.tile([[0.0, 0.0, 1.0, 1.0]], [tf.shape(boxes)[0], 1])
        kept, rows = settings.nms.with_indices(boxes, own, windows)
        return Detections(*kept, raw_boxes, raw_scores, tf.gather(found.cells, rows, batch_dims=1))

    def regularization_loss(self) -> tf.Tensor:
        """Returns the sum (scalar) of the kernel penalties: 0, since no layer has a regulariser."""
        return sum_of_penalties(self)

    def measure_targets(self, examples: Iterable[Example]) -> tf.Tensor:
        """Does nothing, since no target statistics are used. Returns float32 [K], all 0."""
        return tf.zeros([self.num_classes])

    def object_keys(self) -> dict[str, keras.Variable]:
        """Returns the variables by their keys in object-based checkpoints of the TF Object Detection API."""
        extractor = {f"_feature_extractor/{key}": each for key, each in self.extractor.object_keys().items()}
        heads = {key: each for head in self.heads for key, each in head.object_keys().items()}
        return {f"model/{key}": each for key, each in (extractor | heads).items()}

    def build_weights(self) -> None:
        """Creates every variable by running one small image; no variable's shape depends on the image size.

        Runs eagerly, because tracing takes four times as long.

        Raises:
            ConfigError: the extractor, one of another package, has maps of another stride than 4.
        """
        if self.weights:
            return
        predictions = self.predict(ImageBatch(tf.zeros([1, 128, 128, 3]), tf.constant([[128, 128]])))
        sides = sorted({tuple(features.shape[1:3]) for features in predictions.feature_maps})
        height, width = predictions.images.shape[1:3]
        if sides != [(height // STRIDE, width // STRIDE)]:
            cells = ", ".join(f"{y} x {x}" for y, x in sides)
            raise ConfigError(
                f"feature_extractor.type: the extractor makes {cells} cells of {height} x {width} pixels; CenterNet"
                f" takes maps of stride {STRIDE}"
            )


def _inside(map_shape: tuple, shapes: tf.Tensor) -> tf.Tensor:
    """Returns a mask, float32 [B, h, w, 1]: 1 inside the heights and widths `shapes`, int32 [B, 2]."""
    y, x = (tf.range(side) < shapes[:, axis : axis + 1] for axis, side in enumerate(map_shape))
    return tf.cast(y[:, :, tf.newaxis] & x[:, tf.newaxis, :], tf.float32)[..., tf.newaxis]


def _labelled(groundtruth: Groundtruth) -> tf.Tensor | float:
    """Returns float32 [B, 1, K], 1 for the classes of the image-level labels.

    All are 1 if an image has no labels, as in the TF Object Detection API, or if labels are not read.
    """
    if not is_given(groundtruth.checked):
        return 1.0
    known = groundtruth.checked | ~tf.reduce_any(groundtruth.checked, axis=1, keepdims=True)
    return tf.cast(known, tf.float32)[:, tf.newaxis]


def _as_rows(x: tf.Tensor) -> tf.Tensor:
    """float32 [B, h, w, c] -> [B, h * w, c]."""
    height, width = box_ops.image_shape(x)
    return tf.reshape(x, [tf.shape(x)[0], height * width, x.shape[-1]])
