"""Clusters of box sizes, from which anchors are made: k-means with 1 - IoU as the distance.

The survey's first detector, MultiBox, takes its anchors from clusters of the groundtruth boxes (Huang et al. 2017,
section 2). Boxes are compared with their centres on each other, as in Redmon and Farhadi 2017, section 2:

    d(box, centroid) = 1 - IoU(box, centroid)

numpy only: it runs once, before training.
"""

from __future__ import annotations

import numpy as np

_MOST_BOXES = 20_000  # k-means is run on a random sample of more boxes
_ROUNDS = 100
_RESTARTS = 8  # k-means ends at a local optimum; the best of so many is kept


def centred_ious(sizes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """IoU of boxes with the same centre, float64 [n, m].

    Args:
        sizes: heights and widths, [n, 2], positive.
        others: [m, 2].
    """
    shared = np.minimum.outer(sizes[:, 0], others[:, 0]) * np.minimum.outer(sizes[:, 1], others[:, 1])
    return shared / (np.add.outer(sizes.prod(axis=1), others.prod(axis=1)) - shared)


def cluster_sizes(sizes: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """The centres of `count` clusters of box sizes, by ascending area.

    The first centres are drawn as in k-means++ (Arthur and Vassilvitskii 2007), so that small groups get one.

    Args:
        sizes: heights and widths, float [n, 2], positive, n >= 1.
        count: number of clusters.
        seed: of the draw; the same one gives the same clusters.

    Returns:
        float64 [count, 2]; with fewer distinct boxes than clusters some are equal.
    """
    rng = np.random.default_rng(seed)
    sizes = np.asarray(sizes, np.float64)
    if len(sizes) > _MOST_BOXES:
        sizes = sizes[rng.choice(len(sizes), _MOST_BOXES, replace=False)]
    best, best_iou = np.zeros([0, 2]), -1.0
    for _ in range(_RESTARTS):
        centres = _k_means(sizes, count, rng)
        mean_iou = centred_ious(sizes, centres).max(axis=1).mean()
        if mean_iou > best_iou + 1e-12:
            best, best_iou = centres, mean_iou
    return best[np.argsort(best.prod(axis=1), kind="stable")]


def _k_means(sizes: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """The centres, float64 [count, 2], of one run."""
    centres = sizes[rng.integers(len(sizes))][np.newaxis]
    while len(centres) < count:
        distances = (1 - centred_ious(sizes, centres).max(axis=1)) ** 2
        total = distances.sum()
        chosen = rng.choice(len(sizes), p=distances / total) if total > 0 else rng.integers(len(sizes))
        centres = np.concatenate([centres, sizes[chosen][np.newaxis]])
    nearest = np.full(len(sizes), -1)
    for _ in range(_ROUNDS):
        assigned = centred_ious(sizes, centres).argmax(axis=1)
        if np.array_equal(assigned, nearest):
            break
        nearest = assigned
        # The geometric mean: a box half as large and one twice as large have the same IoU with it.
        centres = np.array(
            [
                np.exp(np.log(sizes[nearest == number]).mean(axis=0)) if (nearest == number).any() else centres[number]
                for number in range(count)
            ]
        )
    return centres


def cluster_values(values: np.ndarray, count: int) -> np.ndarray:
    """The centres of `count` clusters of positive numbers by their logarithms, ascending: scales, aspect ratios.

    Exact: the partition of the sorted numbers with the least sum of squares, by dynamic programming over at most 500
    quantiles.

    Args:
        values: float [n], positive, n >= 1.
        count: number of clusters.
    """
    logs = np.sort(np.log(np.asarray(values, np.float64)))
    if len(logs) > 500:
        logs = np.quantile(logs, (np.arange(500) + 0.5) / 500)
    size = len(logs)
    count_used = min(count, size)
    sums, squares = (np.concatenate([[0.0], np.cumsum(power)]) for power in (logs, logs**2))

    def cost(first: np.ndarray, end: int) -> np.ndarray:
        """Sum of squared distances from the mean of logs[first:end]."""
        return squares[end] - squares[first] - (sums[end] - sums[first]) ** 2 / (end - first)

    best = np.full([count_used + 1, size + 1], np.inf)
    best[0, 0] = 0.0
    cut = np.zeros([count_used + 1, size + 1], np.int64)
    for clusters in range(1, count_used + 1):
        for end in range(clusters, size + 1):
            firsts = np.arange(clusters - 1, end)
            totals = best[clusters - 1, firsts] + cost(firsts, end)
            cut[clusters, end] = firsts[totals.argmin()]
            best[clusters, end] = totals.min()
    centres, end = [], size
    for clusters in range(count_used, 0, -1):
        first = cut[clusters, end]
        centres.append(np.exp((sums[end] - sums[first]) / (end - first)))
        end = first
    return np.array(sorted(centres + [centres[0]] * (count - count_used)))
