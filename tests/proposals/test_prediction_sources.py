"""Proposals for image files, without a detector: found by name, the best of each, or made; and what is missing."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from detection.errors import ConfigError, DataError
from detection.proposals.prediction_sources import FromFiles, ProposalRequest, best, build

IMAGE = np.zeros([40, 60, 3], np.uint8)


def _file(folder, entries: dict) -> str:
    path = folder / "x.json"
    path.write_text(json.dumps(entries), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("path", "number"),
    [
        ("photos/a.jpg", 1),  # the whole path before its end
        ("/data/photos/a.jpg", 1),
        ("photos/a.png", 1),  # another suffix, but still the folder
        ("other/a.jpg", 2),
        ("a.jpeg", 2),
        ("val/000000000139.jpg", 3),  # COCO's results call it by its number
        ("b c.webp", 4),
    ],
)
def test_images_are_found_by_as_much_of_their_path_as_the_file_says(tmp_path, path, number):
    entries = {"photos/a.jpg": [[1, 0, 5, 5]], "a.jpg": [[2, 0, 5, 5]], "139": [[3, 0, 5, 5]], "b c": [[4, 0, 5, 5]]}
    (boxes,) = FromFiles((_file(tmp_path, entries),), 10)([path], [IMAGE])
    np.testing.assert_array_equal(boxes, [[0, number, 5, number + 5]])
    assert boxes.dtype == np.float32


def test_an_entry_without_boxes_is_none_and_an_absent_one_an_error(tmp_path):
    nothing, absent = FromFiles((_file(tmp_path, {"a": []}),), 10)(["a.jpg", "b.jpg"], [IMAGE, IMAGE])
    assert nothing.shape == (0, 4)
    assert (
        isinstance(absent, DataError)
        and str(absent).startswith("b.jpg: --proposals_path: ")
        and "such as 'a', but none for this one" in str(absent)
    )


def test_the_best_come_first_each_once_and_equal_ones_as_given():
    boxes = np.array([[0, 0, 1, 1], [0, 0, 2, 2], [0, 0, 3, 3], [0, 0, 2, 2], [0, 0, 4, 4]], np.float32)
    scores = np.array([0.5, 0.9, 0.5, 0.1, 0.7], np.float32)
    np.testing.assert_array_equal(best(boxes, scores, 10)[:, 3], [2, 4, 1, 3])
    np.testing.assert_array_equal(best(boxes, scores, 2)[:, 3], [2, 4])


def test_a_grid_covers_the_image_with_as_many_boxes_as_asked_for():
    made = build(ProposalRequest(method="grid", max_proposals=60), True)(["a.jpg"], [IMAGE])[0]
    assert 20 < len(made) <= 60 and (made[:, :2].min(axis=0) == 0).all() and (made[:, 2:].max(axis=0) == [40, 60]).all()


def test_an_image_that_cannot_be_searched_is_named_and_the_others_are_not_held_up(monkeypatch):
    source = build(ProposalRequest(method="grid"), True)
    method = source._method

    def fails_on_small(image):
        if len(image) < 10:
            raise DataError("too small")
        return method(image)

    monkeypatch.setattr(source, "_method", fails_on_small)
    good, bad = source(["a.jpg", "b.jpg"], [IMAGE, IMAGE[:5]])
    assert len(good) and isinstance(bad, DataError) and str(bad) == "b.jpg: too small"


def test_without_opencv_the_flag_and_the_extra_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(
        ConfigError,
        match=r"--proposal_method=selective_search_fast needs OpenCV contrib.*pip install 'detection\[proposals\]'",
    ):
        build(ProposalRequest(method="selective_search_fast"), True)


def test_no_proposals_for_detectors_that_make_their_own():
    assert build(ProposalRequest(), False) is None
    with pytest.raises(ConfigError, match="--proposals_path=a.npz,b.npz: this detector finds its regions itself"):
        build(ProposalRequest(paths=("a.npz", "b.npz")), False)
