"""Resizes images to the input size of a network.

A resizer takes one image and returns (float32 [H, W, 3], 0 to 255, padded at the bottom and right; true_shape int32
[2], the size without padding). `batch` does the same for a stack of images of one size, for exported graphs. Sampling
is that of TensorFlow 1 (`align_corners=False`, pixel centres at integers): output pixel i is read at input coordinate
i * (input size / output size). Checkpoints of the TF Object Detection API were trained with it, and half-pixel centres
would shift every box.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

import tensorflow as tf

from detection.types import ImageBatch

Side = int | tf.Tensor


class Method(enum.Enum):
    """The interpolation method."""

    BILINEAR = 0
    NEAREST_NEIGHBOR = 1
    BICUBIC = 2
    AREA = 3


def resize(
    images: tf.Tensor,
    size: tuple[Side, Side] | tf.Tensor,
    method: Method = Method.BILINEAR,
    align_corners: bool = False,
) -> tf.Tensor:
    """Resizes images [B, h, w, C] of any numeric type to float32 [B, H, W, C].

    The kernels read uint8 directly.

    Args:
        images: the images.
        size: (H, W).
        method: the interpolation method.
        align_corners: map the centres of corner pixels onto each other.
    """
    size = tf.convert_to_tensor(size, tf.int32)
    if method is Method.BILINEAR:
        return tf.raw_ops.ResizeBilinear(
            images=images, size=size, align_corners=align_corners, half_pixel_centers=False
        )
    if method is Method.BICUBIC:
        return tf.raw_ops.ResizeBicubic(images=images, size=size, align_corners=align_corners, half_pixel_centers=False)
    if method is Method.AREA:
        return tf.raw_ops.ResizeArea(images=images, size=size, align_corners=align_corners)
    nearest = tf.raw_ops.ResizeNearestNeighbor(
        images=images, size=size, align_corners=align_corners, half_pixel_centers=False
    )
    return tf.cast(nearest, tf.float32)


@dataclass(frozen=True, kw_only=True)
class Resizer:
    """Base of all resizers.

    A subclass defines the size of the resized image (`_target`) and of the padded image (`_padded`).
    """

    method: Method = Method.BILINEAR
    convert_to_grayscale: bool = False  # luminance, repeated in all three channels
    pad_values: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def static_shape(self) -> tuple[int | None, int | None]:
        """(H, W) of the result; None for a side that depends on the image."""
        return None, None

    @property
    def pads(self) -> bool:
        """Whether results may be padded."""
        return False

    def _target(self, height: tf.Tensor, width: tf.Tensor) -> tuple[Side, Side] | None:
        """Size of the resized image for the size of the original one, int32 scalars; None: do not resize."""
        return None

    def _padded(self, height: Side, width: Side) -> tuple[Side, Side]:
        """Size after padding."""
        return height, width

    def shape_of(self, height: int, width: int) -> tuple[int, int]:
        """(H, W) of the result for an image of this size."""
        target = self._target(tf.constant(height), tf.constant(width))
        if target is None:
            target = (height, width)
        sides = self._padded(*target) if self.pads else target
        return int(sides[0]), int(sides[1])

    def __call__(self, image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Resizes an image [h, w, 3] of any numeric type; returns float32 [H, W, 3] and true_shape int32 [2]."""
        batch = self.batch(image[tf.newaxis])
        return batch.images[0], batch.true_shapes[0]

    def batch(self, images: tf.Tensor) -> ImageBatch:
        """Resizes images [B, h, w, 3] of one size."""
        shape = tf.shape(images)
        target = self._target(shape[1], shape[2])
        resized = tf.cast(images, tf.float32) if target is None else resize(images, target, self.method)
        height, width = (shape[1], shape[2]) if target is None else target
        if self.convert_to_grayscale:
            resized = tf.tile(tf.image.rgb_to_grayscale(resized), [1, 1, 1, 3])
        if self.pads:
            padded_height, padded_width = self._padded(height, width)
            margin = [[0, 0], [0, padded_height - height], [0, padded_width - width], [0, 0]]
            if any(self.pad_values):
                color = tf.constant(self.pad_values, tf.float32)
                resized = tf.pad(resized - color, margin) + color
            else:
                resized = tf.pad(resized, margin)
        resized.set_shape([images.shape[0], *self.static_shape, images.shape[-1] or 3])
        true_shape = tf.stack([height, width])
        return ImageBatch(images=resized, true_shapes=tf.tile(true_shape[tf.newaxis], [shape[0], 1]))


