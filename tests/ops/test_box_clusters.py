"""Clusters of box sizes, and how anchors cover boxes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from detection.ops import anchor_coverage, box_clusters
from detection.ops.anchors import FlexibleAnchors, GridAnchors, SsdAnchors
from detection.proposals.recall import best_ious


def test_ious_of_boxes_with_one_centre():
    ious = box_clusters.centred_ious(np.array([[10.0, 20], [5, 5]]), np.array([[10.0, 20], [20, 10], [10, 10]]))
    np.testing.assert_allclose(ious, [[1, 100 / 300, 0.5], [25 / 200, 25 / 200, 0.25]])


def test_clusters_find_groups_of_boxes_however_few_are_in_one():
    rng = np.random.default_rng(3)
    groups = {(12, 30): 500, (100, 90): 40, (200, 400): 7}
    sizes = np.concatenate([rng.normal(1, 0.04, (number, 2)) * size for size, number in groups.items()])
    for seed in range(5):
        found = box_clusters.cluster_sizes(sizes, 3, seed)
        np.testing.assert_allclose(found, list(groups), rtol=0.05)
    np.testing.assert_array_equal(found, box_clusters.cluster_sizes(sizes, 3, seed))


def test_more_clusters_than_boxes():
    found = box_clusters.cluster_sizes(np.array([[10.0, 20]]), 3)
    np.testing.assert_allclose(found, [[10, 20]] * 3)
    np.testing.assert_allclose(box_clusters.cluster_values(np.array([2.0, 8]), 3), [2, 8, 8])


@pytest.mark.parametrize("count", [1, 2, 3])
def test_clusters_of_numbers_are_the_best_ones(count):
    """Compared with every partition of the sorted numbers."""
    values = np.array([0.3, 0.33, 0.5, 1.0, 1.1, 2.0, 2.2, 2.1, 6.0])
    logs = np.sort(np.log(values))

    def parts(cuts):
        return np.split(logs, cuts)

    cuts = min(
        itertools.combinations(range(1, len(logs)), count - 1),
        key=lambda cuts: sum(((part - part.mean()) ** 2).sum() for part in parts(list(cuts))),
    )
    expected = [np.exp(part.mean()) for part in parts(list(cuts))]
    np.testing.assert_allclose(box_clusters.cluster_values(values, count), expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("generator", "maps"),
    [
        (GridAnchors(scales=(0.1, 0.3), aspect_ratios=(0.5, 1.0), base=(256, 256), stride=(16, 16)), [(13, 20)]),
        (SsdAnchors.evenly_scaled(num_layers=3, aspect_ratios=(1.0, 2.0)), [(13, 20), (7, 10), (1, 1)]),
        (FlexibleAnchors(()), []),
    ],
    ids=["grid", "ssd", "none"],
)
def test_coverage_is_that_of_comparing_all_with_all(generator, maps):
    rng = np.random.default_rng(1)
    corners = rng.uniform(0, (150, 250), (200, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(4, 120, (200, 2))], axis=1)
    if not maps:
        assert anchor_coverage.best_ious(np.zeros([0, 4]), [], boxes).tolist() == [0] * 200
        return
    anchors = np.asarray(generator(maps, (208, 320)))
    counted = [(*shape, each) for shape, each in zip(maps, generator.num_per_location, strict=True)]
    np.testing.assert_allclose(
        anchor_coverage.best_ious(anchors, counted, boxes), best_ious(boxes, anchors)[:, -1], atol=1e-6
    )
    whole = anchors[(anchors[:, :2] >= 0).all(axis=1) & (anchors[:, 2:] <= (208, 320)).all(axis=1)]
    np.testing.assert_allclose(
        anchor_coverage.best_ious(anchors, counted, boxes, inside=(208, 320)), best_ious(boxes, whole)[:, -1], atol=1e-6
    )
