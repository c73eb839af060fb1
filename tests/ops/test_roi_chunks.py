"""Regions in chunks: the results are those of one batch, and memory does not grow with the number of regions."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from detection.ops.roi import CropAndResize, PositionSensitiveCrop, RoiMaxPool
from detection.ops.roi_chunks import in_chunks

SIDES = ((), (3,))


class Recorder:
    """Two results of each box, and how many boxes it was given at a time, as far as the graph knows."""

    def __init__(self) -> None:
        self.portions: list[int | None] = []

    def __call__(self, boxes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        self.portions.append(boxes.shape[1])
        return tf.reduce_sum(boxes, axis=-1), boxes[..., :3] * 2.0


def _boxes(batch: int, count: int) -> np.ndarray:
    return np.random.default_rng(count).uniform(0, 99, (batch, count, 4)).astype("f4")


@pytest.mark.parametrize(("count", "portion"), [(0, 0), (1, 1), (5, 5), (6, 3), (10, 5), (11, 4), (23, 5)])
def test_static_numbers_of_regions_give_equal_chunks(count: int, portion: int) -> None:
    boxes, record = _boxes(2, count), Recorder()
    sums, doubles = tf.function(lambda boxes: in_chunks(record, boxes, SIDES, limit=5))(tf.constant(boxes))
    np.testing.assert_allclose(sums, boxes.sum(-1), rtol=1e-6)
    np.testing.assert_array_equal(doubles, boxes[..., :3] * 2)
    assert record.portions == [portion]


def test_dynamic_numbers_of_regions() -> None:
    most: list[int] = []

    def function(boxes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        most.append(0)
        tf.py_function(lambda rows: most.append(int(rows)), [tf.shape(boxes)[1]], [])
        return tf.reduce_sum(boxes, axis=-1), boxes[..., :3] * 2.0

    run = tf.function(
        lambda boxes: in_chunks(function, boxes, SIDES, limit=5), input_signature=[tf.TensorSpec([None, None, 4])]
    )
    assert [spec.shape.as_list() for spec in run.get_concrete_function().structured_outputs] == [
        [None, None],
        [None, None, 3],
    ]
    for count in (0, 1, 5, 6, 23):
        boxes = _boxes(2, count)
        sums, doubles = run(tf.constant(boxes))
        np.testing.assert_allclose(sums, boxes.sum(-1), rtol=1e-6)
        np.testing.assert_array_equal(doubles, boxes[..., :3] * 2)
    assert max(most) == 5


OPS = {
    "crop_and_resize": (CropAndResize(6, 2, 2), 8, (3, 3, 8)),
    "roi_max_pool": (RoiMaxPool(3, 16), 8, (3, 3, 8)),
    "position_sensitive": (PositionSensitiveCrop((3, 3), (6, 6)), 36, (4,)),
}


@pytest.mark.parametrize("name", OPS)
def test_region_ops_with_dynamic_shapes(name: str) -> None:
    """Nothing known but the channels, as in an exported graph. Tolerance: sums may be taken in another order where
    sizes are known."""
    op, channels, sides = OPS[name]

    def chunked(maps: tf.Tensor, boxes: tf.Tensor) -> tuple[tf.Tensor]:
        def regions(some: tf.Tensor) -> tuple[tf.Tensor]:
            return (tf.reshape(op(maps, some, (128, 96)), tf.concat([tf.shape(some)[:2], sides], 0)),)

        return in_chunks(regions, boxes, (sides,), limit=4)

    signature = [tf.TensorSpec([None, None, None, channels]), tf.TensorSpec([None, None, 4])]
    maps, boxes = tf.random.stateless_normal([2, 8, 6, channels], [1, 2]), _boxes(2, 11)
    (found,) = tf.function(chunked, input_signature=signature)(maps, boxes)
    np.testing.assert_allclose(
        found, tf.reshape(op(maps, tf.constant(boxes), (128, 96)), [2, 11, *sides]), rtol=1e-5, atol=1e-6
    )
