"""From pixels to normalised boxes: every rule, and that nothing unusable comes out whatever goes in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.data.convert import boxes
from detection.data.convert.source import AnnotatedBox, AnnotatedImage

IDS = {"dog": 3}


def check(
    *corners: tuple[float, ...],
    name: str = "dog",
    size: tuple[int, int] = (40, 60),
    declared=None,
    repair: bool = False,
    **box,
):
    annotated = tuple(
        AnnotatedBox(f"object {number}", name, *values, **box) for number, values in enumerate(corners, start=1)
    )
    image = AnnotatedImage("a.xml", Path("a.jpg"), "a.jpg", "a.jpg", declared, annotated, len(annotated))
    return boxes.check(image, *size, IDS, "map.pbtxt", repair)


def test_normalised_without_offset():
    (box,), faults = check((4, 6, 20, 60), difficult=True, truncated=True, view="Left", is_crowd=True, group_of=True)
    assert (box.ymin, box.xmin, box.ymax, box.xmax) == (0.1, 0.1, 1.0, 0.5)
    assert (box.label, box.text, box.area) == (3, "dog", 16 * 54)
    assert (box.difficult, box.truncated, box.view, box.is_crowd, box.group_of) == (True, True, "Left", True, True)
    assert not faults
    assert check((4, 6, 20, 60), area=7.0)[0][0].area == 7.0


@pytest.mark.parametrize(
    ("corners", "kind", "kept"),
    [
        ((5, 5, 5, 9), "box_zero_area", False),
        ((5, 5, 9, 5), "box_zero_area", False),
        ((9, 5, 5, 9), "box_inverted", False),
        ((5, 9, 9, 5), "box_inverted", False),
        ((40, 5, 50, 9), "box_outside", False),
        ((-9, 5, 0, 9), "box_outside", False),
        ((5, 60, 9, 70), "box_outside", False),
        ((float("nan"), 5, 9, 9), "box_unreadable", False),
        ((5, 5, float("inf"), 9), "box_unreadable", False),
        ((-5, -5, 50, 70), "box_clipped", True),
    ],
)
def test_faults_name_file_box_and_value(corners, kind, kept):
    found, (fault,) = check(corners)
    assert fault.kind == kind and len(found) == kept
    assert (
        fault.file == "a.xml"
        and fault.item == "object 1"
        and "({:g}, {:g}, {:g}, {:g})".format(*corners) in fault.value
    )


def test_clipping_changes_box_and_area():
    (box,), _ = check((-5, -5, 50, 70))
    assert (box.ymin, box.xmin, box.ymax, box.xmax, box.area) == (0, 0, 1, 1, 2400)


def test_inverted_boxes_are_swapped_on_request():
    (box,), (fault,) = check((20, 60, 4, 6), repair=True)
    assert (box.ymin, box.xmin, box.ymax, box.xmax) == (0.1, 0.1, 1.0, 0.5)
    assert fault.kind == "box_inverted" and not fault.bad


def test_unknown_class_names_the_map():
    found, (fault,) = check((1, 2, 3, 4), name="wolf")
    assert not found and fault.kind == "class_unknown" and "map.pbtxt" in fault.value


def test_repeated_boxes_are_told_and_kept():
    found, (fault,) = check((1, 2, 3, 4), (1, 2, 3, 4), (1, 2, 3, 5))
    assert len(found) == 3 and fault.kind == "box_repeated" and fault.item == "object 2"


def test_other_size_costs_the_image():
    _, (fault,) = check((1, 2, 3, 4), declared=(80, 120))
    assert fault.kind == "size_mismatch" and fault.bad and "80x120" in fault.value and "40x60" in fault.value


def test_resized_image_is_repaired_by_scaling():
    (box,), (fault,) = check((8, 12, 40, 120), declared=(80, 120), repair=True)
    assert (box.ymin, box.xmin, box.ymax, box.xmax) == (0.1, 0.1, 1.0, 0.5)
    assert not fault.bad and "scaled" in fault.action


def test_wrong_size_is_repaired_only_if_the_boxes_fit():
    (box,), (fault,) = check((4, 6, 20, 60), declared=(60, 40), repair=True)
    assert box.xmax == 0.5 and not fault.bad
    _, (fault,) = check((4, 6, 20, 60), declared=(60, 40))
    assert fault.bad and "--on_bad=fix uses its size" in fault.value
    _, faults = check((4, 6, 50, 30), declared=(60, 40), repair=True)
    assert faults[0].kind == "size_mismatch" and faults[0].bad


@pytest.mark.parametrize("declared", [(60, 40), (200, 100), (41, 600)])
def test_boxes_that_fit_an_image_of_another_shape_too_are_not_guessed(declared):
    _, (fault,) = check((4, 6, 20, 30), declared=declared, repair=True)  # stretched, cropped, turned, or a slip?
    assert fault.kind == "size_mismatch" and fault.bad and "boxes fit both" in fault.value


@settings(max_examples=300, deadline=None)
@given(
    st.tuples(*[st.floats(width=32) | st.integers(-100, 200).map(float)] * 4),
    st.booleans(),
    st.tuples(st.integers(1, 100), st.integers(1, 100)),
)
def test_what_is_kept_is_always_usable(corners, repair, size):
    found, faults = check(corners, size=size, repair=repair)
    assert len(found) + sum(fault.action == "box left out" for fault in faults) == 1
    for box in found:
        ymin, xmin, ymax, xmax = map(np.float32, box[:4])  # as they are stored
        assert 0 <= ymin < ymax <= 1 and 0 <= xmin < xmax <= 1 and box.area > 0


@pytest.mark.parametrize(
    ("corners", "area", "expected"),
    [
        ((20, 30, 60, 70), 40 * 40, 20 * 30),  # a half of the width and three quarters of the height are left
        ((20, 30, 60, 70), 400, 400 * 3 / 8),
        ((20, 30, 60, 70), None, 20 * 30),
        ((20, 30, 60, 70), 41 * 41, 20 * 30),  # whole pixels of an outline; never more than what is left
        ((0, 0, 40, 60), 41 * 61, 41 * 61),  # not clipped: as annotated
        ((0, 0, 40, 60), 700, 700),
        ((-1e-9, 0, 20, 30), 300, 300),
    ],
)
def test_area_follows_a_clipped_box(corners, area, expected):
    (box,), _ = check(corners, area=area)
    assert box.area == pytest.approx(expected)


def test_area_scales_with_the_image():
    (box,), _ = check((8, 12, 40, 120), declared=(80, 120), repair=True, area=1000.0)
    assert box.area == 250


@pytest.mark.parametrize("area", [2000, 1e18])
def test_area_larger_than_its_box_is_replaced_and_reported(area):
    (box,), (fault,) = check((0, 0, 20, 30), area=area)
    assert box.area == 600 and fault.kind == "area_replaced" and not fault.bad and f"{area:g}" in fault.value


FRACTION = (0.1, 0.2, 0.5, 0.6)


def test_fractions_are_refused_with_the_fix():
    found, faults = check(FRACTION, (0, 0, 1, 1))
    assert not found and [fault.kind for fault in faults] == ["box_fractions"] * 2
    assert all(
        fault.bad and fault.action == "box left out" and "--on_bad=fix converts" in fault.value for fault in faults
    )


def test_fractions_are_converted_on_request():
    found, faults = check(FRACTION, (0, 0, 1.04, 1), repair=True)
    assert [box[:4] for box in found] == [pytest.approx((0.2, 0.1, 0.6, 0.5)), (0, 0, 1, 1)]
    assert [fault.kind for fault in faults] == ["box_fractions", "box_fractions", "box_clipped"] and not any(
        fault.bad for fault in faults
    )
    (box,), _ = check(FRACTION, repair=True, area=0.1)
    assert box.area == pytest.approx(0.1 * 40 * 60)
    (box,), _ = check(FRACTION, repair=True, declared=(1, 1))
    assert box[:4] == pytest.approx((0.2, 0.1, 0.6, 0.5))
    (box,), _ = check(FRACTION, repair=True, declared=(80, 120))
    assert box[:4] == pytest.approx((0.2, 0.1, 0.6, 0.5))


@pytest.mark.parametrize(
    "corners",
    [
        [(0, 0, 1, 1)],  # the first pixel
        [(5.2, 5.3, 5.9, 5.8)],
        [(0, 0, 2, 1.5)],
        [(0.5, 0.5, 3, 0.9)],
    ],
)
def test_tiny_boxes_are_no_fractions(corners):
    found, faults = check(*corners)
    assert len(found) == len(corners) and not any(fault.bad for fault in faults)
    below = [box for box in corners if max(box[2] - box[0], box[3] - box[1]) < 1]
    assert [fault.kind for fault in faults] == ["box_below_pixel"] * len(below)


@pytest.mark.parametrize("repair", [False, True])
def test_a_fraction_beside_boxes_in_pixels_is_no_box_of_less_than_a_pixel(repair):
    (found,), (fault,) = check((0.2, 0.3, 0.9, 0.8), (5, 5, 9, 9), repair=repair)
    assert (
        found.xmax == pytest.approx(9 / 40)
        and fault.kind == "box_fractions"
        and fault.bad
        and "write it in pixels" in fault.value
    )


def test_converted_fractions_may_be_small():
    found, faults = check((0.01, 0.01, 0.02, 0.015), FRACTION, repair=True)
    assert (
        len(found) == 2
        and "box_below_pixel" in [fault.kind for fault in faults]
        and not any(fault.bad for fault in faults)
    )


def test_images_of_a_pixel_or_two_have_such_boxes():
    assert len(check((0, 0.2, 1, 0.9), size=(1, 1))[0]) == len(check((0, 0.2, 1.1, 0.9), size=(2, 1))[0]) == 1


def test_whole_numbers_are_fractions_where_all_else_is():
    def image(*corners):
        return AnnotatedImage(
            "a.xml", Path("a.jpg"), "a.jpg", "a.jpg", None, tuple(AnnotatedBox("o", "dog", *box) for box in corners), 1
        )

    assert boxes.look_like_fractions([image((0, 0, 1, 1)), image(FRACTION)])
    assert boxes.look_like_fractions([image((0, 0, 1, 1)), image((0, 0, 1, 1))])
    assert not boxes.look_like_fractions([image((0, 0, 1, 1)), image()])
    assert not boxes.look_like_fractions([image((0, 0, 1, 1)), image(FRACTION), image((1, 2, 30, 40))])
    assert not boxes.look_like_fractions([image((0, 0, 0, 0)), image((0, 0, 0, 0))])
    assert not boxes.look_like_fractions([])


@pytest.mark.parametrize("name", ["Dog", " dog", "d og", "DOG "])
def test_a_class_written_otherwise_names_the_one_of_the_map(name):
    found, (fault,) = check((1, 2, 3, 4), name=name)
    assert (
        not found and fault.kind == "class_alike" and fault.bad and "'dog'" in fault.value and repr(name) in fault.value
    )
