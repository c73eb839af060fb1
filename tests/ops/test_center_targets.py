"""Targets of CenterNet, compared with numpy cell by cell and box by box."""

from __future__ import annotations

import time

import numpy as np
import pytest
import tensorflow as tf

from detection.ops import center_targets
from detection.types import Groundtruth

HEIGHT, WIDTH, STRIDE, CLASSES, OVERLAP = 12, 16, 4, 3, 0.7


def _groundtruth(boxes: np.ndarray, classes: np.ndarray, weights: np.ndarray) -> Groundtruth:
    flags = tf.zeros(weights.shape, tf.bool)
    return Groundtruth(
        tf.constant(boxes, tf.float32),
        tf.constant(classes, tf.int32),
        tf.constant(weights, tf.float32),
        tf.constant((weights > 0).sum(1), tf.int32),
        *(flags, flags),
        tf.zeros(weights.shape),
    )


def _radius(height: float, width: float, overlap: float) -> float:
    """The three of the original, written out."""
    area, both = height * width, height + width
    shifted = (both + np.sqrt(both**2 - 4 * area * (1 - overlap) / (1 + overlap))) / 2
    inside = (2 * both + np.sqrt(4 * both**2 - 16 * (1 - overlap) * area)) / 2
    around = (-2 * overlap * both + np.sqrt(4 * overlap**2 * both**2 + 16 * overlap * (1 - overlap) * area)) / 2
    return min(shifted, inside, around)


