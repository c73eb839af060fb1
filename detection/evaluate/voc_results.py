"""Result files in the format of the PASCAL VOC evaluation server and development kit, one per class.

    comp4_det_test_<class>.txt      <image> <score> <left> <top> <right> <bottom>

Each line is a detection, in pixels of the original image as in annotations; images are identified by file name without
extension, as in VOC's ImageSets. comp4 is the server's name for detectors trained on data other than VOC's, here
ImageNet (Girshick 2015, section 4.2). A path names all files of a result with an asterisk for the class:

    eval_config { export_path: "results/VOC2012/Main/comp4_det_test_*.txt" }
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from detection import files
from detection.data.image_ids import voc_image_name
from detection.errors import DataError, number_of
from detection.evaluate.evaluator import ImageDetections
from detection.evaluate.stored import StoredDetections, collect

_REPORTED = 5  # number of faults that the message lists; the others are only counted
_FORM = "expected: image score left top right bottom"


def is_result_path(path: str | os.PathLike[str]) -> bool:
    """Returns whether a path names VOC result files: `..._*.txt`, with one asterisk, for the class, in the name."""
    name = Path(path).name
    return name.count("*") == 1 and name.lower().endswith(".txt")


def write(path: str | os.PathLike[str], detections: StoredDetections) -> None:
    """Writes one file per class, also for classes without detections. Folders are created.

    Args:
        path: see `is_result_path`.
        detections: has `categories`, whose ids are the classes plus one.

    Raises:
        DataError: a class name cannot be part of a file name, or two images have the same name without folder and
            extension. Nothing is written then.
        OSError: a file cannot be written.
    """
    names = {category.id - 1: category.shown for category in detections.categories}
    impossible = [name for name in names.values() if not name or re.search(r"[\\/\0\n]", name)]
    images = [voc_image_name(id_) for id_ in detections.ids]
    doubled = sorted({name for name in images if images.count(name) > 1}) if len(set(images)) < len(images) else []
    blank = [name for name in images if re.search(r"\s", name) or not name]
    for faulty, what, fix in (
        (impossible, "class", "cannot be part of a file name; rename it in the label map"),
        (doubled, "image", "is the name of several images; VOC's files identify images by file name without extension"),
        (blank, "image", "has spaces in its name, which separate the columns of VOC's files; rename the file"),
    ):
        if faulty:
            others = f" ({len(faulty) - 1} more like it)" if len(faulty) > 1 else ""
            raise DataError(
                f"{path}: {what} {faulty[0]!r}{others} {fix}, or set eval_config.export_path to a .npz or .json"
            )
    lines: dict[int, list[str]] = {class_: [] for class_ in names}
    for number, image in enumerate(images):
        found = detections.of(number)
        for row in np.argsort(-found.scores, kind="stable").tolist():
            top, left, bottom, right = (f"{np.float32(side):.9g}" for side in found.boxes[row])
            line = f"{image} {np.float32(found.scores[row]):.9g} {left} {top} {right} {bottom}\n"
            lines.setdefault(int(found.classes[row]), []).append(line)
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    for class_, rows in lines.items():
        name = names.get(class_, f"category_{class_ + 1}")
        files.write_text(target.with_name(target.name.replace("*", name)), "".join(rows))


def read(path: str | os.PathLike[str], classes: Mapping[str, int]) -> StoredDetections:
    """Reads the files of all classes.

    Args:
        path: see `is_result_path`.
        classes: name -> 0-based class. If a class has several names, one of its files must exist.

    Returns:
        The detections, with images by name, without image sizes, and without images that have no detections.

    Raises:
        DataError: the file of a class is missing or unreadable, or lines are not detections. The message has the faults
            of all files.
    """
    target = Path(path)
    found: dict[int, Path] = {}
    for name, class_ in classes.items():
        file = target.with_name(target.name.replace("*", name))
        if file.is_file():
            found.setdefault(class_, file)
    missing = sorted({name for name, class_ in classes.items() if class_ not in found})
    if missing:
        raise DataError(
            f"{path}: no file of class {missing[0]!r} ({number_of(len(missing), 'name')} without one of"
            f" {len(classes)}); write an empty file for a class without detections"
        )
    faults: list[str] = []
    images: dict[str, list[tuple[int, list[float]]]] = {}
    for class_, file in found.items():
        for number, line in enumerate(_text(file).splitlines(), 1):
            row = _row(line)
            if isinstance(row, str):
                faults.append(f"{file.name}:{number}: {row}")
            elif row is not None:
                images.setdefault(row[0], []).append((class_, row[1]))
    if faults:
        more = f" (and {len(faults) - _REPORTED} more)" if len(faults) > _REPORTED else ""
        raise DataError(f"{path}: {'; '.join(faults[:_REPORTED])}{more}; {_FORM}")
    stored = collect((name, (0, 0), _detections(rows)) for name, rows in sorted(images.items()))
    return stored._replace(sizes=None, path=os.fspath(path))


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: cannot be read: {files.reason(error)}; {_FORM}") from None


def _row(line: str) -> tuple[str, list[float]] | str | None:
    """Returns the image and five numbers of a line, None for an empty line, or a message that says what is wrong."""
    if not line.strip():
        return None
    image, *texts = line.split()
    try:
        numbers = [float(text) for text in texts]
    except ValueError:
        return f"{line.strip()[:80]!r} has values that are not numbers"
    if len(numbers) != 5 or not all(map(math.isfinite, numbers)):
        return f"{line.strip()[:80]!r} has {number_of(len(numbers), 'number')}, not 5 finite ones"
    return image, numbers


def _detections(rows: list[tuple[int, list[float]]]) -> ImageDetections:
    values = np.array([numbers for _, numbers in rows], np.float64)
    return ImageDetections(values[:, [2, 1, 4, 3]], values[:, 0], np.array([class_ for class_, _ in rows], np.int64))
