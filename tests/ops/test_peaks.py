"""Peaks of heat maps and the boxes of cells, against numpy by hand."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from detection.ops import peaks


def _by_hand(scores: np.ndarray, window: int, count: int) -> list[tuple[float, int, int]]:
    """(score, class, cell) of one image, by descending score."""
    height, width, classes = scores.shape
    half, found = window // 2, []
    for y in range(height):
        for x in range(width):
            for k in range(classes):
                around = scores[max(y - half, 0) : y + half + 1, max(x - half, 0) : x + half + 1, k]
                if scores[y, x, k] >= around.max():
                    found.append((scores[y, x, k], k, y * width + x))
    return sorted(found, reverse=True)[:count]


def test_peaks_by_hand() -> None:
    scores = np.random.default_rng(0).uniform(0, 1, (2, 7, 9, 3)).astype("f4")
    for window in (1, 3, 5):
        found = peaks.find(tf.constant(scores), window, 10)
        for image in range(2):
            expected = _by_hand(scores[image], window, 10)
            np.testing.assert_allclose(found.scores[image], [score for score, *_ in expected])
            np.testing.assert_array_equal(found.classes[image], [class_ for _, class_, _ in expected])
            np.testing.assert_array_equal(found.cells[image], [cell for *_, cell in expected])


def test_equal_neighbours_are_all_peaks() -> None:
    scores = np.zeros((1, 4, 4, 2), "f4")
    scores[0, 1, 1, 0] = scores[0, 1, 2, 0] = 0.5
    scores[0, 2, 2, 1] = 0.9  # of another class
    scores[0, 3, 3, 1] = 0.8  # beside a higher one
    found = peaks.find(tf.constant(scores), 3, 5)
    np.testing.assert_allclose(found.scores, [[0.9, 0.5, 0.5, 0, 0]])
    np.testing.assert_array_equal(found.classes[0, :3], [1, 0, 0])
    np.testing.assert_array_equal(found.cells[0, :3], [10, 5, 6])


def test_more_rows_than_cells_are_padded() -> None:
    found = peaks.find(tf.fill([1, 1, 2, 1], 0.25), 3, 6)
    np.testing.assert_allclose(found.scores, [[0.25, 0.25, 0, 0, 0, 0]])
    assert found.cells.numpy().max() < 2 and not found.classes.numpy().any()


def test_boxes_by_hand() -> None:
    random = np.random.default_rng(1)
    sizes, offsets = random.uniform(-1, 4, (2, 3, 5, 2)).astype("f4"), random.uniform(0, 1, (2, 3, 5, 2)).astype("f4")
    found = peaks.boxes(tf.constant(sizes), tf.constant(offsets)).numpy().reshape(2, 3, 5, 4)
    for y in range(3):
        for x in range(5):
            center, half = np.array([y, x]) + offsets[:, y, x], np.maximum(sizes[:, y, x], 0) / 2
            expected = np.concatenate([center - half, center + half], -1)
            np.testing.assert_allclose(found[:, y, x], np.clip(expected, 0, [3, 5, 3, 5]), rtol=1e-5)