def _by_hand(boxes: np.ndarray, classes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Heat maps of one image [h, w, K]."""
    maps = np.zeros((HEIGHT, WIDTH, CLASSES))
    for box, class_, weight in zip(boxes / STRIDE, classes, weights, strict=True):
        sigma = (2 * max(np.floor(_radius(*(box[2:] - box[:2]), OVERLAP)), 0) + 1) / 6
        y, x = np.floor((box[:2] + box[2:]) / 2)
        for row in range(HEIGHT):
            for column in range(WIDTH):
                value = weight * np.exp(-((row - y) ** 2 + (column - x) ** 2) / (2 * sigma**2))
                maps[row, column, class_] = max(maps[row, column, class_], value)
    return maps


def test_heat_maps_sizes_and_offsets_by_hand() -> None:
    boxes = np.array(
        [
            [[2, 3, 30, 41], [10, 8, 22, 30], [0, 50, 9, 60], [0, 0, 0, 0]],  # two of a class that overlap
            [[4.5, 4, 44, 63.5], [20, 20, 21, 21], [16, 16, 16, 16], [0, 0, 0, 0]],  # a tiny one and an empty one
        ]
    )
    classes, weights = np.array([[0, 0, 2, 0], [1, 1, 2, 0]]), np.array([[1, 0.5, 1, 0], [1, 1, 1, 0.0]])
    found = center_targets.assign(_groundtruth(boxes, classes, weights), (HEIGHT, WIDTH), STRIDE, CLASSES, OVERLAP)
    for image in range(2):
        expected = _by_hand(boxes[image], classes[image], weights[image])
        np.testing.assert_allclose(found.heat_maps[image], expected, atol=1e-6)
    assert found.heat_maps[0, 4, 5, 0] == 1 and found.heat_maps[0, 1, 13, 2] == 1  # exactly, at the centres
    np.testing.assert_array_equal(found.cells[0], [[4, 5], [4, 4], [1, 13], [0, 0]])
    np.testing.assert_allclose(found.sizes[0, :3], [[7, 9.5], [3, 5.5], [2.25, 2.5]])
    np.testing.assert_allclose(found.offsets[0, :3], [[0, 0.5], [0, 0.75], [0.125, 0.75]])
    assert float(found.count) == 6


def test_boxes_of_several_classes_have_a_bell_in_each() -> None:
    boxes = np.array([[[2, 3, 30, 41], [10, 8, 22, 30], [0, 0, 0, 0]]])
    sets = np.array([[[1, 0, 0.5], [0.25, 0, 1], [0, 0, 0]]])
    groundtruth = _groundtruth(boxes, np.zeros((1, 3)), np.array([[1, 0.5, 0]]))
    groundtruth = groundtruth._replace(class_sets=tf.constant(sets, tf.float32))
    found = center_targets.assign(groundtruth, (HEIGHT, WIDTH), STRIDE, CLASSES, OVERLAP).heat_maps[0]
    for class_ in range(CLASSES):
        weights = np.array([1, 0.5]) * sets[0, :2, class_]
        expected = _by_hand(boxes[0, :2], np.full(2, class_), weights)[..., class_]
        np.testing.assert_allclose(found[..., class_], expected, atol=1e-6)


def test_ignored_boxes_are_excluded_from_the_loss() -> None:
    """A crowd over the upper left, with an object of its class in it, and another class there."""
    boxes = np.array([[[0, 0, 24, 30], [8, 8, 16, 16], [8, 8, 16, 16], [0, 0, 0, 0]]])
    classes, weights = np.array([[1, 1, 0, 0]]), np.array([[0.0, 1, 1, 0]])
    groundtruth = _groundtruth(boxes, classes, weights)._replace(counts=tf.constant([3]))
    found = center_targets.assign(groundtruth, (HEIGHT, WIDTH), STRIDE, CLASSES, OVERLAP)
    maps = found.heat_maps.numpy()[0]
    assert maps[3, 3, 1] == 1 and np.all((1 - np.delete(maps[:6, :8, 1].ravel(), 3 * 8 + 3)) ** 4 < 1e-20)
    assert (maps == 1).sum() == 2 and not maps[6:, :, 1].any() and float(found.count) == 2
    np.testing.assert_allclose(maps[..., 0], _by_hand(boxes[0, 2:3], [0], [1])[..., 0], atol=1e-6)


def test_radius_by_hand() -> None:
    sizes = np.array([[49.92, 48.64], [1.0, 1.0], [0.0, 0.0], [0.0, 5.0], [3.0, 100.0]])
    for overlap in (0.1, 0.7, 0.95):
        expected = [_radius(*size, overlap) for size in sizes]
        np.testing.assert_allclose(center_targets.radius(tf.constant(sizes, tf.float32), overlap), expected, atol=1e-4)


def test_an_image_without_boxes_has_empty_maps() -> None:
    empty = _groundtruth(np.zeros((1, 5, 4)), np.zeros((1, 5)), np.zeros((1, 5)))
    found = center_targets.assign(empty, (HEIGHT, WIDTH), STRIDE, CLASSES, OVERLAP)
    assert not found.heat_maps.numpy().any() and float(found.count) == 1
    none = _groundtruth(np.zeros((1, 0, 4)), np.zeros((1, 0)), np.zeros((1, 0)))
    found = center_targets.assign(none, (HEIGHT, WIDTH), STRIDE, CLASSES, OVERLAP)
    assert found.heat_maps.shape == (1, HEIGHT, WIDTH, CLASSES) and not found.heat_maps.numpy().any()


def test_a_centre_on_the_last_edge_belongs_to_the_last_cell() -> None:
    edge = [[HEIGHT * STRIDE, WIDTH * STRIDE] * 2]
    found = center_targets.assign(
        _groundtruth(np.array([edge]), np.zeros((1, 1)), np.ones((1, 1))), (HEIGHT, WIDTH), STRIDE, CLASSES, OVERLAP
    )
    np.testing.assert_array_equal(found.cells, [[[HEIGHT - 1, WIDTH - 1]]])
    np.testing.assert_allclose(found.offsets, [[[1, 1]]])


def test_memory_does_not_grow_with_boxes_times_classes() -> None:
    """400 boxes and 600 classes on 64 x 64 cells would be 4 GB if each box had a map of each class."""
    random = np.random.default_rng(0)
    corners = random.uniform(0, 200, (1, 400, 2))
    boxes = np.concatenate([corners, corners + random.uniform(4, 50, (1, 400, 2))], axis=-1)
    crowd = _groundtruth(boxes, random.integers(600, size=(1, 400)), np.ones((1, 400)))
    assign = tf.function(lambda: center_targets.assign(crowd, (64, 64), STRIDE, 600, OVERLAP), autograph=False)
    graph = assign.get_concrete_function().graph
    assert not [op for op in graph.get_operations() if op.type in ("While", "StatelessWhile", "Map", "PyFunc")]
    largest = max(
        tensor.shape.num_elements() or 0 for op in graph.get_operations() for tensor in op.outputs if tensor.shape.rank
    )
    assert largest <= 600 * 64 * 64
    begun = time.monotonic()
    assert float(tf.reduce_max(assign().heat_maps)) == 1
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("jit_compile", [False, True])
def test_one_trace_works_for_every_batch(jit_compile: bool) -> None:
    boxes = np.array([[[2, 3, 30, 41.0]], [[8, 8, 40, 40]]])
    whole = _groundtruth(boxes, np.array([[0], [2]]), np.ones((2, 1)))

    @tf.function(autograph=False, jit_compile=jit_compile)
    def maps(groundtruth: Groundtruth) -> tf.Tensor:
        return center_targets.assign(groundtruth, (HEIGHT, WIDTH), STRIDE, CLASSES, OVERLAP).heat_maps

    np.testing.assert_allclose(
        maps(whole), np.stack([_by_hand(boxes[n], [c], [1]) for n, c in ((0, 0), (1, 2))]), atol=1e-5
    )
