"""Boxes `[ymin, xmin, ymax, xmax]`: areas, pairwise similarities, clipping, and conversion to and from fractions.

    intersection = max(0, min(ymax) - max(ymin)) * max(0, min(xmax) - max(xmin))
    iou = intersection / (area1 + area2 - intersection)        ioa = intersection / area2

Pairwise functions take boxes1 [..., M, 4] and boxes2 [..., A, 4], whose leading dimensions broadcast, and give [..., M,
A]. A similarity is any such function; boxes without area (padding) have similarity 0 to everything under the
functions based on overlap.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

Similarity = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def area(boxes: tf.Tensor) -> tf.Tensor:
    """Areas [...] of boxes [..., 4]; 0 for empty and for inverted boxes."""
    ymin, xmin, ymax, xmax = tf.unstack(boxes, axis=-1)
    return tf.maximum(ymax - ymin, 0.0) * tf.maximum(xmax - xmin, 0.0)


def intersection(boxes1: tf.Tensor, boxes2: tf.Tensor) -> tf.Tensor:
    """Pairwise intersection areas, [..., M, A]."""
    ymin1, xmin1, ymax1, xmax1 = tf.unstack(boxes1[..., :, tf.newaxis, :], axis=-1)
    ymin2, xmin2, ymax2, xmax2 = tf.unstack(boxes2[..., tf.newaxis, :, :], axis=-1)
    height = tf.maximum(tf.minimum(ymax1, ymax2) - tf.maximum(ymin1, ymin2), 0.0)
    width = tf.maximum(tf.minimum(xmax1, xmax2) - tf.maximum(xmin1, xmin2), 0.0)
    return height * width


def iou(boxes1: tf.Tensor, boxes2: tf.Tensor) -> tf.Tensor:
    """Pairwise intersection over union, [..., M, A]; 0 where nothing intersects, also between two empty boxes."""
    shared = intersection(boxes1, boxes2)
    union = area(boxes1)[..., :, tf.newaxis] + area(boxes2)[..., tf.newaxis, :] - shared
    return tf.math.divide_no_nan(shared, union)


def ioa(boxes1: tf.Tensor, boxes2: tf.Tensor) -> tf.Tensor:
    """Pairwise intersection over the area of boxes2, [..., M, A]; 0 where a box of boxes2 is empty."""
    return tf.math.divide_no_nan(intersection(boxes1, boxes2), area(boxes2)[..., tf.newaxis, :])


def neg_sq_dist(boxes1: tf.Tensor, boxes2: tf.Tensor) -> tf.Tensor:
    """Pairwise negative squared distance of the four corner coordinates, [..., M, A], at most 0, pixels².

    Differences are squared one coordinate at a time: the expansion a² - 2ab + b² would cancel at pixel magnitudes.
    """
    rows = tf.unstack(boxes1[..., :, tf.newaxis, :], axis=-1)
    columns = tf.unstack(boxes2[..., tf.newaxis, :, :], axis=-1)
    return -tf.add_n([tf.math.squared_difference(a, b) for a, b in zip(rows, columns, strict=True)])


@dataclass(frozen=True)
class ThresholdedIou:
    """1 where the IoU exceeds the threshold, otherwise 0."""

    threshold: float = 0.5

    def __call__(self, boxes1: tf.Tensor, boxes2: tf.Tensor) -> tf.Tensor:
        """[..., M, A], zeros and ones."""
        overlap = iou(boxes1, boxes2)
        return tf.cast(overlap > self.threshold, overlap.dtype)


@dataclass(frozen=True)
class CentreInside:
    """`similarity` where the centre of the box lies in the anchor, otherwise -inf, which no matcher matches.

    The top and left sides of an anchor belong to it and the others do not, so that every point of a grid of cells lies
    in exactly one of them.
    """

    similarity: Similarity

    def __call__(self, boxes1: tf.Tensor, boxes2: tf.Tensor) -> tf.Tensor:
        """[..., M, A]; -inf where the centre of a box of boxes1 is outside the box of boxes2."""
        centres = ((boxes1[..., :2] + boxes1[..., 2:]) / 2.0)[..., :, tf.newaxis, :]
        low, high = boxes2[..., tf.newaxis, :, :2], boxes2[..., tf.newaxis, :, 2:]
        inside = tf.reduce_all((centres >= low) & (centres < high), axis=-1)
        return tf.where(inside, self.similarity(boxes1, boxes2), -float("inf"))


@dataclass(frozen=True)
class OfAreas:
    """`similarity`, but -inf for boxes of boxes2 without area, which no matcher matches.

    Two-stage detectors set padding, and anchors that are not used, to zeros. Overlap gives these a similarity of 0, but
    by distance they can be the nearest to a box in the corner of the image.
    """

    similarity: Similarity

    def __call__(self, boxes1: tf.Tensor, boxes2: tf.Tensor) -> tf.Tensor:
        """[..., M, A]."""
        empty = (area(boxes2) <= 0.0)[..., tf.newaxis, :]
        return tf.where(empty, -float("inf"), self.similarity(boxes1, boxes2))


def clip(boxes: tf.Tensor, windows: tf.Tensor) -> tf.Tensor:
    """Boxes [..., N, 4] clipped to their windows [..., 4]; a box outside becomes empty (zero height or width)."""
    ymin, xmin, ymax, xmax = tf.unstack(boxes, axis=-1)
    top, left, bottom, right = tf.unstack(windows[..., tf.newaxis, :], axis=-1)
    return tf.stack(
        [
            tf.clip_by_value(ymin, top, bottom),
            tf.clip_by_value(xmin, left, right),
            tf.clip_by_value(ymax, top, bottom),
            tf.clip_by_value(xmax, left, right),
        ],
        axis=-1,
    )


def to_pixels(boxes: tf.Tensor, true_shapes: tf.Tensor) -> tf.Tensor:
    """Converts boxes [B, N, 4] from fractions of the true images to pixels.

    Args:
        boxes: float [B, N, 4], fractions.
        true_shapes: int32 [B, 2], heights and widths before padding.
    """
    return boxes * _extent(true_shapes, boxes.dtype)


def to_normalised(boxes: tf.Tensor, true_shapes: tf.Tensor) -> tf.Tensor:
    """Converts boxes [B, N, 4] from pixels to fractions of the true images of true_shapes int32 [B, 2]."""
    return boxes / _extent(true_shapes, boxes.dtype)


def image_windows(true_shapes: tf.Tensor) -> tf.Tensor:
    """Windows float32 [B, 4] in pixels that cover the true images of true_shapes int32 [B, 2]."""
    sides = tf.cast(true_shapes, tf.float32)
    return tf.concat([tf.zeros_like(sides), sides], axis=-1)


def image_shape(images: tf.Tensor) -> tuple[int | tf.Tensor, int | tf.Tensor]:
    """(H, W) of images or maps [B, H, W, c], as numbers where they are static."""
    dynamic = tf.shape(images)
    height, width = (images.shape[axis] or dynamic[axis] for axis in (1, 2))
    return height, width


def _extent(true_shapes: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    sides = tf.cast(true_shapes, dtype)
    return tf.concat([sides, sides], axis=-1)[..., tf.newaxis, :]
