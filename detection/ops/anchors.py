"""Anchors: the same few box shapes at every cell of a grid laid over the image, in pixels, not clipped to it.

A grid of h x w cells with stride (sy, sx) and offset (oy, ox) has the centres (i sy + oy, j sx + ox). A shape of scale
s and aspect ratio r (width over height) on a base of bh x bw pixels is bh s / √r high and bw s √r wide. Order: map,
row, column, shape.

Feature and image shapes may be Python ints or scalar integer tensors; where all are known, a graph holds the result as
one constant.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import tensorflow as tf

Size: TypeAlias = "int | tf.Tensor"
Shape = tuple[Size, Size]
BoxShape = tuple[float, float]  # scale, aspect ratio


def tile(feature_shape: Shape, shapes: Sequence[BoxShape], base: Shape, stride: Shape, offset: Shape) -> tf.Tensor:
    """Boxes float32 [h * w * S, 4] of S box shapes at each cell of a map.

    Args:
        feature_shape: h and w of the map.
        shapes: (scale, aspect ratio) of each box shape.
        base: height and width that a scale of 1 stands for, pixels, numbers or tensors.
        stride: distance of the cells, (y, x), pixels.
        offset: centre of the first cell, (y, x), pixels.
    """
    unit_halves = tf.constant(
        [[scale / math.sqrt(ratio) / 2.0, scale * math.sqrt(ratio) / 2.0] for scale, ratio in shapes]
    )
    halves = unit_halves * _pair(base)
    cells = tf.stack(tf.meshgrid(*[tf.range(size) for size in feature_shape], indexing="ij"), axis=-1)
    centres = tf.cast(cells, tf.float32) * _pair(stride) + _pair(offset)
    centres = centres[:, :, tf.newaxis, :]
    return tf.reshape(tf.concat([centres - halves, centres + halves], axis=-1), [-1, 4])


def _pair(pair: Shape) -> tf.Tensor:
    return tf.stack([tf.cast(value, tf.float32) for value in pair])


def _folded(
    compute: Callable[[list[Shape], Shape], tf.Tensor], feature_shapes: Sequence[Shape], image_shape: Shape
) -> tf.Tensor:
    """compute(feature_shapes, image_shape), evaluated now and held as a constant where every size is known."""
    known_maps = [tuple(tf.get_static_value(size) for size in shape) for shape in feature_shapes]
    known_image = tuple(tf.get_static_value(size) for size in image_shape)
    if any(size is None for shape in [*known_maps, known_image] for size in shape):
        return compute(list(feature_shapes), image_shape)
    with tf.init_scope():
        boxes = compute([(int(h), int(w)) for h, w in known_maps], (int(known_image[0]), int(known_image[1]))).numpy()
    return tf.constant(boxes)


def _check_count(feature_shapes: Sequence[Shape], expected: int) -> None:
    if len(feature_shapes) != expected:
        raise ValueError(f"{len(feature_shapes)} feature maps for anchors of {expected} maps")


@dataclass(frozen=True)
class SsdAnchors:
    """SSD's anchors on several maps; scales are relative to the shorter image side (Liu et al. 2016, section 2.2).

    Strides default to image size / map size, offsets to half a stride.
    """

    shapes: tuple[tuple[BoxShape, ...], ...]  # one tuple per map
    base_height: float = 1.0
    base_width: float = 1.0
    strides: tuple[tuple[int, int], ...] | None = None  # (y, x) for each map, pixels
    offsets: tuple[tuple[int, int], ...] | None = None  # (y, x) for each map, pixels

    @classmethod
    def evenly_scaled(
        cls,
        *,
        num_layers: int = 6,
        min_scale: float = 0.2,
        max_scale: float = 0.95,
        scales: Sequence[float] = (),
        aspect_ratios: Sequence[float],
        interpolated_scale_aspect_ratio: float = 1.0,
        reduce_boxes_in_lowest_layer: bool = True,
        **settings: Any,
    ) -> SsdAnchors:
        """Anchors with evenly spaced scales (Liu et al. 2016, section 2.2).

        Map i has every aspect ratio at scale s_i and one box of scale √(s_i s_(i+1)); the scale after the last is 1.

        Args:
            num_layers: number of maps.
            min_scale: scale of the first map.
            max_scale: scale of the last map.
            scales: one scale for each map, in place of the even spacing.
            aspect_ratios: width over height.
            interpolated_scale_aspect_ratio: aspect ratio of the box of scale √(s_i s_(i+1)); 0 omits that box.
            reduce_boxes_in_lowest_layer: give the first map three boxes only.
            **settings: the other fields of the class.
        """
        steps = max(num_layers - 1, 1)
        spaced = [min_scale + (max_scale - min_scale) * i / steps for i in range(num_layers)]
        all_scales = [*(scales or spaced), 1.0]
        shapes: list[tuple[BoxShape, ...]] = []
        for layer in range(num_layers):
            scale, next_scale = all_scales[layer], all_scales[layer + 1]
            if layer == 0 and reduce_boxes_in_lowest_layer:
                shapes.append(((0.1, 1.0), (scale, 2.0), (scale, 0.5)))
                continue
            row = [(scale, ratio) for ratio in aspect_ratios]
            if interpolated_scale_aspect_ratio > 0.0:
                row.append((math.sqrt(scale * next_scale), interpolated_scale_aspect_ratio))
            shapes.append(tuple(row))
        return cls(shapes=tuple(shapes), **settings)

    @property
    def num_per_location(self) -> tuple[int, ...]:
        """Anchors at each cell, one number for each map."""
        return tuple(len(row) for row in self.shapes)

    def __call__(self, feature_shapes: Sequence[Shape], image_shape: Shape) -> tf.Tensor:
        """Anchors float32 [A, 4] of maps (h, w) on an image (H, W)."""
        _check_count(feature_shapes, len(self.shapes))
        return _folded(self._tile_all, feature_shapes, image_shape)

    def _tile_all(self, feature_shapes: list[Shape], image_shape: Shape) -> tf.Tensor:
        height, width = (tf.cast(size, tf.float32) for size in image_shape)
        side = tf.minimum(height, width)
        base = (self.base_height * side, self.base_width * side)
        grids = []
        for layer, (rows, columns) in enumerate(feature_shapes):
            stride = (
                self.strides[layer]
                if self.strides
                else (height / tf.cast(rows, tf.float32), width / tf.cast(columns, tf.float32))
            )
            offset = self.offsets[layer] if self.offsets else (0.5 * stride[0], 0.5 * stride[1])
            grids.append(tile((rows, columns), self.shapes[layer], base, stride, offset))
        return tf.concat(grids, axis=0)


@dataclass(frozen=True)
class GridAnchors:
    """Faster R-CNN's anchors on one map; at each cell the aspect ratio is the outer loop, the scale the inner one."""

    scales: tuple[float, ...]
    aspect_ratios: tuple[float, ...]
    base: tuple[int, int] = (256, 256)  # height and width, pixels
    stride: tuple[int, int] = (16, 16)  # y and x, pixels
    offset: tuple[int, int] = (0, 0)  # y and x of the first centre, pixels

    @property
    def num_per_location(self) -> tuple[int, ...]:
        """Anchors at each cell, one number for each map."""
        return (len(self.scales) * len(self.aspect_ratios),)

    def __call__(self, feature_shapes: Sequence[Shape], image_shape: Shape) -> tf.Tensor:
        """Anchors float32 [A, 4] of the one map (h, w); the image shape is not used."""
        _check_count(feature_shapes, 1)
        return _folded(self._tile_all, feature_shapes, image_shape)

    def _tile_all(self, feature_shapes: list[Shape], image_shape: Shape) -> tf.Tensor:
        shapes = [(scale, ratio) for ratio in self.aspect_ratios for scale in self.scales]
        return tile(feature_shapes[0], shapes, self.base, self.stride, self.offset)