@dataclass(frozen=True, kw_only=True)
class FixedShapeResizer(Resizer):
    """Resizes every image to `height` x `width`, whatever its aspect ratio."""

    height: int = 300
    width: int = 300

    @property
    def static_shape(self) -> tuple[int | None, int | None]:
        """(H, W) of the result."""
        return self.height, self.width

    def _target(self, height: tf.Tensor, width: tf.Tensor) -> tuple[Side, Side]:
        return self.height, self.width


@dataclass(frozen=True, kw_only=True)
class KeepAspectRatioResizer(Resizer):
    """Keeps the aspect ratio: the short side becomes `min_dimension`, or the long side `max_dimension` if that is less.

    With `pad_to_max_dimension` the result is padded with `pad_values` to max_dimension x max_dimension, so that its
    shape is static.
    """

    min_dimension: int = 600
    max_dimension: int = 1024
    pad_to_max_dimension: bool = False

    @property
    def static_shape(self) -> tuple[int | None, int | None]:
        """(H, W) of the result with padding; (None, None) without."""
        return (self.max_dimension, self.max_dimension) if self.pads else (None, None)

    @property
    def pads(self) -> bool:
        """Whether results are padded."""
        return self.pad_to_max_dimension

    def _target(self, height: tf.Tensor, width: tf.Tensor) -> tuple[Side, Side]:
        # float32 and rounding halves to even, as in the original implementation: the last pixel depends on both.
        shape = tf.cast(tf.stack([height, width]), tf.float32)
        by_short = tf.cast(tf.round(shape * (self.min_dimension / tf.reduce_min(shape))), tf.int32)
        by_long = tf.cast(tf.round(shape * (self.max_dimension / tf.reduce_max(shape))), tf.int32)
        size = tf.where(tf.reduce_max(by_short) > self.max_dimension, by_long, by_short)
        size = tf.maximum(size, 1)  # an image of 1 x 5000 must not lose its short side
        return size[0], size[1]

    def _padded(self, height: Side, width: Side) -> tuple[Side, Side]:
        return self.max_dimension, self.max_dimension


@dataclass(frozen=True, kw_only=True)
class IdentityResizer(Resizer):
    """Does not resize."""


@dataclass(frozen=True, kw_only=True)
class PadToMultipleResizer(Resizer):
    """Does not resize, but pads both sides to multiples of `multiple`."""

    multiple: int = 1

    @property
    def pads(self) -> bool:
        """Whether results may be padded."""
        return self.multiple > 1

    def _padded(self, height: Side, width: Side) -> tuple[Side, Side]:
        return -(-height // self.multiple) * self.multiple, -(-width // self.multiple) * self.multiple


@dataclass(frozen=True, kw_only=True)
class ConditionalShapeResizer(Resizer):
    """Keeps the aspect ratio: shrinks a long side above `threshold`, or (`smaller`) enlarges a short side below it."""

    threshold: int = 300
    smaller: bool = False

    def _target(self, height: tf.Tensor, width: tf.Tensor) -> tuple[Side, Side]:
        shape = tf.stack([height, width])
        side = tf.reduce_min(shape) if self.smaller else tf.reduce_max(shape)
        applies = side < self.threshold if self.smaller else side > self.threshold
        scaled = tf.cast(tf.round(tf.cast(shape, tf.float32) * (self.threshold / tf.cast(side, tf.float32))), tf.int32)
        size = tf.maximum(tf.where(applies, scaled, shape), 1)
        return size[0], size[1]
