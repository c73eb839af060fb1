"""Boxes around segmentations: those of COCO's own tools, and no trust in what a file holds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pycocotools import mask as coco_mask

from detection.data.convert import segmentation


def plain(mask: np.ndarray) -> dict:
    """Run lengths of a mask, column by column, from outside."""
    flat = mask.T.reshape(-1)
    changes = np.flatnonzero(np.diff(np.concatenate([[0], flat])))
    return {"size": list(mask.shape), "counts": np.diff(np.concatenate([[0], changes, [flat.size]])).tolist()}


@settings(max_examples=200, deadline=None)
@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 1)))
def test_masks_have_the_boxes_of_cocos_tools(mask):
    packed = coco_mask.encode(np.asfortranarray(mask))
    packed = {"size": list(mask.shape), "counts": packed["counts"].decode()}
    for runs in (packed, plain(mask)):
        if not mask.any():
            with pytest.raises(ValueError, match="empty mask"):
                segmentation.corners(runs, None)
            continue
        x, y, width, height = coco_mask.toBbox(coco_mask.frPyObjects(plain(mask), *mask.shape))
        assert segmentation.corners(runs, mask.shape[::-1]) == (x, y, x + width, y + height)


def test_a_large_packed_mask():
    mask = np.zeros((400, 700), np.uint8)
    mask[37:311, 5:640:3] = 1
    packed = coco_mask.encode(np.asfortranarray(mask))
    runs = {"size": [400, 700], "counts": packed["counts"].decode()}
    assert segmentation.corners(runs, (700, 400)) == (5, 37, 639, 311)


@pytest.mark.parametrize(
    "polygons",
    [
        [[10, 20, 30, 20, 30, 40.5]],
        [10, 20, 30, 20, 30, 40.5],
        [[10, 20], [30, 40.5]],
        [[10, 20, 12, 22, 11, 21], [30, 40.5, 29, 40]],
        [[], [10, 20, 30, 40.5]],
    ],
)
def test_polygons_however_they_are_nested(polygons):
    assert segmentation.corners(polygons, None) == (10, 20, 30, 40.5)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (None, "no segmentation"),
        ([], "no segmentation"),
        ("text", "no segmentation"),
        ([[1, 2, 3]], "neither polygons"),
        ([[1, 2, 3, "4"]], "neither polygons"),
        ([[1, 2, 3, float("nan")]], "neither polygons"),
        ([[1, 2, 3, 10**400]], "neither polygons"),
        ([{}], "neither polygons"),
        ([1, 2], "fewer than two points"),
        ({}, "without a size"),
        ({"size": [4], "counts": []}, "without a size"),
        ({"size": [10**30, 1], "counts": []}, "without a size"),
        ({"size": [4, 4]}, "without counts"),
        ({"size": [4, 4], "counts": [1, -1, 16]}, "without counts"),
        ({"size": [4, 4], "counts": [1, 10**400]}, "without counts"),
        ({"size": [4, 4], "counts": [1, 2]}, "3 pixels for a mask of 4x4"),
        ({"size": [4, 4], "counts": "\x00"}, "damaged"),
        ({"size": [4, 4], "counts": "o" * 50}, "damaged"),
        ({"size": [4, 4], "counts": "\ud800"}, "damaged"),
        ({"size": [4, 4], "counts": "P"}, "truncated"),
        ({"size": [5, 6], "counts": [1, 29]}, "mask of 6x5, but the image has 4x4"),
    ],
)
def test_what_is_no_segmentation(value, says):
    with pytest.raises(ValueError, match=says):
        segmentation.corners(value, (4, 4))
