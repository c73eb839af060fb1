"""Cells of tutorials that draw."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

import detection.odapi  # noqa: F401
from detection.errors import ConfigError

from object_detection.utils import visualization_utils as viz_utils  # isort: skip

CATEGORY_INDEX = {1: {"id": 1, "name": "dog"}, 2: {"id": 2, "name": "kite"}}
BOXES = np.array([[0.2, 0.2, 0.6, 0.6], [0.5, 0.5, 0.9, 0.9]])


@pytest.fixture
def image_np() -> np.ndarray:
    return np.full((120, 160, 3), 90, np.uint8)


def _changed(image: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero((image != 90).any(axis=-1))
    return rows.min(), columns.min(), rows.max(), columns.max()


def test_boxes_are_drawn_on_a_copy_as_the_inference_tutorial_does(image_np):
    detections = {"detection_boxes": BOXES, "detection_classes": np.array([1, 2]), "detection_scores": [0.9, 0.2]}
    image_np_with_detections = image_np.copy()
    viz_utils.visualize_boxes_and_labels_on_image_array(
        image_np_with_detections,
        detections["detection_boxes"],
        detections["detection_classes"],
        detections["detection_scores"],
        CATEGORY_INDEX,
        use_normalized_coordinates=True,
        max_boxes_to_draw=200,
        min_score_thresh=0.30,
        agnostic_mode=False,
    )
    assert (image_np == 90).all()
    top, left, bottom, right = _changed(image_np_with_detections)
    # The first box alone, its line and its label above it.
    assert 21 <= left <= 32 and 72 <= bottom <= 78 and top < 24 and 94 <= right <= 110


def test_pixels_fractions_and_how_many(image_np):
    in_pixels, in_fractions = image_np.copy(), image_np.copy()
    arguments = (np.array([1, 2]), np.array([0.9, 0.8]), CATEGORY_INDEX)
    draw = viz_utils.visualize_boxes_and_labels_on_image_array
    assert draw(in_pixels, BOXES * [120, 160, 120, 160], *arguments) is in_pixels
    draw(in_fractions, BOXES, *arguments, use_normalized_coordinates=True)
    np.testing.assert_array_equal(in_pixels, in_fractions)
    first = draw(image_np.copy(), BOXES, *arguments, use_normalized_coordinates=True, max_boxes_to_draw=1)
    assert _changed(in_pixels)[2:] > _changed(first)[2:]
    hidden = draw(image_np.copy(), BOXES, *arguments, use_normalized_coordinates=True, skip_boxes=True)
    assert (hidden == 90).all()


def test_groundtruth_has_one_colour_and_no_label(image_np):
    drawn = viz_utils.visualize_boxes_and_labels_on_image_array(
        image_np, BOXES, np.array([1, 2]), None, CATEGORY_INDEX, use_normalized_coordinates=True
    )
    assert (drawn[30:66, 32] < 30).all() and _changed(drawn)[0] >= 20


def test_a_class_that_nobody_named(image_np):
    viz_utils.visualize_boxes_and_labels_on_image_array(
        image_np, BOXES, np.array([7, 7]), np.array([1, 1]), {}, use_normalized_coordinates=True
    )
    assert (image_np != 90).any()


def test_masks_are_refused_by_name(image_np):
    with pytest.raises(ConfigError, match="instance_masks: not supported"):
        viz_utils.visualize_boxes_and_labels_on_image_array(
            image_np, BOXES, np.array([1, 1]), None, {}, instance_masks=np.zeros([2, 120, 160])
        )


def test_single_boxes_and_files(image_np, tmp_path):
    viz_utils.draw_bounding_box_on_image_array(image_np, 0.2, 0.2, 0.6, 0.6, color="red", display_str_list=["dog"])
    assert tuple(image_np[50, 32]) == (255, 0, 0)
    viz_utils.draw_bounding_boxes_on_image_array(image_np, BOXES[1:], color="lime")
    assert tuple(image_np[80, 80]) == (0, 255, 0)
    viz_utils.save_image_array_as_png(image_np, tmp_path / "a.png")
    np.testing.assert_array_equal(Image.open(tmp_path / "a.png"), image_np)
    np.testing.assert_array_equal(Image.open(io.BytesIO(viz_utils.encode_image_array_as_png_str(image_np))), image_np)
