"""The pets: breeds from file names, and the split that everybody trains on."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from detection.data.convert import pet
from detection.data.convert.source import Source
from detection.errors import ConfigError

XML = (
    "<annotation><filename>{0}.jpg</filename><object><name>cat</name>"
    "<bndbox><xmin>3</xmin><ymin>4</ymin><xmax>20</xmax><ymax>30</ymax></bndbox></object></annotation>"
)
IDS = [f"{breed}_{number}" for breed in ("Abyssinian", "american_pit_bull_terrier") for number in range(100, 105)]


@pytest.fixture
def root(tmp_path: Path, encode) -> Path:
    (tmp_path / "images").mkdir()
    (tmp_path / "annotations" / "xmls").mkdir(parents=True)
    for name in IDS:
        (tmp_path / "images" / f"{name}.jpg").write_bytes(encode())
        (tmp_path / "annotations" / "xmls" / f"{name}.xml").write_text(XML.format(name))
    (tmp_path / "annotations" / "trainval.txt").write_text("".join(f"{name} 1 1 1\n" for name in IDS))
    return tmp_path


def _read(root: Path, subset: str = "") -> list:
    return list(pet.read(Source(roots=(str(root),), subset=subset)).images)


def test_the_class_is_the_breed(root):
    images = _read(root)
    assert [image.filename for image in images] == [f"{name}.jpg" for name in IDS]
    assert [image.boxes[0].name for image in images] == ["Abyssinian"] * 5 + ["american_pit_bull_terrier"] * 5


def test_the_split_is_that_of_the_original(root):
    """Its lines: random.seed(42), random.shuffle, int(0.7 * n)."""
    random.seed(42)
    shuffled = list(IDS)
    random.shuffle(shuffled)
    names = [[image.filename for image in _read(root, subset)] for subset in ("train", "val")]
    assert names == [[f"{name}.jpg" for name in part] for part in (shuffled[:7], shuffled[7:])]


def test_an_image_without_annotation_is_left_out(root):
    (root / "annotations" / "xmls" / f"{IDS[0]}.xml").unlink()
    (bad,) = [image for image in _read(root) if not image.usable]
    assert bad.faults[0].kind == "annotation_unreadable" and bad.filename == f"{IDS[0]}.jpg"
    (root / "images" / f"{IDS[0]}.jpg").unlink()
    (bad,) = [image for image in _read(root) if not image.usable]
    assert bad.faults[0].kind == "image_missing"


def test_what_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match=r"trainval.txt: no such file; check --data_dir"):
        _read(tmp_path)
    with pytest.raises(ConfigError, match="--set=test: unknown; one of train, val"):
        _read(tmp_path, "test")
