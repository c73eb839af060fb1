"""Data sets of others: PASCAL VOC and COCO."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from pathlib import Path

from detection.errors import ConfigError, DataError
from tests.fuzz.mutate import Material
from tests.fuzz.of_images import picture
from tests.fuzz.reading import BRACES, TEXT, Reader


def _voc() -> Material:
    box = b"<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>12</xmax><ymax>15.5</ymax></bndbox>"
    thing = (
        b"<object><name>cat</name><pose>Left</pose><truncated>0</truncated><difficult>1</difficult>"
        + box
        + b"</object>"
    )
    whole = (
        b"<annotation><folder>x</folder><filename>a.jpg</filename><size><width>24</width><height>17</height><depth>3</depth></size>"
        + thing
    )
    corpus = [whole + thing + b"</annotation>", b'<?xml version="1.0" encoding="utf-8"?>\n' + whole + b"</annotation>"]
    tokens = [
        b"<object>",
        b"</object>",
        b"<name>",
        b"</name>",
        b"<bndbox>",
        b"<!DOCTYPE a [<!ENTITY b 'c'>]>",
        b"&b;",
        b"<![CDATA[",
        b"]]>",
        b"&#0;",
    ]
    tokens += [
        b'<?xml version="1.0" encoding="utf-16"?>',
        b'<?xml version="1.0" encoding="nope"?>',
        b"<!--",
        b"-->",
        b"xmlns:a='b'",
        b"../../a",
        b"C:\\a.jpg",
        thing,
    ]
    return Material(corpus, tokens, [(b"<object>", b"</object>"), (b"<a>", b"</a>"), (b"<name>", b"</name>")])


def _prepare_converter(annotated: Callable[[Path, bytes], object]) -> Callable[[Path], Callable[[bytes], str]]:
    """Reading the annotations; of some inputs also the whole conversion, which takes fifty times as long."""

    def prepare(folder: Path) -> Callable[[bytes], str]:
        from detection.data.convert import conversion

        pictures = folder / "images"
        pictures.mkdir()
        for name in ("a.jpg", "b.png"):
            (pictures / name).write_bytes(picture("JPEG" if name.endswith("jpg") else "PNG"))

        def run(data: bytes) -> str:
            try:
                found = annotated(folder, data)
                if zlib.crc32(data) % 50 == 0:
                    conversion.convert(
                        found,
                        conversion.ConversionOptions(
                            output=str(folder / "out" / "x.record"), overwrite=True, workers=1
                        ),
                    )
                    return "converted"
                images = list(found.images)
            except (DataError, ConfigError) as error:
                return type(error).__name__
            return "faults" if any(image.faults for image in images) else "read"

        return run

    return prepare


def _annotated_voc(folder: Path, data: bytes) -> object:
    from detection.data.convert import voc
    from detection.data.convert.source import Source

    (folder / "annotations").mkdir(exist_ok=True)
    (folder / "annotations" / "a.xml").write_bytes(data)
    return voc.read(Source(image_dir=str(folder / "images"), annotations=str(folder / "annotations")))


def _coco() -> Material:
    box = {
        "id": 1,
        "image_id": 1,
        "category_id": 1,
        "bbox": [1, 2, 10, 12],
        "area": 120,
        "iscrowd": 0,
        "segmentation": [[1, 2, 11, 2, 11, 14]],
    }
    content = {
        "images": [
            {"id": 1, "file_name": "a.jpg", "width": 24, "height": 17},
            {"id": "2", "file_name": "b.png", "width": 24, "height": 17},
        ],
        "categories": [{"id": 1, "name": "cat", "supercategory": "animal"}, {"id": 90, "name": "dog"}],
        "annotations": [box, {**box, "id": 2, "image_id": "2", "category_id": 90, "iscrowd": 1}],
    }
    keys = [
        json.dumps(key).encode()
        for key in (
            "images",
            "annotations",
            "categories",
            "bbox",
            "id",
            "image_id",
            "file_name",
            "segmentation",
            "area",
        )
    ]
    tokens = [
        *keys,
        b"null",
        b"true",
        b'"\\ud800"',
        b'"../../etc/passwd"',
        b'"/etc/passwd"',
        b'"' + b"x" * 300 + b'.jpg"',
        b"[[[]]]",
        b"{}",
        b",",
        b'"a\\u0000"',
    ]
    return Material([json.dumps(content).encode(), json.dumps(content, indent=1).encode()], tokens, BRACES)


def _annotated_coco(folder: Path, data: bytes) -> object:
    from detection.data.convert import coco
    from detection.data.convert.source import Source

    (folder / "coco.json").write_bytes(data)
    return coco.read(Source(image_dir=str(folder / "images"), annotations=str(folder / "coco.json")))


READERS = {
    "voc": Reader(_voc, _prepare_converter(_annotated_voc), TEXT),
    "coco": Reader(_coco, _prepare_converter(_annotated_coco), TEXT),
}
