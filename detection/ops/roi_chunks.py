"""Regions a few at a time: many proposals (Girshick 2015, section 5.5, has 45 thousand an image) in the memory of some
hundred.

There is no loop where the number of regions is known and small, since a loop hides sizes from whoever looks at the
graph.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

# Regions of an image at a time: what the published configurations have at test time, which so need no loop. Crops are
# the largest tensors of a second stage, 14 x 14 x 1024 numbers each in a ResNet: 240 MB for 300. Nor does a loop cost
# time: 2000 regions through the tail of MobileNet v1 take 1.0 s of CPU time and 160 MiB in chunks, 1.35 s and 1.0 GiB
# in one piece (`python benchmarks/roi.py --proposals=2000`, 2 cores of an AMD EPYC, under load).
REGIONS_AT_A_TIME = 300

# boxes float32 [B, p, 4] -> tensors [B, p, ...], row by row
RegionFunction = Callable[[tf.Tensor], tuple[tf.Tensor, ...]]


def in_chunks(
    function: RegionFunction, boxes: tf.Tensor, sides: Sequence[Sequence[int]], most: int = REGIONS_AT_A_TIME
) -> tuple[tf.Tensor, ...]:
    """function(boxes), worked out for at most `most` regions of each image at a time, in chunks as equal as can be.

    Args:
        function: what is computed for each region apart from the others; its results are float32.
        boxes: float32 [B, P, 4]; P need not be known before it runs. Where it is, and not above `most`, function(boxes)
            is all that happens.
        sides: of what the function gives for one region, a shape a result.
        most: regions.

    Returns:
        The function's results, each float32 [B, P, *sides].
    """
    batch, count = boxes.shape[:2]
    if count is not None and count <= most:
        return function(boxes)
    rows = tf.shape(boxes)[1] if count is None else count
    chunks = -(-rows // most) if count is not None else tf.maximum(-(-rows // most), 1)
    share = (
        -(-rows // chunks) if count is not None else tf.maximum(-(-rows // chunks), 1)
    )  # Not every op takes no region at all.
    known = None if count is None else share
    padded = tf.pad(boxes, [[0, 0], [0, chunks * share - rows], [0, 0]])
    done = tuple(tf.TensorArray(tf.float32, chunks, element_shape=[batch, known, *last]) for last in sides)

    def step(number: tf.Tensor, done: tuple[tf.TensorArray, ...]) -> tuple[tf.Tensor, tuple[tf.TensorArray, ...]]:
        some = tf.ensure_shape(tf.slice(padded, [0, number * share, 0], [-1, share, 4]), [batch, known, 4])
        return number + 1, tuple(
            array.write(number, values) for array, values in zip(done, function(some), strict=True)
        )

    _, done = tf.while_loop(lambda number, _: number < chunks, step, (tf.constant(0), done), parallel_iterations=1)
    return tuple(_joined(array.stack(), rows, [batch, count, *last]) for array, last in zip(done, sides, strict=True))


def _joined(parts: tf.Tensor, rows: int | tf.Tensor, shape: list[int | None]) -> tf.Tensor:
    """[chunks, B, share, ...] -> [B, rows, ...], of which `shape` says what is known."""
    by_image = parts if parts.shape[1] == 1 else tf.transpose(parts, [1, 0, *range(2, parts.shape.rank)])
    sizes = tf.shape(parts)
    flat = tf.reshape(by_image, tf.concat([sizes[1:2], [sizes[0] * sizes[2]], sizes[3:]], 0))
    return tf.ensure_shape(flat[:, :rows], shape)
