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


def check(*corners: tuple[float, ...], name: str = "dog", size: tuple[int, int] = (40, 60), declared=None, repair: bool = False, **box):
    annotated = tuple(AnnotatedBox(f"object {number}", name, *values, **box) for number, values in enumerate(corners, start=1))
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
    assert fault.file == "a.xml" and fault.item == "object 1" and "({:g}, {:g}, {:g}, {:g})".format(*corners) in fault.value


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
    _, faults = check((4, 6, 50, 30), declared=(60, 40), repair=True)
    assert faults[0].kind == "size_mismatch" and faults[0].bad


@settings(max_examples=300, deadline=None)
@given(st.tuples(*[st.floats(width=32) | st.integers(-100, 200).map(float)] * 4), st.booleans(), st.tuples(st.integers(1, 100), st.integers(1, 100)))
def test_what_is_kept_is_always_usable(corners, repair, size):
    found, faults = check(corners, size=size, repair=repair)
    assert len(found) + sum(fault.action == "box left out" for fault in faults) == 1
    for box in found:
        ymin, xmin, ymax, xmax = map(np.float32, box[:4])  # as they are stored
        assert 0 <= ymin < ymax <= 1 and 0 <= xmin < xmax <= 1 and box.area > 0
