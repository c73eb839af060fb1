"""Crops regions from the maps of a pyramid, each region from the map of its level, with a single crop op.

    k = clip(floor(k0 + log2(sqrt(h w) / 224)), first, last)       (Lin et al. 2017, "Feature Pyramid Networks", Eq. 1)

for a region of h x w pixels. k0 is the second to last level, as in the TF Object Detection API (in the paper 4, of
levels 2 to 5). A region without area belongs to the first level.

The maps are arranged on one canvas: the finest, and to its right the others, each below the previous one, with a border
of zeros at the right and at the bottom of every map. Regions are cropped from their map's part of the canvas, and a
sample that rounding moves just beyond the map's last cell has that cell's value.

    +----------+----+
    |          | P3 |
    |    P2    +--+-+
    |          |P4|
    +----------+--+
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import tensorflow as tf

from detection.ops import boxes as box_ops
from detection.ops.roi_crop import CropAndResize, ImageShape

CANONICAL_SIZE = 224.0  # pixels: the image size of ImageNet pre-training, which is assigned to level k0

# boxes float32 [B, P, 4], pixels of the padded input -> crops float32 [B * P, s, s, c]
CutOut = Callable[[tf.Tensor], tf.Tensor]
RegionOp = Callable[[tf.Tensor, tf.Tensor, ImageShape], tf.Tensor]


@dataclass(frozen=True)
class OneMap:
    """Applies an op of `ops.roi` to the only map of a network."""

    op: RegionOp

    def __call__(self, maps: tuple[tf.Tensor, ...], image_shape: ImageShape) -> CutOut:
        """Returns a function that crops boxes from the map."""
        (features,) = maps
        return lambda boxes: self.op(features, boxes, image_shape)


@dataclass(frozen=True)
class MultilevelCrop:
    """Crops each region from the map of its level, given one or several maps from fine to coarse.

    Boxes are clipped to the image. Static shapes stay static, and the number of ops does not depend on that of regions.
    """

    op: CropAndResize

    def __call__(self, maps: tuple[tf.Tensor, ...], image_shape: ImageShape) -> CutOut:
        """Returns a function that crops boxes from the maps, which are arranged on the canvas here, once."""
        canvas, corners, sizes = _lay_out(maps)
        height, width = (tf.cast(side, tf.float32) for side in box_ops.image_shape(canvas))
        image = tf.stack([tf.cast(side, tf.float32) for side in image_shape])

        def cut(boxes: tf.Tensor) -> tf.Tensor:
            boxes = box_ops.clip(tf.stop_gradient(boxes), tf.concat([tf.zeros_like(image), image], 0))
            number = level_numbers(boxes, len(maps))
            cells = tf.gather(sizes, number) - 1.0  # [B, P, 2], the last row and column of the region's map
            corner = tf.gather(corners, number)
            parts = [boxes[..., :2] / image * cells + corner, boxes[..., 2:] / image * cells + corner]
            return self.op(canvas, tf.concat(parts, -1), (height - 1.0, width - 1.0))

        return cut


def level_numbers(boxes: tf.Tensor, count: int) -> tf.Tensor:
    """Returns the number of the map for each region, int32 [B, P], from 0 for the finest.

    Args:
        boxes: float32 [B, P, 4], pixels.
        count: number of maps.
    """
    side = tf.sqrt(box_ops.area(boxes)) / CANONICAL_SIZE
    number = tf.floor(tf.math.log(tf.maximum(side, 1e-6)) / tf.math.log(2.0)) + float(count - 2)
    return tf.cast(tf.clip_by_value(number, 0.0, float(count - 1)), tf.int32)


def _lay_out(maps: Sequence[tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns the canvas [B, H, W, c], and top left corner and size of each map on it, float32 [L, 2], in cells."""
    sizes = [box_ops.image_shape(features) for features in maps]
    (rows, columns), *others = sizes
    corners, row = [(0, 0)], 0
    for height, _ in others:
        corners.append((row, columns + 1))
        row += height + 1
    canvas = _padded(maps[0], 1, 1)
    if others:
        widest = others[0][1]
        column = [_padded(each, 1, widest - size[1] + 1) for each, size in zip(maps[1:], others, strict=True)]
        below = _most(row - rows - 1, 0)  # rows by which the column exceeds the finest map
        column.append(tf.zeros_like(canvas[:, : rows + 1 + below - row, : widest + 1]))
        canvas = tf.concat([_padded(canvas, below, 0), tf.concat(column, axis=1)], axis=2)
    return canvas, _pairs(corners), _pairs(sizes)


def _most(size: int | tf.Tensor, least: int) -> int | tf.Tensor:
    return max(size, least) if isinstance(size, int) else tf.maximum(size, least)


def _pairs(pairs: Sequence[tuple[int | tf.Tensor, int | tf.Tensor]]) -> tf.Tensor:
    """Returns pairs as float32 [L, 2]."""
    return tf.stack([tf.stack([tf.cast(value, tf.float32) for value in pair]) for pair in pairs])


def _padded(features: tf.Tensor, rows: int | tf.Tensor, columns: int | tf.Tensor) -> tf.Tensor:
    """Pads maps with rows and columns of zeros at the bottom and right."""
    return tf.pad(features, [[0, 0], [0, rows], [0, columns], [0, 0]])
