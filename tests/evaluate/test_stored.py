"""Detections that are kept: nothing is lost, and those of other images are refused."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

from detection.errors import DataError
from detection.evaluate import results, stored
from detection.evaluate.evaluator import ImageDetections
from detection.types import Category

CATEGORIES = (Category(1, "cat"), Category(3, "/m/3", "größe ☃"))
NOTHING = ImageDetections(np.zeros([0, 4]), np.zeros(0), np.zeros(0, np.int64))
FIRST = ImageDetections(np.array([[1.0, 2, 30.25, 40], [0, 0, 50, 60]]), np.array([0.875, 2**-7]), np.array([0, 2]))
LAST = ImageDetections(np.array([[5.0, 6, 7, 8]]), np.array([0.5]), np.array([2]))
SIZES = {"7": (50, 60), "street.jpg": (10, 20), "9": (30, 30)}
IMAGES = [("7", (50, 60), FIRST), ("street.jpg", (10, 20), NOTHING), ("9", (30, 30), LAST)]


def same(one: ImageDetections, other: ImageDetections) -> None:
    for left, right in zip(one, other, strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.fixture
def path(tmp_path) -> str:
    stored.write(tmp_path / "new" / "found.npz", stored.collect(IMAGES, CATEGORIES, {"step": 7, "why": "größe"}))
    return str(tmp_path / "new" / "found.npz")


def test_what_is_written_is_read(path):
    found = stored.read(path)
    assert (found.ids, found.categories, found.notes) == (tuple(SIZES), CATEGORIES, {"step": 7, "why": "größe"})
    for number, (_, _, detections) in enumerate(IMAGES):
        same(found.of(number), detections)
    assert os.listdir(os.path.dirname(path)) == ["found.npz"], "nothing is left over"


def test_images_may_come_in_another_order(path):
    found = stored.read(path).aligned(dict(reversed(SIZES.items())))
    for detections, expected in zip(found, (LAST, NOTHING, FIRST), strict=True):
        same(detections, expected)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ({**SIZES, "new": (1, 1)}, r"no image 'new' \(1 of 4 are missing\)"),
        ({"7": (50, 60), "9": (30, 30)}, r"image 'street.jpg' is not in the evaluation input \(1 of 3 are not\)"),
        ({**SIZES, "9": (30, 31)}, "image '9' is 30 x 30 pixels there and 30 x 31 in the input"),
    ],
)
def test_detections_of_other_images_are_refused(path, images, message):
    with pytest.raises(DataError, match=f"found.npz: {message}"):
        stored.read(path).aligned(images)


def test_coco_results_name_only_images_with_detections(tmp_path):
    """As evaluation wrote them before, rounded to 0.01 pixel; numbers, and names without .jpg as of detect.py, find
    their images."""
    stored.write(tmp_path / "found.json", stored.collect(IMAGES))
    assert json.loads((tmp_path / "found.json").read_text())[0] == {
        "image_id": 7,
        "category_id": 1,
        "bbox": [2.0, 1.0, 38.0, 29.25],
        "score": 0.875,
    }
    for detections, expected in zip(
        stored.read(tmp_path / "found.json").aligned(SIZES), (FIRST, NOTHING, LAST), strict=True
    ):
        np.testing.assert_allclose(detections.boxes, expected.boxes, atol=0.01)
        np.testing.assert_allclose(detections.scores, expected.scores, atol=1e-6)
        np.testing.assert_array_equal(detections.classes, expected.classes)
    results.write_detections(
        tmp_path / "named.json", results.coco_results("street", FIRST) + results.coco_results("0009", LAST)
    )
    named = stored.read(tmp_path / "named.json").aligned(
        {"street.jpg": (50, 60), "0009.png": (30, 30), "other": (5, 5)}
    )
    assert [len(one.scores) for one in named] == [2, 1, 0]


def test_coco_results_of_other_images_are_refused(tmp_path):
    results.write_detections(tmp_path / "a.json", results.coco_results("7", FIRST))
    with pytest.raises(DataError, match="a.json: image '7' is not in the evaluation input"):
        stored.read(tmp_path / "a.json").aligned({"8": (50, 60)})
    with pytest.raises(DataError, match="image '7' has 40 x 60 pixels, and boxes outside it"):
        stored.read(tmp_path / "a.json").aligned({"7": (40, 60)})


def test_results_that_were_cut_by_score_are_told(tmp_path, caplog):
    results.write_detections(tmp_path / "a.json", results.coco_results("9", LAST))
    stored.read(tmp_path / "a.json").aligned(SIZES)
    assert "a.json: no score below 0.50" in caplog.text


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.npz", b"PK garbage", "not a .npz file of stored detections, or damaged"),
        ("a.json", b'{"annotations": []}', "expected a list of detections, found dict"),
        ("a.json", b'[{"image_id": 1, "bbox": [1, 2, 3, 4], "category_id": 1}]', "an entry has no 'score'"),
        ("a.json", b'[{"image_id": 1, "bbox": [1, 2], "category_id": 1, "score": 0.5}]', "not a COCO results file"),
        (
            "a.json",
            b'[{"image_id": 1, "bbox": [1, 2, 3, 4], "category_id": 0, "score": 0.5}]',
            "category_id is 0, not a whole number",
        ),
        (
            "a.json",
            b'[{"image_id": 1, "bbox": [1, 2, 3, NaN], "category_id": 1, "score": 0.5}]',
            "NaN is not a JSON number",
        ),
        ("a.csv", b"", "stored detections are .npz or .json files"),
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=f"{name}: .*{message}") as error:
        stored.read(tmp_path / name)
    assert "\n" not in str(error.value)
    with pytest.raises(DataError, match="cannot be read: No such file"):
        stored.read(tmp_path / "absent.npz")


@pytest.mark.parametrize(
    ("field", "value"),
    [("offsets", [0, 2, 2, 2]), ("offsets", [0, 3, 2, 3]), ("ids", ["7", "7", "9"]), ("sizes", [[1, 2]])],
)
def test_arrays_that_do_not_fit_each_other_are_refused(path, tmp_path, field, value):
    with np.load(path) as archive:
        arrays = dict(archive)
    np.savez(tmp_path / "odd.npz", **{**arrays, field: np.array(value)})
    with pytest.raises(DataError, match="odd.npz: .*; store the detections again"):
        stored.read(tmp_path / "odd.npz")
    del arrays["boxes"]
    np.savez(tmp_path / "odd.npz", **arrays)
    with pytest.raises(DataError, match="odd.npz: has no boxes"):
        stored.read(tmp_path / "odd.npz")


def test_nothing_at_all(tmp_path):
    for name in ("none.npz", "none.json"):
        stored.write(tmp_path / name, stored.collect([]))
        assert len(stored.read(tmp_path / name).scores) == 0
    assert [len(one.scores) for one in stored.read(tmp_path / "none.json").aligned(SIZES)] == [0, 0, 0]
