"""Views by hand; and through a detector that really looks, every one of them gives back the place of what it saw."""

from __future__ import annotations

import numpy as np
import pytest

from detection.ensemble import views
from detection.ensemble.views import View
from detection.errors import ConfigError
from detection.evaluate.evaluator import ImageDetections

EVERYTHING = "full,corners:0.7,center:0.9,pad:1.5,flip"


def bright(image: np.ndarray) -> ImageDetections:
    """The bounding box of what is white in an image, if there is anything."""
    ys, xs = np.nonzero((image == 255).all(axis=2))
    if not len(ys):
        return ImageDetections(np.zeros([0, 4]), np.zeros(0), np.zeros(0, np.int64))
    return ImageDetections(
        np.array([[ys.min(), xs.min(), ys.max() + 1, xs.max() + 1]], np.float64), np.array([0.9]), np.array([0])
    )


def test_the_list_of_views():
    names = [view.name for view in views.parse("full,corners:0.6,flip")]
    corners = ["top_left-0.6", "top_right-0.6", "bottom_left-0.6", "bottom_right-0.6"]
    assert names == ["full", *corners, "full-flip", *(f"{corner}-flip" for corner in corners)]
    assert len(views.parse(views.MULTI_CROP)) == 10
    assert views.parse("full, center:.5,full") == (View("full"), View("center-0.5", 0.5))
    assert [view.name for view in views.parse("flip,full,flip,flip")] == ["full", "full-flip"]


@pytest.mark.parametrize("text", ["corner:0.5", "corners", "corners:1.2", "pad:0.5", "flip", "full;flip", "pad:9"])
def test_what_is_no_view_is_named(text):
    with pytest.raises(ConfigError, match=f"--multicrop={text}: .*such as full,corners:0.6,flip"):
        views.parse(text)


def test_windows_by_hand():
    by_name = {view.name: view.window(10, 20) for view in views.parse("full,corners:0.6,center:0.5,pad:2")}
    assert by_name == {
        "full": (0, 0, 10, 20),
        "top_left-0.6": (0, 0, 6, 12),
        "top_right-0.6": (0, 8, 6, 20),
        "bottom_left-0.6": (4, 0, 10, 12),
        "bottom_right-0.6": (4, 8, 10, 20),
        "center-0.5": (2, 5, 7, 15),
        "pad-2": (-5, -10, 15, 30),
    }


def test_pixels_by_hand():
    image = np.arange(2 * 4 * 3, dtype=np.uint8).reshape(2, 4, 3)
    np.testing.assert_array_equal(View("", mirrored=True).crop(image), image[:, ::-1])
    np.testing.assert_array_equal(View("", 0.5, (1, 1)).crop(image), image[1:, 2:])
    padded = View("", 2.0).crop(image)
    np.testing.assert_array_equal(padded[1:3, 2:6], image)
    assert padded.shape == (4, 8, 3) and (padded[0] == 128).all() and (padded[:, 6:] == 128).all()


def test_boxes_by_hand():
    """In the lower right crop of 6 x 12 pixels, which begins at (4, 8): a box at (1, 2) to (5, 6) is at (5, 10) to (9,
    14) of the image."""
    crop = View("", 0.6, (1, 1))
    found = ImageDetections(np.array([[1.0, 2, 5, 6]]), np.array([0.5]), np.array([2]))
    assert crop.to_image(found, 10, 20).boxes.tolist() == [[5, 10, 9, 14]]
    mirrored = crop._replace(mirrored=True).to_image(found, 10, 20)  # from the right: 12 - 6 = 6 to 12 - 2 = 10
    assert mirrored.boxes.tolist() == [[5, 14, 9, 18]]
    assert (mirrored.scores.tolist(), mirrored.classes.tolist()) == ([0.5], [2])


def test_boxes_at_inner_borders_are_parts_of_something():
    """The crop begins at (4, 8) and ends with the image: boxes at its upper or left border go, those at the image's own
    stay."""
    crop = View("", 0.6, (1, 1))
    rows = np.array([[0.0, 2, 5, 6], [1, 0.1, 5, 6], [1, 2, 6, 12], [1, 2, 7, 13]])
    back = crop.to_image(ImageDetections(rows, np.arange(4) / 4, np.zeros(4, int)), 10, 20)
    assert back.scores.tolist() == [0.5, 0.75]
    assert back.boxes.tolist() == [[5, 10, 10, 20], [5, 10, 10, 20]], "cut to the image"


def test_boxes_on_the_canvas_go():
    found = ImageDetections(
        np.array([[0.0, 0, 4, 9], [5, 10, 15, 30], [2, 8, 7, 20]]), np.array([0.9, 0.8, 0.7]), np.zeros(3, int)
    )
    back = View("", 2.0).to_image(found, 10, 20)
    assert back.boxes.tolist() == [[0, 0, 10, 20], [0, 0, 2, 10]]


@pytest.mark.parametrize("size", [(60, 80), (61, 83), (37, 200)])
def test_every_view_puts_back_exactly_what_it_saw(size):
    """Whatever crops and mirrors do, a rectangle that is whole in a view comes back to the pixel; one that is not does
    not come back at all."""
    random, seen = np.random.default_rng(1), 0
    for _ in range(20):
        image = random.integers(0, 200, (*size, 3)).astype(np.uint8)
        ymin, xmin = random.integers(0, size[0] - 12), random.integers(0, size[1] - 12)
        ymax, xmax = random.integers(ymin + 4, ymin + 12), random.integers(xmin + 4, xmin + 12)
        image[ymin:ymax, xmin:xmax] = 255
        for view in views.parse(EVERYTHING):
            window, back = view.window(*size), view.to_image(bright(view.crop(image)), *size)
            limits = view.uncut_window(*size)
            inside = ymin >= limits[0] and xmin >= limits[1] and ymax <= limits[2] and xmax <= limits[3]
            assert len(back.boxes) == inside, (view, window)
            if inside:
                seen += 1
                assert back.boxes[0].tolist() == [ymin, xmin, ymax, xmax], view
    assert seen > 60


def test_images_of_one_pixel():
    for view in views.parse(EVERYTHING):
        assert view.crop(np.zeros([1, 1, 3], np.uint8)).shape[0] >= 1
