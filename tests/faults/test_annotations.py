"""Hostile and contradictory annotations in conversion: refused or left out by file, entry and value; never followed,
never expanded."""

from __future__ import annotations

import io
import json
import resource
from pathlib import Path

import pytest
from PIL import Image

BOX = "<object><name>cat</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>20</xmax><ymax>30</ymax></bndbox></object>"


def jpeg(value: int = 9) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (40, 60), (value, 99, 199)).save(stream, "JPEG")
    return stream.getvalue()


def voc(folder: Path, annotations: dict[str, str]) -> Path:
    """A VOC folder with an image to each annotation, and one good pair more."""
    root = folder / "voc"
    for name in ("JPEGImages", "Annotations"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for number, (name, text) in enumerate({"good": f"<annotation>{BOX}</annotation>", **annotations}.items()):
        (root / "JPEGImages" / f"{name}.jpg").write_bytes(jpeg(number))
        (root / "Annotations" / f"{name}.xml").write_text(text, encoding="utf-8")
    return root


LAUGHS = "".join(f'<!ENTITY a{number} "{f"&a{number - 1};" * 10 if number else "ha" * 50}">' for number in range(12))
HOSTILE = {
    "entity bomb": f"<!DOCTYPE annotation [{LAUGHS}]><annotation><filename>&a11;</filename>{BOX}</annotation>",
    "quadratic": (
        f'<!DOCTYPE a [<!ENTITY x "{"y" * 100_000}">]><annotation><folder>{"&x;" * 10_000}</folder>{BOX}</annotation>'
    ),
    "external": (
        f'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation><filename>&x;</filename>{BOX}</annotation>'
    ),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_entities_are_not_expanded(command, tmp_path, holds, kind):
    """Row 65."""
    root = voc(tmp_path, {"bad": HOSTILE[kind]})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    arguments = ("create_tf_record.py", f"--voc_dir={root}", f"--output={tmp_path / 'out' / 'a.record'}")
    done = command(*arguments, "--on_bad=fail")
    assert done.code == 3 and not list((tmp_path / "out").glob("*.record-*"))
    holds(done.error, root / "Annotations" / "bad.xml")
    assert "root:" not in done.err + done.out
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000, "KiB"
    done = command(*arguments)
    assert done.code == 0
    holds(done.out, "bad.xml", "left out: 1 of 2 images")


@pytest.mark.parametrize("name", ["../../secret.jpg", "/etc/passwd", "..\\..\\secret.jpg", "C:\\secret.jpg"])
def test_names_that_lead_out_of_the_folder(command, tmp_path, holds, name):
    """Rows 65 and 66, VOC: the name in the annotation of an image that is not there by its own name."""
    root = voc(tmp_path, {"bad": f"<annotation><filename>{name}</filename>{BOX}</annotation>"})
    (root / "JPEGImages" / "bad.jpg").unlink()
    (tmp_path / "secret.jpg").write_bytes(jpeg())
    done = command(
        "create_tf_record.py", f"--voc_dir={root}", f"--output={tmp_path / 'out' / 'a.record'}", "--on_bad=fail"
    )
    assert done.code == 3 and not list((tmp_path / "out").glob("*.record-*"))
    holds(done.error, root / "Annotations" / "bad.xml", repr(name))


def coco(folder: Path, **changes: list) -> tuple[str, ...]:
    """Arguments for a COCO file of one good image with these lists instead of its own."""
    (folder / "images").mkdir()
    (folder / "images" / "a.jpg").write_bytes(jpeg())
    content = {"images": [IMAGE], "annotations": [ANNOTATION], "categories": [{"id": 1, "name": "cat"}], **changes}
    (folder / "instances.json").write_text(json.dumps(content))
    paths = (
        f"--annotation_file={folder / 'instances.json'}",
        f"--image_dir={folder / 'images'}",
        f"--output={folder / 'out' / 'a.record'}",
    )
    return "create_tf_record.py", "--format=coco", *paths


IMAGE = {"id": 7, "file_name": "a.jpg", "width": 40, "height": 60}
ANNOTATION = {"id": 1, "image_id": 7, "category_id": 1, "bbox": [4, 6, 16, 54], "area": 500, "iscrowd": 0}


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"images": [IMAGE, {**IMAGE, "file_name": "b.jpg"}]}, ("images[0]: id '7'", "'a.jpg', 'b.jpg'")),
        ({"annotations": [ANNOTATION, {**ANNOTATION, "id": 2, "image_id": 8}]}, ("annotations[1]", "image_id 8")),
        ({"annotations": [ANNOTATION, {**ANNOTATION, "id": 2, "category_id": 5}]}, ("annotations[1]", "category_id 5")),
        ({"images": [IMAGE, {**IMAGE, "id": 8, "file_name": "../secret.jpg"}]}, ("images[1]", "../secret.jpg")),
        ({"images": [IMAGE, {**IMAGE, "id": 8, "file_name": "/etc/passwd"}]}, ("images[1]", "/etc/passwd")),
    ],
    ids=["67-duplicate id", "67-unknown image", "67-unknown category", "66-parent", "66-absolute"],
)
def test_entries_that_contradict_each_other_or_lead_out(command, tmp_path, holds, changes, parts):
    done = command(*coco(tmp_path, **changes), "--on_bad=fail")
    assert done.code == 3 and not list((tmp_path / "out").glob("*.record-*"))
    holds(done.error, tmp_path / "instances.json", *parts)


@pytest.mark.parametrize("name", ["with space.jpg", "größe ☃.jpg", "a..b.jpg", "[1].jpg", "#%&=.jpg"])
def test_names_that_are_only_unusual(command, tmp_path, holds, name):
    """Row 66."""
    arguments = coco(tmp_path, images=[{**IMAGE, "file_name": name}])
    (tmp_path / "images" / "a.jpg").rename(tmp_path / "images" / name)
    done = command(*arguments, "--on_bad=fail")
    assert done.code == 0, done.err
    holds(done.out, "1 image, 1 box")
