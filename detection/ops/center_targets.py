"""Targets of CenterNet (Zhou et al. 2019, section 3).

All lengths are in cells of the map; the centre c of a box of h x w cells is in the cell floor(c):

    heat map of class k:  Y(y, x) = max over boxes of class k of exp(-|(y, x) - floor(c)|² / 2σ²),   σ = (2r + 1) / 6
    size: (h, w),  offset: c - floor(c),  both at floor(c) only

r is the largest error of the corners of a box, in cells, for which its IoU with the true box is at least o (Law and
Deng 2018, section 3.2). It is the minimum of three cases: a box that is shifted, one inside the true box and one around
it. Each is the solution of a quadratic equation a r² + b r + c = 0:

    shifted: a = 1, b = -(h + w), c = hw (1 - o) / (1 + o)          inside: a = 4, b = -2 (h + w), c = (1 - o) hw
    around:  a = 4 o, b = 2 o (h + w), c = -(1 - o) hw

Zhou et al.'s code, and the TF Object Detection API after it, take (-b + sqrt(b² - 4 ac)) / 2, which is no root where a
is not 1, and not the smallest of "shifted". Published CenterNets have learnt from these larger radii, so ours do too.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from detection.types import Groundtruth, is_given

MapShape = tuple[int | tf.Tensor, int | tf.Tensor]  # height, width
_ALMOST = 1.0 - 2.0**-20


class CenterTargets(NamedTuple):
    """Targets of a batch.

    Inside ignored boxes (weight 0, but not padding) the heat maps are slightly less than 1: a target of 1 would be a
    positive, and the loss of a negative vanishes as its target approaches 1.
    """

    heat_maps: tf.Tensor  # float32 [B, h, w, K], in [0, 1]; 1 at the centre of an object
    cells: tf.Tensor  # int32 [B, M, 2], y and x of the cell of each box
    sizes: tf.Tensor  # float32 [B, M, 2], height and width, cells
    offsets: tf.Tensor  # float32 [B, M, 2], y and x, in [0, 1]
    weights: tf.Tensor  # float32 [B, M], 0 in padding
    count: tf.Tensor  # float32 scalar, number of boxes in the batch with a weight other than 0, at least 1


def assign(
    groundtruth: Groundtruth, map_shape: MapShape, stride: int, num_classes: int, overlap: float
) -> CenterTargets:
    """Returns the targets.

    Args:
        groundtruth: the groundtruth boxes.
        map_shape: height and width of the map.
        stride: stride of the map, pixels.
        num_classes: number of foreground classes K.
        overlap: the IoU o of the module docstring, in (0, 1).
    """
    boxes = groundtruth.boxes / stride
    sizes, centers = boxes[..., 2:] - boxes[..., :2], (boxes[..., 2:] + boxes[..., :2]) / 2
    # The centre of an empty box may lie on the last edge, behind the last cell.
    last = tf.cast(tf.stack(map_shape), tf.float32) - 1.0
    cells = tf.clip_by_value(tf.floor(centers), 0.0, last)
    sigma = (2.0 * tf.maximum(tf.floor(radius(sizes, overlap)), 0.0) + 1.0) / 6.0
    count = tf.math.count_nonzero(groundtruth.weights, dtype=tf.float32)
    return CenterTargets(
        heat_maps=_heat_maps(cells, sigma, groundtruth, boxes, map_shape, num_classes),
        cells=tf.cast(cells, tf.int32),
        sizes=sizes,
        offsets=centers - cells,
        weights=groundtruth.weights,
        count=tf.maximum(count, 1.0),
    )


def radius(sizes: tf.Tensor, overlap: float) -> tf.Tensor:
    """Returns the radius r, float32 [...], of boxes of height and width `sizes`, float32 [..., 2], cells."""
    height, width = tf.unstack(sizes, axis=-1)
    both, area = height + width, height * width
    solutions = (
        _solution(1.0, -both, area * (1.0 - overlap) / (1.0 + overlap)),
        _solution(4.0, -2.0 * both, (1.0 - overlap) * area),
        _solution(4.0 * overlap, 2.0 * overlap * both, -(1.0 - overlap) * area),
    )
    return tf.reduce_min(tf.stack(solutions), axis=0)


def _solution(a: float, b: tf.Tensor, c: tf.Tensor) -> tf.Tensor:
    """Returns (-b + sqrt(b² - 4 ac)) / 2 (see the module docstring)."""
    return (-b + tf.sqrt(tf.maximum(b * b - 4.0 * a * c, 0.0))) / 2.0


def _heat_maps(
    cells: tf.Tensor,
    sigma: tf.Tensor,
    groundtruth: Groundtruth,
    boxes: tf.Tensor,
    map_shape: MapShape,
    num_classes: int,
) -> tf.Tensor:
    """Returns the heat maps, float32 [B, h, w, K].

    First the Gaussian of each box is computed, [B * M, h * w], then the maximum for each image and class, so that
    memory grows with the sum of boxes and classes, not with their product.
    """
    height, width = map_shape
    ignored = _ignored(groundtruth)
    sides = [
        _side(side, cells[..., axis], sigma, boxes[..., axis], boxes[..., axis + 2], ignored)
        for axis, side in enumerate(map_shape)
    ]
    weights = tf.where(ignored, _ALMOST, groundtruth.weights)
    bells = sides[0][..., :, tf.newaxis] * sides[1][..., tf.newaxis, :] * weights[..., tf.newaxis, tf.newaxis]
    if is_given(groundtruth.class_sets):  # a box may have several classes
        of_sets = tf.where(ignored[..., tf.newaxis], tf.sign(groundtruth.class_sets), groundtruth.class_sets)
        return _largest(bells, of_sets)
    images, rows = (groundtruth.classes.shape[axis] or tf.shape(groundtruth.classes)[axis] for axis in range(2))
    segments = tf.range(images)[:, tf.newaxis] * num_classes + groundtruth.classes
    largest = tf.math.unsorted_segment_max(
        tf.reshape(bells, [images * rows, height * width]), tf.reshape(segments, [-1]), images * num_classes
    )
    maps = tf.reshape(tf.maximum(largest, 0.0), [images, num_classes, height, width])  # a class without boxes: 0
    return tf.transpose(maps, [0, 2, 3, 1])


def _largest(bells: tf.Tensor, classes: tf.Tensor) -> tf.Tensor:
    """Returns the maximum over boxes of bell times class score, float32 [B, h, w, K].

    Boxes are added one by one, so that memory does not grow with boxes times classes.

    Args:
        bells: float32 [B, M, h, w].
        classes: float32 [B, M, K].
    """

    def add(maps: tf.Tensor, box: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        bell, scores = box
        return tf.maximum(maps, bell[..., tf.newaxis] * scores[:, tf.newaxis, tf.newaxis, :])

    images, height, width = (bells.shape[axis] or tf.shape(bells)[axis] for axis in (0, 2, 3))
    nothing = tf.zeros([images, height, width, classes.shape[2]])
    return tf.foldl(add, (tf.transpose(bells, [1, 0, 2, 3]), tf.transpose(classes, [1, 0, 2])), nothing)


def _side(
    side: int | tf.Tensor, cell: tf.Tensor, sigma: tf.Tensor, low: tf.Tensor, high: tf.Tensor, ignored: tf.Tensor
) -> tf.Tensor:
    """Returns the factor of one axis of every box's Gaussian, float32 [B, M, side].

    The map of a box is the product of both factors. For ignored boxes the factor is 1 inside and 0 outside.
    """
    places = tf.cast(tf.range(side), tf.float32)
    bell = tf.exp(-((places - cell[..., tf.newaxis]) ** 2) / (2.0 * sigma[..., tf.newaxis] ** 2))
    inside = (places >= tf.floor(low)[..., tf.newaxis]) & (places < high[..., tf.newaxis])
    return tf.where(ignored[..., tf.newaxis], tf.cast(inside, tf.float32), bell)


def _ignored(groundtruth: Groundtruth) -> tf.Tensor:
    """Returns which boxes are ignored, those of weight 0 that are not padding, bool [B, M]."""
    rows = tf.range(tf.shape(groundtruth.weights)[1])
    return (groundtruth.weights == 0.0) & (rows < groundtruth.counts[:, tf.newaxis])
