"""Makes a data set of synthetic scenes: VOC folders, records converted from them, and test images.

<folder>/voc/{JPEGImages,Annotations,ImageSets/Main}    train and val
<folder>/{train,val}.record-?????-of-?????, label_map.pbtxt
<folder>/test_images/*.jpg                              in neither split
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TextIO
from xml.sax.saxutils import escape

from detection import files
from detection.config import label_map
from detection.data import synthetic
from detection.data.convert import conversion, voc
from detection.data.convert.source import Source
from detection.data.findings import DataReport
from detection.errors import PathError, number_of
from detection.progress import counted
from detection.tools.parallel import in_order

SIZES = ((320, 240), (360, 270), (400, 300))
_JPEG_QUALITY = 92


def make(
    folder: str | os.PathLike[str],
    counts: dict[str, int],
    num_test_images: int,
    sizes: tuple[tuple[int, int], ...] = SIZES,
    seed: int = 0,
    records: bool = True,
    out: TextIO | None = None,
    progress_to: TextIO | None = None,
) -> dict[str, DataReport]:
    """Draws a data set; the same arguments give the same files.

    Args:
        folder: created if missing; files of an earlier run in it are replaced.
        counts: number of images of each split.
        num_test_images: number of images that are in no split.
        sizes: widths and heights, used in turn.
        seed: determines the scenes.
        records: convert the splits to records.
        out: receives a summary of the files.
        progress_to: receives progress lines.

    Returns:
        The conversion report of each split.

    Raises:
        PathError: a file cannot be written.
    """
    root, total = Path(folder), sum(counts.values()) + num_test_images
    voc_dir, test_dir = root / "voc", root / "test_images"
    plan = [(f"{split}_{number:05d}", split) for split, count in counts.items() for number in range(count)]
    plan += [(f"test_{number:05d}", "") for number in range(num_test_images)]

    own_files = re.compile(f"({'|'.join(map(re.escape, counts))}|test)_\\d{{5}}\\.(jpg|xml)")

    def draw_one(index: int) -> None:
        name, split = plan[index]
        scene = synthetic.draw(sizes[index % len(sizes)], seed, index)
        if split:
            scene.image.save(voc_dir / "JPEGImages" / f"{name}.jpg", quality=_JPEG_QUALITY)
            (voc_dir / "Annotations" / f"{name}.xml").write_text(_annotation(f"{name}.jpg", scene), encoding="utf-8")
        else:
            scene.image.save(test_dir / f"{name}.jpg", quality=_JPEG_QUALITY)

    try:
        for subfolder in (voc_dir / "JPEGImages", voc_dir / "Annotations", voc_dir / "ImageSets" / "Main", test_dir):
            subfolder.mkdir(parents=True, exist_ok=True)
            for existing in subfolder.iterdir():
                if own_files.fullmatch(existing.name):
                    existing.unlink()
        lists = {voc_dir / "ImageSets" / "Main" / f"{split}.txt": split for split in counts}
        for path in lists:
            path.unlink(missing_ok=True)
        workers = os.cpu_count() or 1
        with ThreadPoolExecutor(workers) as pool:
            for _ in counted(
                in_order(pool, draw_one, range(total), 4 * workers), total, f"drawing {root}", progress_to
            ):
                pass
        for path, split in lists.items():  # Written last, so that an incomplete set has no lists of images.
            files.write_text(path, "".join(f"{name}\n" for name, image_split in plan if image_split == split))
    except OSError as error:
        raise PathError(
            f"{error.filename or root}: cannot write: {files.reason(error)}; check --output_dir and the free space"
        ) from error
    if out is not None:
        out.write(f"{root}: {number_of(total, 'image')} drawn; VOC folder {voc_dir}, test images {test_dir}\n")
    return (
        dict(_convert(root, voc_dir, [split for split, count in counts.items() if count], out, progress_to))
        if records
        else {}
    )


def _convert(
    root: Path, voc_dir: Path, splits: list[str], out: TextIO | None, progress_to: TextIO | None
) -> Iterator[tuple[str, DataReport]]:
    map_path = root / "label_map.pbtxt"
    label_map.save(map_path, synthetic.SHAPES)
    for split in splits:
        options = conversion.ConversionOptions(
            output=str(root / f"{split}.record"), label_map_path=str(map_path), on_bad=conversion.FAIL, overwrite=True
        )
        yield (
            split,
            conversion.convert(voc.read(Source(roots=(str(voc_dir),), subset=split)), options, out, progress_to),
        )


def _annotation(filename: str, scene: synthetic.Scene) -> str:
    """The VOC XML of a scene. Coordinates may have half pixels."""
    width, height = scene.image.size
    objects = "".join(
        f"  <object>\n    <name>{escape(obj.name)}</name>\n    <pose>Unspecified</pose>\n"
        f"    <truncated>{obj.truncated:d}</truncated>\n    <difficult>0</difficult>\n"
        f"    <bndbox><xmin>{obj.xmin:g}</xmin><ymin>{obj.ymin:g}</ymin>"
        f"<xmax>{obj.xmax:g}</xmax><ymax>{obj.ymax:g}</ymax></bndbox>\n"
        "  </object>\n"
        for obj in scene.objects
    )
    return (
        f"<annotation>\n  <filename>{escape(filename)}</filename>\n"
        f"  <size><width>{width}</width><height>{height}</height><depth>3</depth></size>\n"
        f"  <segmented>0</segmented>\n{objects}</annotation>\n"
    )
