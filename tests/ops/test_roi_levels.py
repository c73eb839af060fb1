"""Regions of a pyramid: the level of each, and crops equal to those of its map alone."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from detection.ops.roi import CropAndResize, MultilevelCrop, OneMap
from detection.ops.roi_levels import level_numbers

IMAGE = (512, 640)


def _box(height: float, width: float, top: float = 0.0, left: float = 0.0) -> list[float]:
    return [top, left, top + height, left + width]


def test_level_numbers() -> None:
    """Equation 1 with 5 levels: 224 pixels are of the last but one, each halving is one lower, down to the first."""
    sides = [1.0, 27.9, 28.1, 55.9, 56.1, 111.9, 112.1, 223.9, 224.1, 447.9, 448.1, 4000.0]
    boxes = tf.constant([[*(_box(side, side) for side in sides), _box(112, 448), _box(0, 50), [9.0, 9.0, 1.0, 1.0]]])
    numbers = level_numbers(boxes, 5).numpy()[0]
    assert numbers.tolist() == [0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 3, 0, 0]
    assert level_numbers(boxes, 1).numpy().tolist() == [[0] * 15]


def _pyramid(image: tuple[int, int] = IMAGE) -> tuple[tf.Tensor, ...]:
    """Levels 2 to 6 of two images, 3 channels; the last one is smaller than half the one before."""
    sizes = [(-(-image[0] // stride), -(-image[1] // stride)) for stride in (4, 8, 16, 32, 64)]
    return tuple(tf.random.stateless_normal([2, *size, 3], [n, 1]) for n, size in enumerate(sizes))


def _boxes() -> tf.Tensor:
    """float32 [2, P, 4] inside the image, of all sizes, the last one the whole image."""
    random = np.random.default_rng(0)
    corners = np.sort(random.uniform(0, 1, [2, 40, 2, 2]), axis=2) * IMAGE * 0.999
    boxes = corners.reshape(2, 40, 4) * random.choice([0.2, 0.5, 1.0], [2, 40, 1])
    return tf.constant(np.concatenate([boxes, np.tile([[[0, 0, *IMAGE]]], [2, 1, 1])], 1), tf.float32)


@pytest.mark.parametrize("pool", [(2, 2), (1, 1)])
def test_every_region_is_cropped_from_the_map_of_its_level(pool: tuple[int, int]) -> None:
    maps, op = _pyramid(), CropAndResize(6, *pool)
    boxes = _boxes()[:, :-1]
    numbers = level_numbers(boxes, 5).numpy().reshape(-1)
    assert set(numbers) >= {0, 1, 2, 3}
    alone = np.stack([op(features, boxes, IMAGE).numpy() for features in maps])
    expected = alone[numbers, np.arange(len(numbers))]
    # Places are rounded at the size of the canvas instead of that of the map: 1e-5 of a cell.
    np.testing.assert_allclose(MultilevelCrop(op)(maps, IMAGE)(boxes).numpy(), expected, atol=2e-4)


def test_a_single_map_and_its_last_cell() -> None:
    features = _pyramid()[2]
    boxes, op = _boxes(), CropAndResize(5, 1, 1)
    found = MultilevelCrop(op)((features,), IMAGE)(boxes).numpy().reshape(2, -1, 5, 5, 3)
    np.testing.assert_allclose(
        found[:, :-1], OneMap(op)((features,), IMAGE)(boxes[:, :-1]).numpy().reshape(2, -1, 5, 5, 3), atol=2e-4
    )
    np.testing.assert_allclose(found[:, -1, -1, -1], features[:, -1, -1], atol=2e-4)


def test_boxes_beyond_the_image_do_not_read_other_maps() -> None:
    maps, op = _pyramid(), CropAndResize(4, 1, 1)
    outside = tf.constant([[_box(30, 900), _box(700, 20), [-50.0, -50.0, 20.0, 20.0]]] * 2)
    inside = tf.constant([[_box(30, 640), _box(512, 20), [0.0, 0.0, 20.0, 20.0]]] * 2)
    cut = MultilevelCrop(op)(maps, IMAGE)
    np.testing.assert_array_equal(cut(outside), cut(inside))


def test_gradients_reach_only_the_map_of_the_level() -> None:
    maps, op = _pyramid(), CropAndResize(4, 2, 2)
    small = tf.constant([[_box(20.0, 20.0, 10.0, 10.0)], [_box(20.0, 20.0, 40.0, 10.0)]])
    with tf.GradientTape() as tape:
        tape.watch(maps)
        crops = MultilevelCrop(op)(maps, IMAGE)(small)
    gradients = tape.gradient(crops, maps)
    assert [bool(np.any(each)) for each in gradients] == [True, False, False, False, False]


def test_dynamic_sizes() -> None:
    maps, boxes, op = _pyramid(), _boxes(), CropAndResize(6, 2, 2)
    specs = tuple(tf.TensorSpec([None, None, None, 3]) for _ in maps)

    @tf.function(input_signature=[specs, tf.TensorSpec([None, None, 4]), tf.TensorSpec([2], tf.int32)])
    def cut(maps: tuple[tf.Tensor, ...], boxes: tf.Tensor, image: tf.Tensor) -> tf.Tensor:
        return MultilevelCrop(op)(maps, tuple(tf.unstack(image)))(boxes)

    np.testing.assert_allclose(cut(maps, boxes, tf.constant(IMAGE)), MultilevelCrop(op)(maps, IMAGE)(boxes), atol=1e-5)
    static = tf.function(lambda boxes: MultilevelCrop(op)(maps, IMAGE)(boxes)).get_concrete_function(
        tf.TensorSpec([2, 41, 4])
    )
    assert static.output_shapes == (82, 3, 3, 3)
