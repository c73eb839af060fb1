"""Open Images: boxes in fractions, marks of objects, classes of whole images."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from detection.data.convert import conversion, oid
from detection.data.convert.source import Source
from detection.errors import ConfigError, DataError

HEADER = (
    "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside\n"
)
BOXES = (
    "00aa,xclick,/m/dog,1,0.25,0.75,0.1,0.9,1,0,0,1,0\n"
    "00aa,xclick,/m/cat,1,0.0,0.5,0.0,0.5,0,1,1,0,0\n"
    "00ab,xclick,/m/cat,1,0.5,1.0,0.5,1.0,-1,-1,-1,-1,-1\n"
)
LABELS = "ImageID,Source,LabelName,Confidence\n00aa,verification,/m/dog,1\n00aa,verification,/m/bird,0\n"


@pytest.fixture
def folder(tmp_path: Path, encode) -> Path:
    (tmp_path / "images").mkdir()
    for name in ("00aa", "00ab", "00ac"):
        (tmp_path / "images" / f"{name}.jpg").write_bytes(encode(40, 60))
    (tmp_path / "boxes.csv").write_text(HEADER + BOXES)
    (tmp_path / "labels.csv").write_text(LABELS)
    return tmp_path


def _source(folder: Path, **more: object) -> Source:
    paths = {"image_dir": str(folder / "images"), "annotations": str(folder / "boxes.csv")}
    return Source(**{**paths, "image_labels": str(folder / "labels.csv"), **more})


def test_records_have_everything_that_the_files_say(folder):
    (folder / "map.pbtxt").write_text(
        'item { id: 1 name: "/m/dog" } item { id: 2 name: "/m/cat" } item { id: 3 name: "/m/bird" }'
    )
    settings = conversion.ConversionOptions(
        output=str(folder / "all.record"), one_file=True, label_map_path=str(folder / "map.pbtxt"), on_bad="fail"
    )
    report = conversion.convert(oid.read(_source(folder)), settings, io.StringIO())
    assert (report.images, report.boxes, report.outputs[0]) == (3, 3, str(folder / "all.record"))
    records = tf.data.TFRecordDataset(str(folder / "all.record"))
    first, second, third = (tf.train.Example.FromString(record.numpy()).features.feature for record in records)
    sides = [first[f"image/object/bbox/{side}"].float_list.value for side in ("ymin", "xmin", "ymax", "xmax")]
    np.testing.assert_allclose(np.transpose(sides), [[0.1, 0.25, 0.9, 0.75], [0, 0, 0.5, 0.5]], atol=1e-6)
    marks = {name: list(first[f"image/object/{name}"].int64_list.value) for name in ("occluded", "group_of")}
    marks |= {name: list(first[f"image/object/{name}"].int64_list.value) for name in ("truncated", "depiction")}
    assert marks == {"occluded": [1, 0], "group_of": [0, 1], "truncated": [0, 1], "depiction": [1, 0]}
    assert list(first["image/class/label"].int64_list.value) == [1, 3]
    assert list(first["image/class/text"].bytes_list.value) == [b"/m/dog", b"/m/bird"]
    assert list(first["image/class/confidence"].float_list.value) == [1, 0]
    assert list(second["image/object/group_of"].int64_list.value) == [0] and "image/object/occluded" not in second
    assert not third["image/object/class/label"].int64_list.value


def test_classes_and_images_that_are_not_wanted(folder):
    images = list(oid.read(_source(folder, classes=("/m/cat",))).images)
    assert [len(image.boxes) for image in images] == [1, 1, 0] and not images[0].labels
    (folder / "images" / "00ab.jpg").unlink()
    *_, absent = oid.read(_source(folder)).images
    assert (absent.faults[0].kind, absent.found_boxes, absent.usable) == ("image_missing", 1, False)


def test_files_that_cannot_be_read(folder):
    with open(folder / "boxes.csv", "a") as stream:
        stream.write("00ac,xclick,/m/cat,1,left,0.5,0.0,0.5,0,0,0,0,0\n")
    *_, image = oid.read(_source(folder)).images
    assert image.faults[0].item == "line 5" and image.found_boxes == 1
    (folder / "boxes.csv").write_text("id,box\n")
    with pytest.raises(DataError, match="boxes.csv: has no column ImageID; its first line names ImageID, LabelName"):
        list(oid.read(_source(folder)).images)
    with pytest.raises(ConfigError, match="--annotation_file: no such file"):
        list(oid.read(_source(folder, annotations="")).images)


def test_one_file_and_its_manifest(folder):
    """A reader notices a file that was cut, and one that is called as the beginning of a set of shards is none of
    it."""
    from detection.data import record_writer

    options = conversion.ConversionOptions(output=str(folder / "a.record"), label_map_path=str(folder / "map.pbtxt"))
    conversion.convert(oid.read(_source(folder, image_labels="")), options)
    (folder / "a.record").write_bytes(b"")
    assert record_writer.read_manifest(folder / "a.record") is None
    alone = conversion.ConversionOptions(
        output=str(folder / "b.record"), one_file=True, label_map_path=str(folder / "map.pbtxt")
    )
    conversion.convert(oid.read(_source(folder, image_labels="")), alone)
    assert record_writer.read_manifest(folder / "b.record")["shards"]["b.record"]["records"] == 3
    with pytest.raises(DataError, match="b.record: exists already"):
        conversion.convert(oid.read(_source(folder, image_labels="")), alone)
