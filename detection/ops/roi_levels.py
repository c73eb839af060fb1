"""Crops of regions from several maps of a pyramid, each region from the map of its level, as one crop of all regions.

    k = clip(floor(k0 + log2(sqrt(h w) / 224)), first, last)                 (Lin et al. 2017, "Feature Pyramid Networks",
                                                                              Equation 1)

for a region of h x w pixels. k0 is the level below the last, as in the TF Object Detection API (the paper has 4, the
last but one of its levels 2 to 5). A region without area belongs to the first.

The maps lie on one sheet: the finest, and to its right the others, each below the one before it, with a border of zeros
at the right and at the bottom of every map. A region cut from the sheet is cut from its map, and a sample that
rounding puts just beyond the map's last cell has that cell's value.

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

CANONICAL_SIZE = 224.0  # pixels: side of the images of ImageNet, whose objects are seen on one map of the network

# boxes float32 [B, P, 4], pixels of the padded input -> crops float32 [B * P, s, s, c]
CutOut = Callable[[tf.Tensor], tf.Tensor]
RegionOp = Callable[[tf.Tensor, tf.Tensor, ImageShape], tf.Tensor]


@dataclass(frozen=True)
class OneMap:
    """Regions of the one map there is, by an op of `ops.roi`."""

    op: RegionOp

    def __call__(self, maps: tuple[tf.Tensor, ...], image_shape: ImageShape) -> CutOut:
        """What cuts regions out of the map."""
        (features,) = maps
        return lambda boxes: self.op(features, boxes, image_shape)


@dataclass(frozen=True)
class Sheet:
    """Regions of one or several maps, from fine to coarse, each from that of its level; boxes are cut to the image."""

    op: CropAndResize

    def __call__(self, maps: tuple[tf.Tensor, ...], image_shape: ImageShape) -> CutOut:
        """What cuts regions out of the maps, which are laid out here, once."""
        sheet, corners, sizes = _lay_out(maps)
        height, width = (tf.cast(side, tf.float32) for side in box_ops.image_shape(sheet))
        image = tf.stack([tf.cast(side, tf.float32) for side in image_shape])

        def cut(boxes: tf.Tensor) -> tf.Tensor:
            boxes = box_ops.clip(tf.stop_gradient(boxes), tf.concat([tf.zeros_like(image), image], 0))
            number = level_numbers(boxes, len(maps))
            cells = tf.gather(sizes, number) - 1.0  # [B, P, 2], the last row and column of the region's map
            corner = tf.gather(corners, number)
            parts = [boxes[..., :2] / image * cells + corner, boxes[..., 2:] / image * cells + corner]
            return self.op(sheet, tf.concat(parts, -1), (height - 1.0, width - 1.0))

        return cut


def level_numbers(boxes: tf.Tensor, count: int) -> tf.Tensor:
    """int32 [B, P]: which of `count` maps, from 0 for the finest, each region of boxes float32 [B, P, 4], pixels, is cut
    from."""
    side = tf.sqrt(box_ops.area(boxes)) / CANONICAL_SIZE
    number = tf.floor(tf.math.log(tf.maximum(side, 1e-6)) / tf.math.log(2.0)) + float(count - 2)
    return tf.cast(tf.clip_by_value(number, 0.0, float(count - 1)), tf.int32)


def _lay_out(maps: Sequence[tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """(sheet float32 [B, H, W, c], corner of each map on it float32 [L, 2], size of each float32 [L, 2]), cells."""
    shapes = [box_ops.image_shape(features) for features in maps]
    corners: list[tuple] = [(0, 0)]
    top = 0
    for height, _ in shapes[1:]:
        corners.append((top, shapes[0][1] + 1))
        top = top + height + 1
    finest = _padded(maps[0], 1, 1)
    sheet = finest
    if len(maps) > 1:
        column = tf.concat([_padded(each, 1, shapes[1][1] - w + 1) for each, (_, w) in zip(maps[1:], shapes[1:])], 1)
        rows, of_column = box_ops.image_shape(finest)[0], box_ops.image_shape(column)[0]
        most = max(rows, of_column) if isinstance(rows, int) and isinstance(of_column, int) else tf.maximum(rows, of_column)
        sheet = tf.concat([_padded(finest, most - rows, 0), _padded(column, most - of_column, 0)], 2)
    return sheet, *(tf.stack([tf.cast(tf.stack(pair), tf.float32) for pair in pairs]) for pairs in (corners, shapes))


def _padded(features: tf.Tensor, rows: int | tf.Tensor, columns: int | tf.Tensor) -> tf.Tensor:
    """With rows and columns of zeros behind the last ones."""
    return tf.pad(features, [[0, 0], [0, rows], [0, columns], [0, 0]])
