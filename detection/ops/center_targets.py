"""What a detector of points is to predict (Zhou et al. 2019, section 3). All lengths are in cells of the map, boxes of
h x w cells have their centre c in the cell floor(c):

    heat map of class k:  Y(y, x) = max over boxes of class k of exp(-|(y, x) - floor(c)|² / 2σ²),   σ = (2r + 1) / 6
    size: (h, w),  offset: c - floor(c),  both at floor(c) alone

r is the most that the corners of a box may be off, in whole cells, for its IoU with the true one to stay at least o
(Law and Deng 2018, section 3.2): the least of three, for a box that is shifted, one that lies inside the true one and
one around it. Each is the smallest root that is not negative of a quadratic, as the TF Object Detection API solves it:

    shifted: r² - (h + w) r + hw (1 - o) / (1 + o) = 0,        inside: 4 r² - 2 (h + w) r + (1 - o) hw = 0,
    around: 4 o r² + 2 o (h + w) r - (1 - o) hw = 0
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from detection.types import Groundtruth


class CenterTargets(NamedTuple):
    """Of a batch; boxes of weight 0 leave no trace in it."""

    heat_maps: tf.Tensor  # float32 [B, h, w, K], in [0, 1]; 1 where an object's centre is
    cells: tf.Tensor  # int32 [B, M, 2], y and x of the cell of each box
    sizes: tf.Tensor  # float32 [B, M, 2], height and width, cells
    offsets: tf.Tensor  # float32 [B, M, 2], y and x, in [0, 1]
    weights: tf.Tensor  # float32 [B, M], 0 in padding
    count: tf.Tensor  # float32, boxes of the batch that count, at least 1


def assign(groundtruth: Groundtruth, map_shape: tuple, stride: int, num_classes: int, overlap: float) -> CenterTargets:
    """Targets of a map of `map_shape` (height, width) and `stride` pixels; `overlap` is o above, in (0, 1)."""
    boxes = groundtruth.boxes / stride
    sizes, centers = boxes[..., 2:] - boxes[..., :2], (boxes[..., 2:] + boxes[..., :2]) / 2
    # The centre of an empty box may lie on the last edge, behind the last cell.
    last = tf.cast(tf.stack(map_shape), tf.float32) - 1.0
    cells = tf.clip_by_value(tf.floor(centers), 0.0, last)
    sigma = (2.0 * tf.maximum(tf.floor(radius(sizes, overlap)), 0.0) + 1.0) / 6.0
    count = tf.math.count_nonzero(groundtruth.weights, dtype=tf.float32)
    return CenterTargets(
        heat_maps=_heat_maps(cells, sigma, groundtruth, map_shape, num_classes),
        cells=tf.cast(cells, tf.int32),
        sizes=sizes,
        offsets=centers - cells,
        weights=groundtruth.weights,
        count=tf.maximum(count, 1.0),
    )


def radius(sizes: tf.Tensor, overlap: float) -> tf.Tensor:
    """r of boxes of float32 [..., 2] cells: float32 [...]."""
    height, width = tf.unstack(sizes, axis=-1)
    both, area = height + width, height * width
    roots = (
        _least_root(1.0, -both, area * (1.0 - overlap) / (1.0 + overlap)),
        _least_root(4.0, -2.0 * both, (1.0 - overlap) * area),
        _least_root(4.0 * overlap, 2.0 * overlap * both, -(1.0 - overlap) * area),
    )
    return tf.reduce_min(tf.stack(roots), axis=0)


def _least_root(a: float, b: tf.Tensor, c: tf.Tensor) -> tf.Tensor:
    """The smallest x >= 0 with a x² + b x + c = 0, a > 0, of an equation that has one."""
    root = tf.sqrt(tf.maximum(b * b - 4.0 * a * c, 0.0))
    low = (-b - root) / (2.0 * a)
    return tf.where(low < 0.0, (-b + root) / (2.0 * a), low)


def _heat_maps(
    cells: tf.Tensor, sigma: tf.Tensor, groundtruth: Groundtruth, map_shape: tuple, num_classes: int
) -> tf.Tensor:
    """Bells of single boxes, [B * M, h * w], then the largest of each image and class: memory grows with boxes plus
    classes, not with their product."""
    height, width = map_shape
    sigma = sigma[..., tf.newaxis]
    bell_y, bell_x = (
        tf.exp(-((tf.range(side, dtype=tf.float32) - cells[..., axis : axis + 1]) ** 2) / (2.0 * sigma**2))
        for axis, side in enumerate((tf.cast(height, tf.float32), tf.cast(width, tf.float32)))
    )
    bells = bell_y[..., :, tf.newaxis] * bell_x[..., tf.newaxis, :] * groundtruth.weights[..., tf.newaxis, tf.newaxis]
    images, boxes = (groundtruth.classes.shape[axis] or tf.shape(groundtruth.classes)[axis] for axis in range(2))
    rows = tf.range(images)[:, tf.newaxis] * num_classes + groundtruth.classes
    largest = tf.math.unsorted_segment_max(
        tf.reshape(bells, [images * boxes, height * width]), tf.reshape(rows, [-1]), images * num_classes
    )
    maps = tf.reshape(tf.maximum(largest, 0.0), [images, num_classes, height, width])  # a class without boxes: 0
    return tf.transpose(maps, [0, 2, 3, 1])
