"""How well anchors cover boxes: for each box the highest IoU with any anchor, without comparing it with all of them.

Of one shape the anchor whose centre is nearest to the box's, row by row and column by column, has the highest IoU. So a
box is compared with S anchors of a map instead of h * w * S.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def best_ious(
    anchors: np.ndarray,
    maps: Sequence[tuple[int, int, int]],
    boxes: np.ndarray,
    inside: tuple[int, int] | None = None,
) -> np.ndarray:
    """The highest IoU of each box with any anchor, float64 [n].

    Args:
        anchors: float [A, 4], in the order of `ops.anchors`: map, row, column, shape.
        maps: rows, columns and shapes of each map.
        boxes: float [n, 4], in the same pixels.
        inside: height and width of the image: anchors that cross its border do not count, as in the training of region
            proposal networks; None: all count.
    """
    boxes = np.asarray(boxes, np.float64)
    best = np.zeros(len(boxes))
    start = 0
    for rows, columns, shapes in maps:
        grid = np.asarray(anchors[start : start + rows * columns * shapes], np.float64)
        start += rows * columns * shapes
        grid = grid.reshape(rows, columns, shapes, 4)
        for shape in range(shapes):
            nearest = _nearest(grid[:, :, shape], boxes, inside)
            if nearest is not None:
                best = np.maximum(best, _ious(nearest, boxes))
    return best


def _nearest(grid: np.ndarray, boxes: np.ndarray, inside: tuple[int, int] | None) -> np.ndarray | None:
    """For each box the anchor [n, 4] of the grid [rows, columns, 4] with the nearest centre; None if none counts."""
    sides = []
    for axis, cells in ((0, grid[:, 0]), (1, grid[0, :])):
        low, high = cells[:, axis], cells[:, axis + 2]
        usable = np.arange(len(cells))
        if inside is not None:
            usable = usable[(low >= 0) & (high <= inside[axis])]
            if not len(usable):
                return None
        centres = (low + high)[usable] / 2
        wanted = (boxes[:, axis] + boxes[:, axis + 2]) / 2
        place = np.clip(np.searchsorted(centres, wanted), 1, max(len(centres) - 1, 1))
        before = np.minimum(place - 1, len(centres) - 1)
        after = np.minimum(place, len(centres) - 1)
        closer = np.where(np.abs(centres[before] - wanted) <= np.abs(centres[after] - wanted), before, after)
        chosen = usable[closer]
        sides.append((low[chosen], high[chosen]))
    return np.stack([sides[0][0], sides[1][0], sides[0][1], sides[1][1]], axis=1)


def _ious(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """IoU of box i with other i, float64 [n]."""
    lengths = np.minimum(boxes[:, 2:], others[:, 2:]) - np.maximum(boxes[:, :2], others[:, :2])
    shared = np.maximum(lengths, 0).prod(axis=1)
    areas = [np.maximum(each[:, 2:] - each[:, :2], 0).prod(axis=1) for each in (boxes, others)]
    union = areas[0] + areas[1] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
