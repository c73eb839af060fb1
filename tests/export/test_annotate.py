"""Pictures and json of many files; bad files among them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from detection.errors import ConfigError
from detection.export import annotate
from detection.export.predictor import Predictor, Result


@pytest.fixture(scope="module")
def predictor(exported) -> Predictor:
    return Predictor.load(exported)


def _files(folder, names: list[str]) -> list[str]:
    random = np.random.default_rng(1)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (60, 80, 3), dtype=np.uint8)).save(folder / name)
    return [str(folder / name) for name in names]


def test_json_rows_by_hand():
    result = Result(
        np.array([[1.0, 2.0, 11.5, 22.25]], np.float32), np.array([0.7512345], np.float32), np.array([3]), ("star",)
    )
    (row,) = annotate.coco_rows("photos/000012.jpg", result)
    assert row == {
        "image_id": 12,
        "file_name": "photos/000012.jpg",
        "category_id": 3,
        "category_name": "star",
        "bbox": [2.0, 1.0, 20.25, 10.5],
        "score": 0.751234,
    }
    assert annotate.coco_rows("photos/street.jpg", result)[0]["image_id"] == "street"


def test_pictures_and_json_are_written(predictor, tmp_path):
    paths = _files(tmp_path, ["a.png", "b.jpg", "c.png"])
    report = annotate.annotate(
        predictor, paths, tmp_path / "out", annotate.DetectionOptions(min_score=0.0, max_boxes=5, batch_size=2)
    )
    assert (report.images, report.detections, report.bad) == (3, 15, ())
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "b.jpg", "c.png", "detections.json"]
    rows = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert [row["file_name"] for row in rows] == [path for path in paths for _ in range(5)]
    for row in rows:
        x, y, width, height = row["bbox"]
        assert 0 <= x <= x + width <= 80.01 and 0 <= y <= y + height <= 60.01
    assert (np.asarray(Image.open(tmp_path / "out" / "a.png")) != np.asarray(Image.open(paths[0]))).any()


def test_bad_files_are_skipped_and_named(predictor, tmp_path):
    paths = _files(tmp_path, ["a.png", "z.png"])
    bad = tmp_path / "m.jpg"
    bad.write_bytes(b"garbage")
    report = annotate.annotate(
        predictor,
        [paths[0], str(bad), paths[1]],
        tmp_path / "out",
        annotate.DetectionOptions(min_score=0.0, max_boxes=1),
    )
    assert report.images == 2 and report.detections == 2
    assert len(report.bad) == 1 and "m.jpg" in report.bad[0]
    assert "1 file skipped" in report.summary()


def test_only_bad_files_leave_an_empty_list(predictor, tmp_path):
    (tmp_path / "m.jpg").write_bytes(b"garbage")
    report = annotate.annotate(predictor, [str(tmp_path / "m.jpg")], tmp_path / "out")
    assert report.images == 0
    assert json.loads(report.json_path.read_text()) == []


def test_images_of_one_name_in_two_folders_get_two_pictures(predictor, tmp_path):
    paths = _files(tmp_path, ["one/a.png", "two/a.png", "two/A.bmp"])
    annotate.annotate(predictor, paths, tmp_path / "out")
    assert len(list((tmp_path / "out").glob("*.png"))) == 3


def test_json_alone(predictor, tmp_path):
    annotate.annotate(
        predictor, _files(tmp_path, ["a.png"]), tmp_path / "out", annotate.DetectionOptions(pictures=False)
    )
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["detections.json"]


def test_the_contact_sheet_shows_the_first_pictures(predictor, tmp_path):
    paths = _files(tmp_path, [f"{number:02}.png" for number in range(14)])
    annotate.annotate(
        predictor, paths, tmp_path / "out", annotate.DetectionOptions(pictures=False, contact_sheet=True, batch_size=5)
    )
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["contact_sheet.jpg", "detections.json"]
    width, height = Image.open(tmp_path / "out" / "contact_sheet.jpg").size
    assert 4 * 80 < width < 4 * 120 and 3 * 60 < height < 3 * 120


def test_a_folder_that_cannot_be_written_is_named(predictor, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="--output_dir=.*file: cannot be written"):
        annotate.annotate(predictor, _files(tmp_path, ["a.png"]), tmp_path / "file")


def test_images_of_a_size_that_the_model_does_not_take_are_skipped_and_named(tmp_path):
    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, "input_tensor")])
    def particular(images):
        count = tf.shape(tf.ensure_shape(images, [None, 60, 80, 3]))[0]
        boxes, ones = tf.tile([[[0.0, 0.0, 0.5, 0.5]]], [count, 1, 1]), tf.ones([count, 1])
        return {
            "detection_boxes": boxes,
            "detection_scores": ones,
            "detection_classes": ones,
            "num_detections": tf.ones([count]),
        }

    module = tf.Module()
    module.particular = particular
    tf.saved_model.save(module, str(tmp_path / "model"), signatures=particular)
    paths = _files(tmp_path, ["a.png", "b.png", "c.png"])
    Image.new("RGB", (30, 20)).save(paths[1])
    report = annotate.annotate(
        Predictor.load(tmp_path / "model"),
        paths,
        tmp_path / "out",
        annotate.DetectionOptions(min_score=0.0, max_boxes=1),
    )
    assert report.images == 2 and report.detections == 2
    (line,) = report.bad
    assert line.startswith(f"{paths[1]}: 20 x 30 pixels, the model takes uint8 (None, None, None, 3) (")
    assert "--input_shape" in line and "\n" not in line


def test_images_are_never_overwritten(predictor, tmp_path):
    paths = _files(tmp_path, ["photos/a.png", "photos/contact_sheet.jpg"])
    before = [Path(path).read_bytes() for path in paths]
    (tmp_path / "link").symlink_to(tmp_path / "photos")
    for folder in ("photos", "link"):
        with pytest.raises(
            ConfigError,
            match=f"--output_dir=.*{folder}: the picture .*a.png would overwrite the image .*photos/a.png; choose",
        ):
            annotate.annotate(predictor, paths, tmp_path / folder)
    with pytest.raises(ConfigError, match="contact_sheet.jpg would overwrite"):
        annotate.annotate(
            predictor, paths, tmp_path / "photos", annotate.DetectionOptions(pictures=False, contact_sheet=True)
        )
    assert [Path(path).read_bytes() for path in paths] == before
    annotate.annotate(
        predictor, paths, tmp_path / "photos", annotate.DetectionOptions(pictures=False)
    )  # The json alone harms nothing.


def test_no_image_is_a_usage_error(exported):
    with pytest.raises(ConfigError, match="no image given"):
        annotate.run(str(exported), [], "out")


def test_names_of_pictures_fit_into_a_file_system_and_differ():
    """Two images of one name of 255 bytes, in another writing of the same letters, and names that end within a
    character."""
    from detection.export.annotate import _picture_names

    long = "x" * 251
    paths = [
        f"a/{long}.jpg",
        f"b/{long}.jpg",
        f"c/{long.upper()}.jpg",
        f"d/{'é' * 125}a.jpg",
        f"e/{'é' * 125}a.jpg",
        "f/x.webp",
        "g/x.gif",
    ]
    names = _picture_names(paths)
    assert len({name.lower() for name in names.values()}) == len(paths) and all(
        len(name.encode()) <= 255 for name in names.values()
    )
    assert (
        names[paths[0]] == f"{long}.jpg" and names[paths[1]] == f"{'x' * 249}_2.jpg" and names["g/x.gif"] == "x_2.png"
    )
