"""Drawings: what must be there, what must not be touched, and odd sizes, names and boxes."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from detection.evaluate.drawing import draw_boxes, ink_on, shorten
from detection.evaluate.evaluator import ImageDetections, ImageGroundtruth
from detection.evaluate.fonts import font_for
from detection.evaluate.visualize import (
    Style,
    color_of,
    draw_detections,
    draw_groundtruth,
    enlarge,
    mosaic,
    side_by_side,
)

GREY = np.full((240, 320, 3), 128, np.uint8)
NAMES = {0: "cell", 1: "Grüße", 2: "細胞"}


def found(boxes, scores, classes) -> ImageDetections:
    return ImageDetections(np.asarray(boxes, float).reshape(-1, 4), np.asarray(scores, float), np.asarray(classes, int))


def truth(boxes, classes, crowd) -> ImageGroundtruth:
    boxes = np.asarray(boxes, float).reshape(-1, 4)
    return ImageGroundtruth(
        boxes, np.asarray(classes, int), np.asarray(crowd, bool), np.zeros(len(boxes), bool), np.zeros(len(boxes))
    )


def near(picture: np.ndarray, color: tuple[int, int, int], tolerance: int = 40) -> np.ndarray:
    return (np.abs(picture.astype(int) - color) <= tolerance).all(axis=-1)


def test_the_line_lies_on_the_box_in_the_colour_of_the_class_and_the_rest_stays():
    image = np.random.default_rng(0).integers(0, 255, (240, 320, 3), np.uint8)
    before = image.copy()
    picture = draw_detections(image, found([[60, 80, 180, 240]], [0.9], [0]), NAMES)
    assert picture.shape == image.shape and picture.dtype == np.uint8
    np.testing.assert_array_equal(image, before)
    color = color_of(0)
    for row, column in ((60, slice(150, 230)), (179, slice(90, 230)), (slice(90, 170), 80), (slice(90, 170), 239)):
        assert (picture[row, column] == color).all()
    np.testing.assert_array_equal(picture[200:], image[200:])
    np.testing.assert_array_equal(picture[:, 250:], image[:, 250:])


def test_score_and_number_of_boxes_are_limited_to_the_best():
    boxes = [[20, 20, 60, 60], [100, 20, 140, 60], [180, 20, 220, 60]]
    detections = found(boxes, [0.6, 0.9, 0.3], [0, 1, 2])
    all_but_weak = draw_detections(GREY, detections, NAMES)
    assert (
        near(all_but_weak, color_of(0), 10).any()
        and near(all_but_weak, color_of(1), 10).any()
        and not near(all_but_weak, color_of(2), 10).any()
    )
    best = draw_detections(GREY, detections, NAMES, Style(max_boxes=1))
    assert near(best, color_of(1), 10).any() and not near(best, color_of(0), 10).any()
    np.testing.assert_array_equal(draw_detections(GREY, detections, NAMES, Style(max_boxes=0)), GREY)
    np.testing.assert_array_equal(draw_detections(GREY, detections, NAMES, Style(min_score=0.95)), GREY)


def test_names_and_scores_can_be_left_out():
    detections = found([[100, 100, 200, 200]], [0.9], [0])
    styles = Style(), Style(scores=False), Style(labels=False, scores=False)
    full, no_score, bare = (draw_detections(GREY, detections, NAMES, style) for style in styles)
    tags = [int(near(picture[:98], color_of(0), 10).sum()) for picture in (full, no_score, bare)]
    assert tags[0] > tags[1] > tags[2] == 0


@pytest.mark.parametrize("shape", [(1, 1), (1, 200), (7, 5), (16, 16), (2000, 30)])
def test_tiny_and_narrow_images(shape):
    image = np.full((*shape, 3), 200, np.uint8)
    box = [[0, 0, shape[0], shape[1]]]
    assert draw_detections(image, found(box, [0.9], [1]), NAMES).shape == image.shape
    sheet = side_by_side(image, found(box, [0.9], [1]), truth(box, [1], [False]), NAMES)
    assert max(sheet.shape[:2]) >= 320


@pytest.mark.parametrize(
    "box", [[-50, -50, 1000, 1000], [300, 400, 500, 600], [50, 50, 50, 50], [50, 50, 50.2, 90], [-30, -30, -10, -10]]
)
def test_boxes_outside_and_empty(box):
    assert draw_detections(GREY, found([box], [0.9], [0]), NAMES).shape == GREY.shape


@pytest.mark.parametrize("name", ["细胞 細胞", "Größe", "клетка", "خلية", "🦠", "", "a\nb\tc", "x" * 500, "\u0000"])
def test_any_name_can_be_written(name):
    for boxes in ([[100, 100, 200, 200]], [[0, 0, 240, 320]]):
        assert draw_detections(GREY, found(boxes, [0.9], [0]), {0: name}).shape == GREY.shape


def test_unknown_classes_and_grey_or_read_only_images():
    image = GREY.copy()
    image.setflags(write=False)
    picture = draw_detections(image, found([[10, 10, 50, 50]], [0.9], [999]), NAMES)
    assert not np.array_equal(picture, image)
    assert draw_boxes(GREY[::2, ::-1], np.array([[1, 1, 9, 9]]), [(255, 0, 0)], ["x"]).shape == (120, 320, 3)


def test_ignored_objects_are_dashed():
    full, dashed = (draw_groundtruth(GREY, truth([[60, 60, 180, 180]], [0], [crowd]), NAMES) for crowd in (False, True))
    for row, column in ((179, slice(70, 170)), (slice(70, 170), 60), (slice(70, 170), 179)):
        assert near(full[row, column], color_of(0)).all() and 0.3 < near(dashed[row, column], color_of(0)).mean() < 0.8


def test_side_by_side_has_both_and_the_truth_over_detections_when_asked():
    detections, objects = found([[50, 50, 150, 150]], [0.9], [0]), truth([[60, 60, 160, 200]], [1], [False])
    sheet = side_by_side(GREY, detections, objects, NAMES)
    middle = sheet.shape[1] // 2
    assert near(sheet[:, :middle], color_of(0), 10).any() and not near(sheet[:, :middle], color_of(1), 10).any()
    assert near(sheet[:, middle:], color_of(1), 10).any() and not near(sheet[:, middle:], color_of(0), 10).any()
    overlaid = side_by_side(GREY, detections, objects, NAMES, Style(groundtruth_color="Lime"))
    assert near(overlaid[:, :middle], (0, 255, 0), 10).any() and not near(sheet, (0, 255, 0), 10).any()
    assert side_by_side(GREY, found([], [], []), truth([], [], []), NAMES).shape == sheet.shape


def test_mosaic_places_pictures_in_reading_order():
    pictures = [np.full((40, 60, 3), value, np.uint8) for value in (10, 60, 110, 160, 210)]
    sheet = mosaic(pictures, columns=2)
    gap = 4
    assert sheet.shape == (3 * 44 + gap, 2 * 64 + gap, 3)
    assert (
        sheet[gap + 20, gap + 30, 0] == 10
        and sheet[gap + 20, gap + 64 + 30, 0] == 60
        and sheet[gap + 44 + 20, gap + 30, 0] == 110
    )
    assert (sheet[gap + 2 * 44 : gap + 2 * 44 + 40, gap + 64 :] == 255).all()
    mixed = mosaic(
        [GREY, np.zeros((500, 20, 3), np.uint8)],
        cell=(100, 100),
        captions=["first", "a very long caption that cannot fit " * 3],
    )
    assert mixed.shape[1] < 250
    assert mosaic([GREY]).shape[0] >= 240


def test_colours_differ_and_text_can_be_read_on_them():
    colors = [color_of(class_) for class_ in range(90)]
    assert len(set(colors)) == 90 and all(0 <= part <= 255 for color in colors for part in color)
    assert ink_on((255, 255, 0)) != ink_on((0, 0, 90))


def test_shortening_and_fonts():
    width = font_for("abcdefghij", 20).getlength("abcdefghij")
    assert shorten("abcdefghij", 20, width) == "abcdefghij"
    assert shorten("abcdefghij", 20, width / 2).endswith("…") and shorten("abcdefghij", 20, 1) == ""
    assert enlarge(np.zeros((10, 30, 3), np.uint8), 320)[0].shape == (110, 330, 3)


def test_real_pictures(shared, tmp_path):
    path = next((shared / "data" / "bccd" / "JPEGImages").glob("*.jpg"), None)
    if path is None:
        pytest.skip("no blood cells here")
    image = np.asarray(Image.open(path).convert("RGB"))
    picture = draw_groundtruth(image, truth([[100, 100, 300, 300]], [0], [False]), NAMES)
    assert (picture != image).any(axis=-1).mean() < 0.2
