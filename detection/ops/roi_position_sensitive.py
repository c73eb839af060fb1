"""Position-sensitive pooling of R-FCN (Dai et al. 2016; survey, section 2.2.3): each part of a region has its own maps.

    maps [h, w, n d], n = bins_h bins_w; bin k = (i, j) in row-major order owns the channels k d to (k + 1) d
    out[d] = 1 / n  sum over k of the mean of its channels over part (i, j) of the box, which is cut into bins_h x
        bins_w equal parts

There are two ways to take that mean: of bilinear samples, as the TF Object Detection API does, or of the cells the part
covers, as the paper does. The order of channels is that of the former; the authors' Caffe layer has d outside and k
inside.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import tensorflow as tf

from detection.ops.roi_crop import ImageShape, crop
from detection.ops.roi_rounding import rounded


@dataclass(frozen=True)
class PositionSensitiveCrop:
    """Mean of crop_size samples over a box, spread evenly over bins (height, width).

    Each part is cropped by `roi_crop.crop` to crop_size / bins samples. This is linear in the maps, but merging samples
    or writing it as matrix products is slower than one crop per bin.
    """

    bins: tuple[int, int]
    crop_size: tuple[int, int]

    def __post_init__(self) -> None:
        if min(self.bins) < 1 or any(
            side < 1 or side % parts for side, parts in zip(self.crop_size, self.bins, strict=True)
        ):
            raise ValueError(f"{self}: bins must be at least 1, and crop_size a multiple of them")

    def __call__(self, maps: tf.Tensor, boxes: tf.Tensor, image_shape: ImageShape) -> tf.Tensor:
        """Means float32 [B * P, d].

        Args:
            maps: float32 [B, h, w, bins * bins * d].
            boxes: float32 [B, P, 4], pixels of the padded input.
            image_shape: height and width of the padded input, pixels, numbers or scalars.

        Raises:
            ValueError: if the number of channels is not a multiple of the number of bins.
        """
        size = (self.crop_size[0] // self.bins[0], self.crop_size[1] // self.bins[1])
        boxes = tf.stop_gradient(boxes)
        parts = zip(_channels(maps, self.bins), _parts(boxes, self.bins), strict=True)
        means = [tf.reduce_mean(crop(channels, part, image_shape, size), axis=[1, 2]) for channels, part in parts]
        return tf.add_n(means) / len(means)


@dataclass(frozen=True)
class PositionSensitiveAveragePool:
    """Mean over whole cells (R-FCN, equation 1 and the vote after it).

    Part i of n covers the cells floor(a + i s / n) to ceil(a + (i + 1) s / n), the last excluded; a and s are the first
    edge and the side of the box, rounded to pixels (halves away from zero, at least one pixel) and divided by the
    stride. Cells outside the map are left out, and a part without cells gives 0. Like the authors' Caffe layer, except
    that their boxes name the last pixel inside, to which they add 1, and ours the edge after it.
    """

    bins: tuple[int, int]
    stride: int

    def __post_init__(self) -> None:
        if min(*self.bins, self.stride) < 1:
            raise ValueError(f"{self}: bins and stride must be at least 1")

    def __call__(self, maps: tf.Tensor, boxes: tf.Tensor, image_shape: ImageShape) -> tf.Tensor:
        """Means float32 [B * P, d]; a box that is not finite gives 0.

        Arguments and errors as in PositionSensitiveCrop; image_shape is not used. Each mean is a product with weights
        [P, h w], so that its gradient is one matrix product too.
        """
        height, width = (maps.shape[axis] or tf.shape(maps)[axis] for axis in (1, 2))
        ymin, xmin, ymax, xmax = tf.unstack(rounded(tf.stop_gradient(boxes)), axis=-1)
        rows, columns = self._weights(ymin, ymax, self.bins[0], height), self._weights(xmin, xmax, self.bins[1], width)
        pairs = [(row, column) for row in rows for column in columns]
        sums = []
        for channels, (row, column) in zip(_channels(maps, self.bins), pairs, strict=True):
            cells = [tf.shape(maps)[0], height * width]
            weights = tf.reshape(row[:, :, :, tf.newaxis] * column[:, :, tf.newaxis, :], [cells[0], -1, cells[1]])
            sums.append(tf.matmul(weights, tf.reshape(channels, [*cells, channels.shape[-1]])))
        pooled = tf.add_n(sums) / len(sums)
        return tf.reshape(pooled, [_product(boxes.shape[:2]), maps.shape[-1] // len(pairs)])

    def _weights(self, low: tf.Tensor, high: tf.Tensor, parts: int, side: int | tf.Tensor) -> list[tf.Tensor]:
        """Weights float32 [B, P, side] of each part: 1 / number of its cells in those cells, otherwise 0.

        low and high are int32 [B, P]. Computed in integers: floor and ceiling of rounded quotients would sometimes
        include one more cell.
        """
        start, step, unit = low * parts, tf.maximum(high - low, 1), parts * self.stride
        cells = tf.range(side)
        weights = []
        for part in range(parts):
            first, last = (start + part * step) // unit, -(-(start + (part + 1) * step) // unit)
            inside = tf.cast((cells >= first[..., tf.newaxis]) & (cells < last[..., tf.newaxis]), tf.float32)
            weights.append(tf.math.divide_no_nan(inside, tf.reduce_sum(inside, axis=-1, keepdims=True)))
        return weights


def _channels(maps: tf.Tensor, bins: tuple[int, int]) -> list[tf.Tensor]:
    """The channels of each bin, float32 [B, h, w, d]."""
    count = bins[0] * bins[1]
    if maps.shape[-1] % count:
        raise ValueError(f"maps with {maps.shape[-1]} channels cannot be divided among {bins[0]} x {bins[1]} bins")
    return tf.split(maps, count, axis=-1)


def _parts(boxes: tf.Tensor, bins: tuple[int, int]) -> Iterator[tf.Tensor]:
    """Boxes [B, P, 4] of every bin.

    The outer edges are exactly those of the box: one bit beyond the border of the image, a crop would contain zeros.
    """
    low, high = boxes[..., :2], boxes[..., 2:]

    def edges(i: int, j: int) -> tf.Tensor:
        share = tf.constant([i / bins[0], j / bins[1]])
        return low * (1.0 - share) + high * share

    for i in range(bins[0]):
        for j in range(bins[1]):
            yield tf.concat([edges(i, j), edges(i + 1, j + 1)], axis=-1)


def _product(sides: tf.TensorShape) -> int:
    return -1 if None in sides.as_list() else sides.num_elements()
