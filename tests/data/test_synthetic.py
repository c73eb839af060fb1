"""Drawn scenes: the same every time, with boxes that fit what was drawn, and a data set that converts without a
remark."""

from __future__ import annotations

import hashlib
import io
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from detection.config import label_map
from detection.data import synthetic, synthetic_set
from detection.errors import DataError


def digests(folder) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_scenes_depend_on_seed_and_index_only():
    one, again, other, next_one = (
        synthetic.draw((160, 120), seed, index) for seed, index in ((0, 3), (0, 3), (1, 3), (0, 4))
    )
    assert one.objects == again.objects and np.array_equal(one.image, again.image)
    assert one.objects != other.objects and one.objects != next_one.objects


def test_objects_are_all_shapes_inside_the_image_and_neither_tiny_nor_huge():
    scenes = [synthetic.draw((320, 240), 0, index) for index in range(40)]
    names = Counter(drawn.name for scene in scenes for drawn in scene.objects)
    assert set(names) == set(synthetic.SHAPES) and max(names.values()) < 2 * min(names.values())
    assert all(2 <= len(scene.objects) <= 6 for scene in scenes)
    for scene in scenes:
        assert scene.image.size == (320, 240) and scene.image.mode == "RGB"
        for drawn in scene.objects:
            assert 0 <= drawn.xmin < drawn.xmax <= 320 and 0 <= drawn.ymin < drawn.ymax <= 240
            assert 15 < drawn.xmax - drawn.xmin < 170 and 15 < drawn.ymax - drawn.ymin < 170


def test_boxes_fit_the_mask(monkeypatch):
    masks = []
    outline = synthetic._outline

    def spy(*arguments):
        area, mask = outline(*arguments)
        masks.append((area, mask.copy()))
        return area, mask

    monkeypatch.setattr(synthetic, "_outline", spy)
    scene = synthetic.draw((320, 240), 5, 0)
    boxes = [tuple(edge / 2 for edge in mask.getbbox()) for _, mask in masks]
    assert all((drawn.xmin, drawn.ymin, drawn.xmax, drawn.ymax) in boxes for drawn in scene.objects)
    for area, mask in masks:
        assert np.count_nonzero(mask) <= 1.1 * area + 50  # the outline's own area, less what lies outside the image


def test_data_set_is_complete_and_reproducible(tmp_path):
    told = io.StringIO()
    reports = synthetic_set.make(
        tmp_path / "a", {"train": 5, "val": 2}, 3, sizes=((96, 64), (64, 96)), seed=1, out=told
    )
    assert {split: report.images for split, report in reports.items()} == {"train": 5, "val": 2}
    assert not any(report.faults for report in reports.values())
    assert [category.name for category in label_map.load(tmp_path / "a" / "label_map.pbtxt").categories] == list(
        synthetic.SHAPES
    )
    assert sorted(path.name for path in (tmp_path / "a" / "test_images").iterdir()) == [
        f"test_0000{number}.jpg" for number in range(3)
    ]
    assert Image.open(tmp_path / "a" / "test_images" / "test_00000.jpg").size == (64, 96)
    assert str(tmp_path / "a" / "test_images") in told.getvalue()
    synthetic_set.make(tmp_path / "b", {"train": 5, "val": 2}, 3, sizes=((96, 64), (64, 96)), seed=1)
    first, second = digests(tmp_path / "a"), digests(tmp_path / "b")
    reports_apart = {"train.record.report.json", "val.record.report.json"}  # They name the folder.
    assert {name: digest for name, digest in first.items() if name not in reports_apart} == {
        name: digest for name, digest in second.items() if name not in reports_apart
    }


def test_a_second_run_replaces_the_first_and_nothing_else(tmp_path):
    synthetic_set.make(tmp_path, {"train": 3, "val": 1}, 2, sizes=((64, 64),))
    (tmp_path / "test_images" / "mine.jpg").write_bytes(b"")
    synthetic_set.make(tmp_path, {"train": 2, "val": 1}, 1, sizes=((64, 64),), records=False)
    assert sorted(path.name for path in (tmp_path / "voc" / "JPEGImages").iterdir()) == [
        "train_00000.jpg",
        "train_00001.jpg",
        "val_00000.jpg",
    ]
    assert sorted(path.name for path in (tmp_path / "test_images").iterdir()) == ["mine.jpg", "test_00000.jpg"]


def test_unwritable_folder(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataError, match="cannot write: .*; check --output_dir"):
        synthetic_set.make(tmp_path / "file", {"train": 1}, 0)
