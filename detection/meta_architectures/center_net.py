"""CenterNet (Zhou et al. 2019, "Objects as Points"): objects are peaks of a heat map, boxes are read off at the peaks.

With N boxes in the batch and Y, s, o the heat maps, sizes and offsets that are to be predicted (`ops.center_targets`),

    L = λ_center / N Σ_cells L_k(Ŷ, Y)  +  λ_size / N Σ_boxes |ŝ - s|  +  λ_off / N Σ_boxes |ô - o|   (Equations 1-4)

averaged over the outputs of the extractor. Cells of the padding do not count.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable

import keras
import tensorflow as tf

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
    """The losses of cells and of boxes, unreduced, and the weights λ."""

    center: Loss
    box: Loss
    center_weight: float = 1.0
    size_weight: float = 0.1
    offset_weight: float = 1.0
    labelled_only: bool = False  # heat maps are learnt of the classes only that the labels of an image speak of
    overlap: float = 0.7  # IoU that a box whose centre is off may still have to be punished less


@dataclasses.dataclass(frozen=True)
class PeakSettings:
    """How peaks become detections."""

    window: int = 3  # side of the cells among which a peak is the largest
    count: int = 100  # detections of an image
    nms: MulticlassNms | None = None  # what suppresses among them besides


class CenterNet(keras.layers.Layer):
    """A detector called by its verbs, never by `__call__`: so its parts' variables stand at the root, as checkpoints
    have them.

    Args:
        num_classes: foreground classes K.
        extractor: scaled images -> maps of stride 4.
        heads: of heat maps (K channels), sizes and offsets (2 each).
        losses: what is learnt.
        settings: how boxes are read off.
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
        """Heat maps, sizes and offsets of every cell. `groundtruth` is not looked at. Images are padded until the
        network can halve them as often as it does."""
        images = self.extractor.scale(pad_to_multiple(batch.images, self.extractor.multiple))
        maps = self.extractor(images, training=training)
        centers, sizes, offsets = (head(maps, training=training) for head in self.heads)
        return CenterPredictions(centers, sizes, offsets, batch.true_shapes, maps, images)

    def loss(self, predictions: CenterPredictions, groundtruth: Groundtruth) -> dict[str, tf.Tensor]:
        """Weighted losses by TensorBoard tag, scalars; there is no regularisation."""
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
        """Sum of the losses of all outputs at the cells of the boxes, scalar."""
        found = (tf.gather_nd(features, targets.cells, batch_dims=1) for features in maps)
        return tf.add_n([tf.reduce_sum(self.terms.box(values, expected, targets.weights)) for values in found])

    def postprocess(self, predictions: CenterPredictions, true_shapes: tf.Tensor) -> Detections:
        """Boxes of the best peaks, clipped and normalised; the raw ones are those of all cells. true_shapes int32 [B,
        2]."""
        logits, settings = predictions.center_logits[-1], self.settings
        # As in the TF Object Detection API, which compares cells with pixels: peaks of the padding are left out only
        # where the image is less than a quarter of it, otherwise clipped.
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
        """Sum of the penalties of all kernels, scalar: 0, no layer has one."""
        return sum_of_penalties(self)

    def measure_targets(self, examples: Iterable[Example]) -> tf.Tensor:
        """Nothing is measured: float32 [K], all 0."""
        return tf.zeros([self.num_classes])

    def object_keys(self) -> dict[str, keras.Variable]:
        """The variables by the keys that object-based checkpoints of the TF Object Detection API have for them."""
        extractor = {f"_feature_extractor/{key}": each for key, each in self.extractor.object_keys().items()}
        heads = {key: each for head in self.heads for key, each in head.object_keys().items()}
        return {f"model/{key}": each for key, each in (extractor | heads).items()}

    def build_weights(self) -> None:
        """Creates every variable by running one small image, whose size no variable depends on. Eagerly: tracing takes
        four times as long."""
        if not self.weights:
            self.predict(ImageBatch(tf.zeros([1, 128, 128, 3]), tf.constant([[128, 128]])))


def _inside(map_shape: tuple, shapes: tf.Tensor) -> tf.Tensor:
    """float32 [B, h, w, 1]: 1 in the first rows and columns of a map, so many as `shapes` int32 [B, 2] say."""
    y, x = (tf.range(side) < shapes[:, axis : axis + 1] for axis, side in enumerate(map_shape))
    return tf.cast(y[:, :, tf.newaxis] & x[:, tf.newaxis, :], tf.float32)[..., tf.newaxis]


def _labelled(groundtruth: Groundtruth) -> tf.Tensor | float:
    """float32 [B, 1, K]: 1 for the classes that the labels of each image speak of; all of them where there are none,
    as in the TF Object Detection API, and where labels are not read."""
    if not is_given(groundtruth.checked):
        return 1.0
    known = groundtruth.checked | ~tf.reduce_any(groundtruth.checked, axis=1, keepdims=True)
    return tf.cast(known, tf.float32)[:, tf.newaxis]


def _as_rows(x: tf.Tensor) -> tf.Tensor:
    """float32 [B, h, w, c] -> [B, h * w, c]."""
    height, width = box_ops.image_shape(x)
    return tf.reshape(x, [tf.shape(x)[0], height * width, x.shape[-1]])
