"""Bilinear crops of boxes with optional max pooling: the input of Faster R-CNN's second stage.

Survey, section 2.2.2:

    sample i of n along an axis lies at  lo + i (hi - lo) / (n - 1),   lo, hi = edge of the box / side of the image *
        (side of the map - 1)

so the first and the last sample lie on the edges of the box, and the corners of the image on the centres of the map's
corner cells. A single sample lies in the middle. A sample outside the map gives 0. That includes the last sample of a
box that touches the bottom or the right border of the image: whether rounding puts it on the last cell or just beyond,
where it gives 0, depends on the last bits of the box, here as in the reference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

from detection.ops.roi_chunks import in_chunks

ImageShape = tuple[int | tf.Tensor, int | tf.Tensor]


def crop(features: tf.Tensor, boxes: tf.Tensor, image_shape: ImageShape, size: tuple[int, int]) -> tf.Tensor:
    """Crops of `size` cells, image by image; the gradient flows to the features, not to the boxes.

    Args:
        features: float32 [B, h, w, c].
        boxes: float32 [B, P, 4], pixels of the padded input; all zeros (padding) repeat the corner cell.
        image_shape: height and width of the padded input, pixels, numbers or scalars.
        size: height and width of a crop.

    Returns:
        float32 [B * P, *size, c].

    Raises:
        tf.errors.InvalidArgumentError: when run on a CPU, if a box is not finite.
    """
    batch = boxes.shape[0] or tf.shape(boxes)[0]
    count = boxes.shape[1] if boxes.shape[1] is not None else tf.shape(boxes)[1]
    images = tf.reshape(tf.broadcast_to(tf.range(batch)[:, tf.newaxis], [batch, count]), [-1])
    normalised = tf.reshape(_normalised(tf.stop_gradient(boxes), image_shape), [-1, 4])
    return tf.image.crop_and_resize(features, normalised, images, size)


def _normalised(boxes: tf.Tensor, image_shape: ImageShape) -> tf.Tensor:
    """Boxes as fractions of the padded input.

    Computed in float64: a graph turns a division by a constant into a multiplication, which in float32 can miss 1.
    """
    height, width = (tf.cast(side, tf.float64) for side in image_shape)
    return tf.cast(tf.cast(boxes, tf.float64) / tf.stack([height, width, height, width]), tf.float32)


@dataclass(frozen=True)
class CropAndResize:
    """Crops of crop_size x crop_size samples, then max pooling without padding (none if size and stride are 1).

    If a batch is known to have more than `chunk` regions, that many are cropped at a time, and the gradient crops them
    again, since keeping all crops would take 1.8 GiB for 2000 regions of 512 channels.
    """

    crop_size: int
    pool_size: int
    pool_stride: int
    chunk: int = 512

    def __post_init__(self) -> None:
        if not 1 <= self.pool_size <= self.crop_size or self.pool_stride < 1 or self.chunk < 1:
            raise ValueError(
                f"{self}: pool_size must lie between 1 and crop_size, and pool_stride and chunk must be at least 1"
            )

    def __call__(self, features: tf.Tensor, boxes: tf.Tensor, image_shape: ImageShape) -> tf.Tensor:
        """Crops [B * P, s, s, c], s = (crop_size - pool_size) // pool_stride + 1; arguments as in `crop`."""
        batch, count = boxes.shape[:2]
        if batch is None or count is None or batch * count <= self.chunk or self.pool_size == self.pool_stride == 1:
            return self._pooled(features, boxes, image_shape)
        boxes = tf.stop_gradient(boxes)
        side, share = (self.crop_size - self.pool_size) // self.pool_stride + 1, max(self.chunk // batch, 1)
        sides = (side, side, features.shape[-1])

        @tf.custom_gradient
        def pool(maps: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
            def pool_chunk(part: tf.Tensor) -> tuple[tf.Tensor]:
                return (tf.reshape(self._pooled(maps, part, image_shape), [batch, part.shape[1], *sides]),)

            return in_chunks(pool_chunk, boxes, (sides,), share)[0], lambda upstream: self._gradient(
                maps, boxes, image_shape, upstream, share
            )

        return tf.reshape(pool(features), [batch * count, *sides])

    def _pooled(self, features: tf.Tensor, boxes: tf.Tensor, image_shape: ImageShape) -> tf.Tensor:
        crops = crop(features, boxes, image_shape, (self.crop_size, self.crop_size))
        if self.pool_size == self.pool_stride == 1:
            return crops
        return tf.nn.max_pool2d(crops, self.pool_size, self.pool_stride, "VALID")

    def _gradient(
        self, maps: tf.Tensor, boxes: tf.Tensor, image_shape: ImageShape, upstream: tf.Tensor, share: int
    ) -> tf.Tensor:
        """Gradient float32 [B, h, w, c] for upstream float32 [B, P, s, s, c]."""

        def add(start: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            with tf.GradientTape() as tape:
                tape.watch(maps)
                pooled = self._pooled(maps, boxes[:, start : start + share], image_shape)
            return start + share, total + tape.gradient(
                pooled, maps, tf.reshape(upstream[:, start : start + share], tf.shape(pooled))
            )

        return tf.while_loop(
            lambda start, _: start < boxes.shape[1], add, (0, tf.zeros_like(maps)), parallel_iterations=1
        )[1]
