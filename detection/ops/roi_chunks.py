"""Processes regions in chunks, so that many proposals need only the memory of a few hundred.

Girshick 2015, section 5.5, uses 45 thousand proposals per image. There is no loop if the number of regions is known and
small, since a loop hides sizes from tools that read the graph.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

# Regions per image at a time: as many as the published configurations have at test time, which therefore need no
# loop. Crops are the largest tensors of a second stage, 14 x 14 x 1024 numbers each in a ResNet: 240 MB for 300. The
# loop does not cost time: 2000 regions through the tail of MobileNet v1 take 1.0 s of CPU time and 160 MiB in chunks,
# 1.35 s and 1.0 GiB at once (`python benchmarks/roi.py --proposals=2000`, 2 cores of an AMD EPYC, under load).
REGIONS_AT_A_TIME = 300

# boxes float32 [B, p, 4] -> tensors [B, p, ...], row by row
RegionFunction = Callable[[tf.Tensor], tuple[tf.Tensor, ...]]


def in_chunks(
    function: RegionFunction, boxes: tf.Tensor, sides: Sequence[Sequence[int]], limit: int = REGIONS_AT_A_TIME
) -> tuple[tf.Tensor, ...]:
    """function(boxes), computed for at most `limit` regions of each image at a time, in chunks of equal size.

    Args:
        function: computes each region independently of the others; its results are float32.
        boxes: float32 [B, P, 4]; P may be dynamic. If it is static and at most `limit`, function(boxes) is called
            directly.
        sides: shape of the function's result for one region, one for each result.
        limit: regions per image at a time.

    Returns:
        The function's results, each float32 [B, P, *sides].
    """
    batch, count = boxes.shape[:2]
    if count is not None and count <= limit:
        return function(boxes)
    rows = tf.shape(boxes)[1] if count is None else count
    chunks = -(-rows // limit) if count is not None else tf.maximum(-(-rows // limit), 1)
    # At least one region: not every op accepts none.
    share = -(-rows // chunks) if count is not None else tf.maximum(-(-rows // chunks), 1)
    static_share = None if count is None else share
    padded = tf.pad(boxes, [[0, 0], [0, chunks * share - rows], [0, 0]])
    results = tuple(tf.TensorArray(tf.float32, chunks, element_shape=[batch, static_share, *last]) for last in sides)

    def step(number: tf.Tensor, results: tuple[tf.TensorArray, ...]) -> tuple[tf.Tensor, tuple[tf.TensorArray, ...]]:
        chunk = tf.ensure_shape(tf.slice(padded, [0, number * share, 0], [-1, share, 4]), [batch, static_share, 4])
        return number + 1, tuple(
            array.write(number, values) for array, values in zip(results, function(chunk), strict=True)
        )

    _, results = tf.while_loop(
        lambda number, _: number < chunks, step, (tf.constant(0), results), parallel_iterations=1
    )
    return tuple(
        _joined(array.stack(), rows, [batch, count, *last]) for array, last in zip(results, sides, strict=True)
    )


def _joined(parts: tf.Tensor, rows: int | tf.Tensor, shape: list[int | None]) -> tf.Tensor:
    """[chunks, B, share, ...] -> [B, rows, ...] with the static shape `shape`."""
    by_image = parts if parts.shape[1] == 1 else tf.transpose(parts, [1, 0, *range(2, parts.shape.rank)])
    sizes = tf.shape(parts)
    flat = tf.reshape(by_image, tf.concat([sizes[1:2], [sizes[0] * sizes[2]], sizes[3:]], 0))
    return tf.ensure_shape(flat[:, :rows], shape)
