"""RoI max pooling (Girshick 2015, section 2.1) with the exact gradient (Eq. 4).

    RoI on the map    rows a = round(ymin / stride) to round(ymax / stride), both included: s rows, at least one;
                      columns alike
    bin i of n        rows a + floor(i s / n) to a + ceil((i + 1) s / n), the last excluded, cut to the map
    y[r, i, j]        largest x in bin (i, j); 0 where no cell of the map is in it
    dL/dx[k]          sum of dL/dy[r, i, j] over the outputs whose maximum is x[k], the first in row-major order of
                      equal ones

Equal bit for bit to Caffe's RoIPooling layer and torchvision.ops.roi_pool: halves are rounded away from zero, and s / n
is a float32.

Algorithm. Level (p, q) holds at each cell the maximum of the 2^p rows and 2^q columns that begin there. A bin of any
size is covered by four such windows, one in each of its corners: four rows of c numbers and three maxima. Levels are
built by doubling: each is the maximum of the level before and of the same shifted by half a window. With the map laid
out as [h w, c] that shift is a slice of the first axis, which copies nothing; windows that cross the end of a row are
built too, but no bin uses them. Levels that no bin needs stay empty.

The gradient does the same with 64-bit keys in place of numbers: the upper half decreases as the number increases, the
lower half is its position, so the smallest key belongs to the first of the largest numbers. Nothing is kept between
forward and backward.

Memory, in units of one image's map: forward 12 for bins of up to 7 x 15 cells, backward 24, and one more for each
thread of a CPU; in addition 4 times (backward 8) the outputs of `chunk` RoIs, and all outputs once more if there are
more RoIs than that. benchmarks/roi.py measures it. It does not compile under XLA, which would have to know how many
bins need which level.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import tensorflow as tf

from detection.ops.roi_crop import ImageShape
from detection.ops.roi_rounding import rounded

_LEVELS = 16  # Bins of up to 2^16 - 1 cells a side.


@dataclass(frozen=True)
class RoiMaxPool:
    """Max pooling of each RoI to size x size bins, `chunk` RoIs at a time.

    The maps have one cell every `stride` pixels.
    """

    size: int
    stride: int
    chunk: int = 128

    def __post_init__(self) -> None:
        if min(self.size, self.stride, self.chunk) < 1:
            raise ValueError(f"{self}: size, stride and chunk must be at least 1")

    def __call__(self, features: tf.Tensor, boxes: tf.Tensor, image_shape: ImageShape | None = None) -> tf.Tensor:
        """Pooled bins float32 [B * P, size, size, c], image by image.

        The gradient flows to the features, not to the boxes.

        Args:
            features: float32 [B, h, w, c], c static.
            boxes: float32 [B, P, 4], pixels of the padded input. One that is not finite gives zeros; all zeros
                (padding) are the first cell.
            image_shape: not used; other region ops need it.
        """
        boxes = tf.stop_gradient(boxes)

        @tf.custom_gradient
        def pool(maps: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
            return self._forward(maps, boxes), lambda upstream: self._backward(maps, boxes, upstream)

        pooled = pool(features)
        batch, count = boxes.shape[:2]
        rois = batch * count if batch is not None and count is not None else -1
        return tf.reshape(pooled, [rois, self.size, self.size, features.shape[-1]])

    def _forward(self, maps: tf.Tensor, boxes: tf.Tensor) -> tf.Tensor:
        """Pooled bins float32 [B * P * size * size, c]."""

        def image(number: int | tf.Tensor) -> tf.Tensor:
            flat = tf.reshape(maps[number], [-1, maps.shape[-1]])
            return self._pool(
                flat, self._plan(boxes[number], maps), _Reduction(tf.maximum, tf.identity, tf.constant(0.0))
            )

        rows = None if boxes.shape[1] is None else boxes.shape[1] * self.size**2
        return _map_sequentially(image, _side(maps, 0), tf.TensorSpec([rows, maps.shape[-1]]))

    def _backward(self, maps: tf.Tensor, boxes: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
        """Gradient float32 [B, h, w, c] for upstream float32 [B * P * size * size, c]."""
        size = tf.size(maps[0])
        by_image = tf.reshape(upstream, [_side(maps, 0), -1])

        def image(number: int | tf.Tensor) -> tf.Tensor:
            # The cast keeps the lower half of a key: the position.
            reduction = _Reduction(tf.minimum, lambda keys: tf.cast(keys, tf.int32), size)
            winners = self._pool(_keys(maps[number]), self._plan(boxes[number], maps), reduction)
            return _sums(tf.reshape(winners, [-1]), by_image[number], size)[tf.newaxis]

        gradient = _map_sequentially(image, _side(maps, 0), tf.TensorSpec([1, maps.shape[1:].num_elements()]))
        return tf.reshape(gradient, tf.shape(maps))

    def _plan(self, boxes: tf.Tensor, maps: tf.Tensor) -> _Plan:
        """Where the windows of the bins of boxes [P, 4] begin."""
        ymin, xmin, ymax, xmax = tf.unstack(rounded(boxes, self.stride), axis=-1)
        height, width = _side(maps, 1), _side(maps, 2)
        rows, columns = self._bins(ymin, ymax, height), self._bins(xmin, xmax, width)
        cells = height * width
        # Where each level of columns begins when all levels are concatenated: level q has 2^q - 1 windows fewer than
        # there are cells.
        level_starts = columns.level * (cells + 1) - tf.bitwise.left_shift(1, columns.level) + 1
        corners = [
            row[:, :, tf.newaxis] * width + (column + level_starts)[:, tf.newaxis, :]
            for row in (rows.first, rows.last)
            for column in (columns.first, columns.last)
        ]
        empty = rows.empty[:, :, tf.newaxis] | columns.empty[:, tf.newaxis, :]
        level = tf.where(empty, _levels(height), rows.level[:, :, tf.newaxis])
        return _Plan(
            tf.reshape(tf.stack(corners, axis=-1), [-1, 4]),
            tf.reshape(level, [-1]),
            rows.longest,
            columns.longest,
            height,
            width,
        )

    def _bins(self, low: tf.Tensor, high: tf.Tensor, side: int | tf.Tensor) -> _Bins:
        """The bins of RoIs with first and last cells low, high int32 [P]."""
        # Multiplying by the reciprocal in float64 rounds to the same float32 as the quotient s / n. TensorFlow's graph
        # optimiser would turn a float32 division into a float32 product, which is sometimes one bit too large, so that
        # a bin would reach into the next cell.
        step = tf.cast(tf.cast(tf.maximum(high - low + 1, 1), tf.float64) * (1.0 / self.size), tf.float32)[
            :, tf.newaxis
        ]
        number = tf.range(self.size, dtype=tf.float32)
        start = tf.clip_by_value(low[:, tf.newaxis] + tf.cast(tf.floor(number * step), tf.int32), 0, side)
        end = tf.clip_by_value(low[:, tf.newaxis] + tf.cast(tf.math.ceil((number + 1.0) * step), tf.int32), 0, side)
        length = end - start
        doublings = tf.constant([2**level for level in range(1, _levels(side))], tf.int32)
        level = tf.reduce_sum(tf.cast(length[..., tf.newaxis] >= doublings, tf.int32), axis=-1)
        return _Bins(
            level,
            start,
            end - tf.bitwise.left_shift(1, level),
            length <= 0,
            tf.reduce_max(tf.pad(tf.reshape(length, [-1]), [[1, 0]])),
        )

    def _pool(self, values: tf.Tensor, plan: _Plan, reduction: _Reduction) -> tf.Tensor:
        """The maximum (or smallest key) of every bin, [P * size * size, c], for values [h w, c]."""
        by_columns = tf.concat(_doubled(values, 1, plan.longest_row, _levels(plan.width), reduction.best), axis=0)
        windows = _doubled(by_columns, plan.width, plan.longest_column, _levels(plan.height), reduction.best)
        bins, max_bins = _side(plan.level, 0), self.chunk * self.size**2
        chunks = max(-(-bins // max_bins), 1) if isinstance(bins, int) else tf.maximum(-(-bins // max_bins), 1)
        share = -(-bins // chunks)
        num_padding = chunks * share - bins  # Chunks have equal sizes; these extra bins have no cells.
        corners, level = (
            tf.pad(plan.corners, [[0, num_padding], [0, 0]]),
            tf.pad(plan.level, [[0, num_padding]], constant_values=len(windows)),
        )

        def gather_chunk(number: int | tf.Tensor) -> tf.Tensor:
            start = number * share
            return _gather_bins(
                windows, tf.slice(corners, [start, 0], [share, 4]), tf.slice(level, [start], [share]), reduction
            )

        spec = tf.TensorSpec([share if isinstance(share, int) else None, values.shape[-1]], reduction.missing.dtype)
        return _map_sequentially(gather_chunk, chunks, spec)[:bins]


class _Bins(NamedTuple):
    """The bins of P RoIs along one axis, cut to the map, and the two windows that cover each."""

    level: tf.Tensor  # int32 [P, n], the windows have 2^level cells
    first: tf.Tensor  # int32 [P, n], the cell where the first window begins
    last: tf.Tensor  # int32 [P, n], the cell where the second window begins
    empty: tf.Tensor  # bool [P, n]
    longest: tf.Tensor  # int32 [], cells


class _Plan(NamedTuple):
    """Which rows of the windows the bins of an image need; N = P * n * n bins in row-major order."""

    corners: tf.Tensor  # int32 [N, 4]
    level: tf.Tensor  # int32 [N], of rows; the number of levels for a bin without cells
    longest_column: tf.Tensor  # int32 [], height of the highest bin
    longest_row: tf.Tensor  # int32 [], width of the widest
    height: int | tf.Tensor
    width: int | tf.Tensor


class _Reduction(NamedTuple):
    """A reduction over the cells of a bin: how to choose between two, what to return, and the value of an empty bin."""

    best: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
    read: Callable[[tf.Tensor], tf.Tensor]
    missing: tf.Tensor


def _levels(side: int | tf.Tensor) -> int:
    """How many levels there can be along a side of the map."""
    return max(side.bit_length(), 1) if isinstance(side, int) else _LEVELS


def _doubled(
    values: tf.Tensor,
    step: int | tf.Tensor,
    longest: tf.Tensor,
    count: int,
    best: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
) -> list[tf.Tensor]:
    """Reductions of windows of 1, 2, 4, ... values that lie `step` rows apart, indexed by the row of the first value.

    Levels of windows longer than `longest` are empty.
    """
    levels = [values]
    for level in range(1, count):
        previous, shift = levels[-1], step * 2 ** (level - 1)
        rows = tf.where(longest >= 2**level, tf.shape(previous)[0] - shift, 0)
        levels.append(best(previous[:rows], previous[shift : shift + rows]))
    return levels


def _gather_bins(windows: list[tf.Tensor], corners: tf.Tensor, level: tf.Tensor, reduction: _Reduction) -> tf.Tensor:
    """Values [N, c] of N bins, gathered level by level.

    Gathering from all levels at once would need them in one tensor, a copy of most of the memory used here.
    """
    groups = len(windows) + 1
    *level_bins, empty_bins = tf.dynamic_partition(tf.range(tf.shape(level)[0]), level, groups)
    values = []
    for rows, places in zip(windows, tf.dynamic_partition(corners, level, groups), strict=False):
        quarters = [tf.gather(rows, place) for place in tf.unstack(places, axis=1)]
        values.append(reduction.read(reduction.best(reduction.best(*quarters[:2]), reduction.best(*quarters[2:]))))
    values.append(tf.fill([tf.shape(empty_bins)[0], windows[0].shape[-1]], reduction.missing))
    return tf.dynamic_stitch([*level_bins, empty_bins], values)


def _keys(image: tf.Tensor) -> tf.Tensor:
    """Keys int64 [h w, c] of image float32 [h, w, c]: smaller for larger numbers, and for equal numbers by position."""
    bits = tf.bitcast(image, tf.int32)
    magnitude = tf.bitwise.bitwise_and(bits, 2**31 - 1)
    # Numbers of one sign are ordered as their bits are; both zeros become 0.
    falling = tf.where(bits < 0, magnitude, -magnitude)
    positions = tf.reshape(tf.range(tf.size(image, tf.int64)), tf.shape(image))
    return tf.reshape(tf.cast(falling, tf.int64) * 2**32 + positions, [-1, image.shape[-1]])


def _sums(positions: tf.Tensor, values: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Sums float32 [size] of the values at each position; values with position `size` are dropped."""
    if tf.config.list_physical_devices("GPU"):  # GPUs have no weighted DenseBincount; on a CPU it is twice as fast.
        return tf.math.unsorted_segment_sum(values, positions, size + 1)[:size]
    return tf.raw_ops.DenseBincount(input=positions, size=size, weights=values)


def _map_sequentially(
    part: Callable[[int | tf.Tensor], tf.Tensor], count: int | tf.Tensor, spec: tf.TensorSpec
) -> tf.Tensor:
    """part(0) to part(count - 1), each like spec, concatenated along the first axis.

    They run one after the other, so that memory is needed for one only.
    """
    if isinstance(count, int) and count == 1:
        return part(0)
    parts = tf.TensorArray(spec.dtype, count, element_shape=spec.shape)
    _, parts = tf.while_loop(
        lambda i, _: i < count, lambda i, results: (i + 1, results.write(i, part(i))), (0, parts), parallel_iterations=1
    )
    joined = parts.stack()
    return tf.reshape(joined, [-1, tf.shape(joined)[-1] if spec.shape[-1] is None else spec.shape[-1]])


def _side(maps: tf.Tensor, axis: int) -> int | tf.Tensor:
    return maps.shape[axis] if maps.shape[axis] is not None else tf.shape(maps)[axis]
