"""VOC folders made in a test."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detection.data.convert import conversion, voc
from detection.data.convert.source import Source
from detection.data.findings import DataReport


def jpeg(width: int = 40, height: int = 60, mode: str = "RGB", kind: str = "JPEG", **options: object) -> bytes:
    """An encoded image of coarse random colours."""
    random = np.random.default_rng(width * 1000 + height)
    blocks = random.integers(0, 255, (-(-height // 10), -(-width // 10), 3)).astype(np.uint8)
    pixels = np.kron(blocks, np.ones((10, 10, 1), np.uint8))[:height, :width]
    stream = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(stream, kind, **options)
    return stream.getvalue()


@dataclasses.dataclass
class VocFolder:
    """A VOC folder and its conversion."""

    root: Path

    def image(self, name: str, data: bytes | None = None) -> Path:
        path = self.root / "JPEGImages" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg() if data is None else data)
        return path

    def annotate(
        self, name: str, objects: list[tuple] | str = (), size: tuple[int, int] | None = (40, 60), filename: str = ""
    ) -> Path:
        """Writes `name`.xml. An object is (class, xmin, ymin, xmax, ymax) or (..., {tag: text})."""
        path = self.root / "Annotations" / f"{name}.xml"
        path.parent.mkdir(parents=True, exist_ok=True)
        if not isinstance(objects, str):
            objects = "".join(_object(*values) for values in objects)
        sizes = f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>" if size else ""
        path.write_text(f"<annotation><filename>{filename}</filename>{sizes}{objects}</annotation>", encoding="utf-8")
        return path

    def add(
        self,
        name: str,
        objects: list[tuple] | str = (("dog", 1, 2, 20, 30),),
        data: bytes | None = None,
        **annotation: object,
    ) -> None:
        """An image with its annotation."""
        self.image(f"{name}.jpg", data)
        self.annotate(name, objects, **annotation)

    def split(self, name: str, text: str) -> Path:
        path = self.root / "ImageSets" / "Main" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def read(self, subset: str = "", **source: object) -> list:
        return list(voc.read(Source(roots=(str(self.root),), subset=subset, **source)).images)

    def convert(self, subset: str = "", **options: object) -> tuple[DataReport, str]:
        """Converts into `out/`; returns the report and what was told."""
        told = io.StringIO()
        settings = conversion.ConversionOptions(
            **{"output": str(self.root / "out" / "all.record"), "max_bad_percent": 100.0, **options}
        )
        report = conversion.convert(voc.read(Source(roots=(str(self.root),), subset=subset)), settings, told)
        return report, told.getvalue()


def _object(
    name: str, xmin: object, ymin: object, xmax: object, ymax: object, more: dict[str, object] | None = None
) -> str:
    tags = "".join(f"<{tag}>{value}</{tag}>" for tag, value in (more or {}).items())
    box = f"<bndbox><xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}</xmax><ymax>{ymax}</ymax></bndbox>"
    return f"<object><name>{name}</name>{tags}{box}</object>"


@pytest.fixture
def voc_folder(tmp_path: Path) -> VocFolder:
    return VocFolder(tmp_path / "VOC 2007 é")


@pytest.fixture(scope="session")
def encode():
    """`jpeg`, for tests that need bytes."""
    return jpeg
