"""Batches into images: units, padding, odd values, names."""

from __future__ import annotations

import numpy as np
import pytest
from absl import logging

from detection.evaluate.images import ImageNames, images_of, picture
from detection.types import Detections, Example, Groundtruth, ImageBatch, ImageInfo


def example(original=((200, 400), (50, 50))) -> Example:
    """Two images resized to 100 x 100 frames; the first fills only 50 rows of its frame."""
    flags = np.zeros((2, 3), bool)
    groundtruth = Groundtruth(
        boxes=np.array([[[5, 10, 25, 50], [0, 0, 50, 100], [0, 0, 0, 0]], [[0, 0, 0, 0]] * 3], np.float32),
        classes=np.array([[1, 2, 0], [0, 0, 0]], np.int32),
        weights=np.array([[1, 0, 0], [0, 0, 0]], np.float32),
        counts=np.array([2, 0], np.int32),
        is_crowd=flags,
        difficult=flags,
        areas=np.array([[3000, 0, 0], [0, 0, 0]], np.float32),
    )
    batch = ImageBatch(np.full((2, 100, 100, 3), 300.0, np.float32), np.array([[50, 100], [100, 100]], np.int32))
    return Example(batch, groundtruth, ImageInfo(np.array([b"a", "ü".encode()]), np.array(original, np.int32)))


def detections(boxes, scores, counts) -> Detections:
    boxes, scores = np.asarray(boxes, np.float32), np.asarray(scores, np.float32)
    return Detections(boxes, scores, np.ones(scores.shape, np.int32), np.asarray(counts), None, None)


NONE = detections(np.zeros((2, 1, 4)), np.zeros((2, 1)), [0, 0])


def test_boxes_become_pixels_of_the_original_image():
    found = detections([[[0.1, 0.1, 0.5, 0.5], [0, 0, 1, 1]], [[0, 0, 0, 0]] * 2], [[0.9, 0.1], [0, 0]], [1, 0])
    first, second = images_of(example(), found)
    assert (first.source_id, second.source_id) == ("a", "ü")
    np.testing.assert_allclose(first.groundtruth.boxes, [[20, 40, 100, 200], [0, 0, 200, 400]])
    np.testing.assert_allclose(first.detections.boxes, [[20, 40, 100, 200]], rtol=1e-6)
    assert first.groundtruth.areas.tolist() == [3000.0, 80000.0], "an area not given is that of the box"
    assert first.groundtruth.is_crowd.tolist() == [False, True], "weight 0: neither learnt nor punished"
    assert len(second.groundtruth.boxes) == len(second.detections.boxes) == 0


def test_marks_of_open_images():
    plain = next(images_of(example(), NONE)).groundtruth
    assert plain.group_of == () and plain.checked is None
    batch = example()
    marks = {"group_of": np.array([[False, True, True]] * 2), "checked": np.array([[False, True, True], [False] * 3])}
    first, second = images_of(batch._replace(groundtruth=batch.groundtruth._replace(**marks)), NONE)
    assert first.groundtruth.group_of.tolist() == [False, True] and first.groundtruth.checked.tolist() == [1, 2]
    assert second.groundtruth.group_of.tolist() == [] and second.groundtruth.checked.tolist() == []
    kept = first.groundtruth.rows(np.array([False, True]))
    assert kept.group_of.tolist() == [True] and kept.classes.tolist() == [2] and kept.checked.tolist() == [1, 2]


def test_detections_are_cut_to_the_image_and_those_on_padding_only_go():
    boxes = [[0.5, 0.5, 1.5, 1.2], [1.2, 0.1, 1.9, 0.4], [-0.5, -0.5, 0.5, 0.5], [0.2, 0.2, 0.2, 0.9]]
    first, _ = images_of(example(), detections([boxes, boxes], [[0.9, 0.8, 0.7, 0.6]] * 2, [4, 0]))
    np.testing.assert_allclose(first.detections.boxes, [[100, 200, 200, 400], [0, 0, 100, 200]])
    np.testing.assert_allclose(first.detections.scores, [0.9, 0.7])


def test_numbers_that_are_none_are_left_out():
    nan = float("nan")
    boxes = [[nan, 0, 1, 1], [0, 0, 1, 1], [0, 0, float("inf"), 1]]
    first, second = images_of(example(), detections([boxes, boxes], [[0.9, nan, 0.8], [0.9, 0.7, 0.8]], [3, 3]))
    assert len(first.detections.boxes) == 0
    np.testing.assert_allclose(second.detections.scores, [0.7])


def test_rows_without_an_image_are_skipped():
    assert [image.row for image in images_of(example(original=((200, 400), (0, 0))), NONE)] == [0]


def test_names_are_made_unique_and_told(monkeypatch):
    said = []
    monkeypatch.setattr(logging, "warning", lambda text, *values: said.append(text % values))
    names = ImageNames()
    assert [names.unique(id_) for id_ in ("a", "", "a", "b", "a", "", "a#2")] == [
        "a",
        "image-2",
        "a#2",
        "b",
        "a#3",
        "image-6",
        "a#2#2",
    ]
    names.warn()
    assert len(said) == 2 and "empty in 2" in said[0] and "3 evaluated records repeat" in said[1] and "'a'" in said[1]
    said.clear()
    ImageNames().warn()
    assert not said


@pytest.mark.parametrize(
    ("original", "size", "scale"),
    [((200, 400), (200, 400), 1.0), ((3000, 6000), (512, 1024), 1024 / 6000), ((1, 1), (1, 1), 1.0)],
)
def test_pictures_have_the_proportions_of_the_original(original, size, scale):
    batch = example(original=(original, (50, 50)))
    pixels, factor = picture(batch, next(images_of(batch, NONE)))
    assert pixels.shape == (*size, 3) and pixels.dtype == np.uint8 and pixels.max() == 255
    assert factor == pytest.approx(scale)
