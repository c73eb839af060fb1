"""Boxes of images that EXIF turns: found again on the pixels, which know nothing of the formula."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from detection.data.convert import boxes
from detection.data.convert.source import AnnotatedBox, AnnotatedImage

STORED = (100, 80)  # width, height
SHOWN = (80, 100)
MARK = (10, 60, 30, 78)  # xmin, ymin, xmax, ymax of what is annotated, as shown


def check(
    declared,
    *corners,
    orientation: int = 6,
    repair: bool = True,
    size: tuple[int, int] = STORED,
    fractions: bool = False,
):
    annotated = tuple(
        AnnotatedBox(f"object {number}", "dog", *values) for number, values in enumerate(corners, start=1)
    )
    image = AnnotatedImage("a.xml", Path("a.jpg"), "a.jpg", "a.jpg", declared, annotated, len(annotated))
    found, faults = boxes.check(image, *size, {"dog": 1}, "map.pbtxt", repair, orientation, fractions)
    return [
        tuple(
            round(value, 6)
            for value in (box.xmin * size[0], box.ymin * size[1], box.xmax * size[0], box.ymax * size[1])
        )
        for box in found
    ], faults


def where_shown(orientation: int, mark: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """The stored box of what Pillow shows at `mark`."""
    width, height = SHOWN if orientation >= 5 else STORED
    pixels = np.zeros((STORED[1], STORED[0], 3), np.uint8)
    pixels[..., 0], pixels[..., 1] = (
        np.arange(STORED[0]),
        np.arange(STORED[1])[:, None],
    )  # Each says where it is stored.
    exif = Image.Exif()
    exif[0x0112] = orientation
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", exif=exif)
    shown = np.asarray(ImageOps.exif_transpose(Image.open(stream)))
    assert shown.shape == (height, width, 3)
    columns, rows, _ = np.moveaxis(shown[mark[1] : mark[3], mark[0] : mark[2]].astype(int), 2, 0)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_boxes_turn_with_the_image(orientation):
    (found,), (fault,) = check(SHOWN, MARK, orientation=orientation)
    assert found == where_shown(orientation, MARK)
    assert (
        fault.kind == "size_mismatch"
        and fault.action == "repaired: boxes rotated with the image"
        and f"orientation {orientation}" in fault.value
    )


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_scaled_boxes_turn_too(orientation):
    (found,), _ = check((160, 200), tuple(2 * value for value in MARK), orientation=orientation)
    assert found == where_shown(orientation, MARK)


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_unless_asked_the_image_is_left_out(orientation):
    _, (fault,) = check(SHOWN, MARK, orientation=orientation, repair=False)
    assert fault.kind == "size_mismatch" and fault.bad and "--on_bad=fix rotates the boxes back" in fault.value


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("repair", [False, True])
def test_boxes_of_the_stored_size_stay(orientation, repair):
    found, faults = check(STORED, (10, 20, 30, 50), orientation=orientation, repair=repair)
    assert found == [(10, 20, 30, 50)] and not faults


@pytest.mark.parametrize("declared", [None, STORED])
def test_boxes_that_fit_only_the_shown_image_are_of_it(declared):
    low = (10, 60, 30, 98)  # deeper than the stored image is high
    found, (fault,) = check(declared, low, (1, 1, 9, 9))
    assert found[0] == where_shown(6, low) and "fit it when rotated by EXIF orientation 6" in fault.value
    _, (fault,) = check(declared, low, repair=False)
    assert fault.bad and fault.kind == "size_mismatch"


def test_inverted_boxes_stay_inverted_where_they_are_turned():
    (found,), faults = check(SHOWN, (MARK[2], MARK[1], MARK[0], MARK[3]))
    assert found == where_shown(6, MARK) and "repaired: swapped" in [fault.action for fault in faults]


def test_other_sizes_of_a_turned_image_are_not_guessed():
    for declared in ((300, 80), (80, 300)):
        _, (fault,) = check(declared, (1, 1, 9, 9))
        assert fault.bad and "boxes do not fit it" in fault.value


def test_squares_say_nothing_and_boxes_stay():
    found, faults = check((80, 80), (10, 20, 30, 50), size=(80, 80), orientation=6)
    assert found == [(10, 20, 30, 50)] and not faults
    found, (fault,) = check((160, 160), (10, 20, 30, 50), size=(80, 80), orientation=6)
    assert found == [(5, 10, 15, 25)] and fault.action == "repaired: boxes scaled"


def test_fractions_of_a_turned_image():
    part = (MARK[0] / 80, MARK[1] / 100, MARK[2] / 80, MARK[3] / 100)
    (found,), faults = check(SHOWN, part)
    assert found == where_shown(6, MARK) and [fault.action.partition(":")[0] for fault in faults] == [
        "repaired",
        "repaired",
    ]
    found, (fault,) = check(None, part)  # of which way up?
    assert not found and fault.kind == "box_fractions" and "EXIF rotates the image" in fault.value