@dataclass(frozen=True)
class MultiscaleAnchors:
    """Anchors of a feature pyramid (Lin et al. 2017, section 4).

    Level l has stride 2^l, base 2^l x anchor_scale and octave scales 2^(k / scales_per_octave). The offset is half a
    stride along a side that the stride divides, otherwise 0; with `centred` always half a stride.
    """

    min_level: int = 3
    max_level: int = 7
    anchor_scale: float = 4.0
    aspect_ratios: tuple[float, ...] = (1.0, 2.0, 0.5)
    scales_per_octave: int = 2
    centred: bool = False

    @property
    def num_per_location(self) -> tuple[int, ...]:
        """Anchors at each cell, one number for each map."""
        return (len(self.aspect_ratios) * self.scales_per_octave,) * (self.max_level - self.min_level + 1)

    def __call__(self, feature_shapes: Sequence[Shape], image_shape: Shape) -> tf.Tensor:
        """Anchors float32 [A, 4] of one map (h, w) per level, on an image (H, W)."""
        _check_count(feature_shapes, self.max_level - self.min_level + 1)
        return _folded(self._tile_all, feature_shapes, image_shape)

    def _tile_all(self, feature_shapes: list[Shape], image_shape: Shape) -> tf.Tensor:
        shapes = [
            (2.0 ** (k / self.scales_per_octave), ratio)
            for ratio in self.aspect_ratios
            for k in range(self.scales_per_octave)
        ]
        grids = []
        for level, feature_shape in enumerate(feature_shapes, self.min_level):
            stride, base = 2**level, 2**level * self.anchor_scale
            half = stride / 2.0
            offset = tuple(
                half if self.centred else tf.where(tf.equal(size % stride, 0), half, 0.0) for size in image_shape
            )
            grids.append(tile(feature_shape, shapes, (base, base), (stride, stride), offset))
        return tf.concat(grids, axis=0)


class AnchorGrid(NamedTuple):
    """The anchors of one map, all in pixels."""

    shapes: tuple[BoxShape, ...]  # the scale is the square root of the area
    stride: tuple[int, int]  # y and x
    offset: tuple[int, int] = (0, 0)  # y and x of the first centre


@dataclass(frozen=True)
class FlexibleAnchors:
    """Anchors of several maps, with any shapes, strides and offsets for each map."""

    grids: tuple[AnchorGrid, ...]

    @property
    def num_per_location(self) -> tuple[int, ...]:
        """Anchors at each cell, one number for each map."""
        return tuple(len(grid.shapes) for grid in self.grids)

    def __call__(self, feature_shapes: Sequence[Shape], image_shape: Shape) -> tf.Tensor:
        """Anchors float32 [A, 4] of maps (h, w); the image shape is not used."""
        _check_count(feature_shapes, len(self.grids))
        return _folded(self._tile_all, feature_shapes, image_shape)

    def _tile_all(self, feature_shapes: list[Shape], image_shape: Shape) -> tf.Tensor:
        return tf.concat(
            [
                tile(shape, grid.shapes, (1, 1), grid.stride, grid.offset)
                for shape, grid in zip(feature_shapes, self.grids, strict=True)
            ],
            axis=0,
        )


AnchorGenerator = SsdAnchors | GridAnchors | MultiscaleAnchors | FlexibleAnchors
