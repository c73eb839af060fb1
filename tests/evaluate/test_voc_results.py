"""Result files of PASCAL VOC's evaluation server: written, read back, and measured alike."""

from __future__ import annotations

import numpy as np
import pytest

from detection.errors import DataError
from detection.evaluate import stored, voc_results
from detection.evaluate.evaluator import ImageDetections, ImageGroundtruth
from detection.evaluate.voc import PascalVocEvaluator
from detection.types import Category

CATEGORIES = (Category(1, "cat"), Category(2, "dog"), Category(3, "größe"))
SIZES = {"000001.jpg": (100, 200), "street.png": (100, 100), "000003.jpg": (50, 50)}
FOUND = {
    "000001.jpg": ImageDetections(
        np.array([[10.0, 20, 30, 40], [0.5, 0.25, 60, 70], [11, 21, 30, 40]]),
        np.array([0.9, 0.3, 0.7]),
        np.array([0, 1, 0]),
    ),
    "street.png": ImageDetections(np.zeros([0, 4]), np.zeros(0), np.zeros(0, np.int64)),
    "000003.jpg": ImageDetections(np.array([[1.0 / 3, 2, 30, 40]]), np.array([0.1]), np.array([0])),
}
# What is there: both cats of the first image, of which one is found twice; the dog; a cat that is missed.
TRUTH = {
    "000001.jpg": ([[10, 20, 30, 40], [70, 20, 90, 40], [0, 0, 60, 70]], [0, 0, 1]),
    "street.png": ([[0, 0, 50, 50]], [0]),
    "000003.jpg": ([[0, 2, 30, 40]], [0]),
}


@pytest.fixture
def path(tmp_path) -> str:
    return str(tmp_path / "VOC2012" / "Main" / "comp4_det_test_*.txt")


def collected(found=FOUND, sizes=SIZES, categories=CATEGORIES) -> stored.StoredDetections:
    return stored.collect(((id_, sizes[id_], found[id_]) for id_ in sizes), categories)


def average_precision(found: list[ImageDetections]) -> dict[str, float]:
    evaluator = PascalVocEvaluator(CATEGORIES)
    for (id_, (boxes, classes)), detections in zip(TRUTH.items(), found, strict=True):
        unmarked = np.zeros(len(boxes), bool)
        truth = ImageGroundtruth(
            np.array(boxes, float), np.array(classes), unmarked, unmarked, np.ones(len(boxes), np.float32)
        )
        evaluator.add(id_, truth, detections)
    return evaluator.result()


def test_files_are_as_the_server_takes_them(path, tmp_path):
    voc_results.write(path, collected())
    files = {file.name: file.read_text(encoding="utf-8") for file in (tmp_path / "VOC2012" / "Main").iterdir()}
    assert files == {
        "comp4_det_test_cat.txt": "000001 0.899999976 20 10 40 30\n000001 0.699999988 21 11 40 30\n"
        "000003 0.100000001 2 0.333333343 40 30\n",
        "comp4_det_test_dog.txt": "000001 0.300000012 0.25 0.5 70 60\n",
        "comp4_det_test_größe.txt": "",
    }


def test_read_back_they_give_the_same_average_precision(path):
    voc_results.write(path, collected())
    found = voc_results.read(path, {"cat": 0, "dog": 1, "größe": 2}).aligned(SIZES)
    measured = average_precision(found)
    assert measured == average_precision(list(FOUND.values()))
    # By hand: of 4 cats the detections at 0.9 and 0.1 are true, the one at 0.7 is a second one of the first cat:
    # precision 1 up to recall 1/4, then 2/3 up to 2/4. The dog is found.
    assert measured["PascalBoxes_Precision/mAP@0.5IOU"] == pytest.approx(((1 + 2 / 3) / 4 + 1) / 2)


def test_a_class_may_have_several_names_and_one_file(path):
    voc_results.write(path, collected())
    found = voc_results.read(path, {"Katze": 0, "cat": 0, "dog": 1, "größe": 2}).aligned(SIZES)
    np.testing.assert_array_equal(found[0].classes, [0, 0, 1])


def test_all_faults_of_all_files_are_reported_together(path, tmp_path):
    voc_results.write(path, collected())
    folder = tmp_path / "VOC2012" / "Main"
    (folder / "comp4_det_test_cat.txt").write_text("000001 0.9 1 2 3 4\n000001 0.9 1 2 3\n\n000003 x 1 2 3 4\n")
    (folder / "comp4_det_test_dog.txt").write_text("000001 nan 1 2 3 4\n")
    with pytest.raises(DataError) as raised:
        voc_results.read(path, {"cat": 0, "dog": 1, "größe": 2})
    for part in ("cat.txt:2: ", "cat.txt:4: ", "dog.txt:1: ", "expected: image score left top right bottom"):
        assert part in str(raised.value), raised.value
    assert "\n" not in str(raised.value)
    with pytest.raises(DataError, match="no file of class 'horse'"):
        voc_results.read(path, {"cat": 0, "dog": 1, "horse": 2})


@pytest.mark.parametrize(
    ("sizes", "categories", "message"),
    [
        ({"a/1.jpg": (9, 9), "b/1.jpg": (9, 9)}, CATEGORIES, "image '1' is the name of several images"),
        ({"my cat.jpg": (9, 9)}, CATEGORIES, "image 'my cat' has spaces"),
        ({"1.jpg": (9, 9)}, (Category(1, "cat/dog"),), "class 'cat/dog' cannot be part of a file name"),
    ],
)
def test_what_the_format_cannot_say_is_refused_before_anything_is_written(path, tmp_path, sizes, categories, message):
    found = dict.fromkeys(sizes, FOUND["street.png"])
    with pytest.raises(DataError, match=message):
        voc_results.write(path, collected(found, sizes, categories))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("path", "is_one"),
    [
        ("out/comp4_det_test_*.txt", True),
        ("found.txt", False),
        ("a_*_*.txt", False),
        ("*.npz", False),
        ("a*/b.txt", False),
    ],
)
def test_paths_of_result_files(path, is_one):
    assert voc_results.is_result_path(path) is is_one
