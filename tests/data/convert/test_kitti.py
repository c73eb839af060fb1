"""KITTI folders as its archives unpack."""

from __future__ import annotations

from pathlib import Path

import pytest

from detection.data.convert import kitti
from detection.data.convert.source import Source
from detection.errors import ConfigError

CAR = "Car 0.30 1 -1.57 10.0 5.0 30.0 25.5 1.5 1.6 3.7 1.0 1.5 20.0 -1.5"
WALKER = "Pedestrian 0.00 0 0.2 31.0 40.0 38.0 58.0 1.8 0.5 0.9 2.0 1.4 12.0 0.1"
REGION = "DontCare -1 -1 -10 28.0 20.0 36.0 30.0 -1 -1 -1 -1000 -1000 -1000 -10"


@pytest.fixture
def root(tmp_path: Path, encode) -> Path:
    images = tmp_path / "data_object_image_2" / "training" / "image_2"
    labels = tmp_path / "training" / "label_2"
    images.mkdir(parents=True)
    labels.mkdir(parents=True)
    for number, lines in enumerate(([CAR, WALKER], [CAR, WALKER, REGION], [])):
        (images / f"{number:06d}.png").write_bytes(encode(40, 60, kind="PNG"))
        (labels / f"{number:06d}.txt").write_text("".join(f"{line}\n" for line in lines))
    return tmp_path


def _read(root: Path, **source: object) -> list:
    return list(kitti.read(Source(roots=(str(root),), **source)).images)


def test_boxes_are_pixels_and_classes_lower_case(root):
    first = _read(root)[0]
    car, walker = first.boxes
    assert (car.name, car.xmin, car.ymin, car.xmax, car.ymax) == ("car", 10.0, 5.0, 30.0, 25.5)
    assert car.truncated and car.occluded and not walker.truncated and not walker.occluded
    assert first.filename == "000000.png" and first.found_boxes == 2 and not first.faults


def test_objects_that_overlap_a_region_without_annotations_are_left_out(root):
    assert [[box.name for box in image.boxes] for image in _read(root)] == [["car", "pedestrian"], ["pedestrian"], []]
    without = _read(root, classes=("car",))
    assert [[box.name for box in image.boxes] for image in without] == [["car"], ["car"], []]
    assert [image.found_boxes for image in without] == [1, 1, 0]


def test_a_line_that_cannot_be_read_is_a_fault_of_its_object(root):
    file = root / "training" / "label_2" / "000002.txt"
    file.write_text("Car 0.3 1 x\n\n" + WALKER)
    image = _read(root)[2]
    assert [box.name for box in image.boxes] == ["pedestrian"] and image.found_boxes == 2
    assert str(image.faults[0]).startswith(f"{file}: line 1 (Car): 'Car 0.3 1 x'; a line has 15 columns")


def test_a_split_and_an_image_without_labels(root, tmp_path):
    (root / "training" / "label_2" / "000001.txt").unlink()
    (tmp_path / "ids.txt").write_text("000001\n")
    (image,) = _read(root, split_file=str(tmp_path / "ids.txt"))
    assert image.usable and [fault.kind for fault in image.faults] == ["no_annotation"]


def test_what_is_not_there(root, tmp_path):
    with pytest.raises(ConfigError, match="no such folder .*image_2.*check --data_dir or --image_dir"):
        _read(tmp_path / "absent")
    with pytest.raises(ConfigError, match="--set=train: KITTI has no named splits"):
        _read(root, subset="train")
