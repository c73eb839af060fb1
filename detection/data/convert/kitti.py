"""KITTI: one text file an image, fifteen columns an object.

    type truncated occluded alpha  left top right bottom  height width length  x y z  rotation_y

Boxes are pixels, counted from 0. Classes are taken in lower case, as the TF Object Detection API's label map has them.
`DontCare` marks regions with objects that nobody annotated: it is no class, and objects whose box overlaps one are left
out, unless `Source.classes` names classes without it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from detection.data.convert.source import (
    IMAGE_EXTENSIONS,
    AnnotatedBox,
    AnnotatedImage,
    AnnotatedSet,
    FolderIndex,
    Source,
    of_classes,
    stem,
)
from detection.data.convert.split import split_lines
from detection.data.findings import Fault
from detection.errors import ConfigError
from detection.files import read_bytes

DONT_CARE = "dontcare"
_COLUMNS = 15  # of labels; results have a score behind them
_IMAGES = ("data_object_image_2/training/image_2", "training/image_2", "image_2")
_LABELS = ("data_object_label_2/training/label_2", "training/label_2", "label_2")


def read(source: Source) -> AnnotatedSet:
    """Returns the images of a KITTI folder, by name.

    The folder is a root with the layout of the data set's archives, or `image_dir` and `annotations`.

    Raises:
        ConfigError: for a folder that does not exist. Faults of single lines are reported with their image.
    """
    if source.subset:
        raise ConfigError(f"--set={source.subset}: KITTI has no named splits; pass --split=FILE with an id a line")
    images = _folder(source.image_dir, source.roots, _IMAGES, "--image_dir")
    labels = _folder(source.annotations, source.roots, _LABELS, "--annotation_dir")
    names = FolderIndex(images, IMAGE_EXTENSIONS)
    chosen = [name for name in names.names if _is_among(name, *source.numbers)]
    if source.split_file:
        listed = {stem(Path(line).name) for line in split_lines(Path(source.split_file))}
        chosen = [name for name in chosen if stem(Path(name).name) in listed]
    return of_classes(AnnotatedSet(_read(names, labels, chosen, source.classes)), source.classes)


def _is_among(name: str, first: int | None, end: int | None) -> bool:
    """Whether the number that an image is called by lies in a range."""
    if first is None and end is None:
        return True
    number = stem(Path(name).name)
    if not number.isdecimal():
        raise ConfigError(f"{name}: is no number; images of KITTI are called 000000.png and so on")
    return (first is None or int(number) >= first) and (end is None or int(number) < end)


def _folder(given: str, roots: tuple[str, ...], below: tuple[str, ...], flag: str) -> Path:
    if len(roots) > 1:
        raise ConfigError(f"{roots[1]}: KITTI is read from one folder")
    candidates = [Path(given)] if given else [Path(root) / name for root in roots for name in below]
    for folder in candidates:
        if folder.is_dir():
            return folder
    looked = ", ".join(map(str, candidates)) or "no --data_dir"
    raise ConfigError(f"no such folder ({looked}); check --data_dir or {flag}")


def _read(images: FolderIndex, labels: Path, chosen: list[str], classes: tuple[str, ...]) -> Iterator[AnnotatedImage]:
    for name in chosen:
        path, file = images.path(name), labels / f"{stem(name)}.txt"
        if not file.is_file():
            note = Fault("no_annotation", str(path), "", f"no {file.name} in {labels}", "kept without boxes")
            yield AnnotatedImage(str(path), path, name, name, None, (), 0, (note,))
            continue
        try:
            lines = read_bytes(file).decode("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            fault = Fault("annotation_unreadable", str(file), f"of {name}", str(error), "image left out")
            yield AnnotatedImage(str(file), path, name, name, None, (), 0, (fault,), usable=False)
            continue
        boxes, faults = _boxes(str(file), lines)
        kept = boxes if classes and DONT_CARE not in classes else _without_overlaps(boxes)
        kept = tuple(box for box in kept if box.name != DONT_CARE)
        yield AnnotatedImage(str(file), path, name, name, None, kept, len(kept) + len(faults), tuple(faults))


def _boxes(where: str, lines: list[str]) -> tuple[tuple[AnnotatedBox, ...], list[Fault]]:
    boxes, faults = [], []
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words:
            continue
        item = f"line {number} ({words[0]})"
        try:
            truncated, occluded, left, top, right, bottom = (float(words[column]) for column in (1, 2, 4, 5, 6, 7))
        except (IndexError, ValueError):
            value = f"{line.strip()!r}; a line has {_COLUMNS} columns, numbers behind the first"
            faults.append(Fault("annotation_unreadable", where, item, value, "box left out"))
            continue
        box = AnnotatedBox(item, words[0].lower(), left, top, right, bottom)
        boxes.append(box._replace(truncated=truncated > 0, occluded=occluded in (1, 2)))
    return tuple(boxes), faults


def _without_overlaps(boxes: tuple[AnnotatedBox, ...]) -> tuple[AnnotatedBox, ...]:
    ignored = [box for box in boxes if box.name == DONT_CARE]
    return tuple(box for box in boxes if not any(_overlap(box, region) for region in ignored))


def _overlap(one: AnnotatedBox, other: AnnotatedBox) -> bool:
    across = min(one.xmax, other.xmax) - max(one.xmin, other.xmin)
    down = min(one.ymax, other.ymax) - max(one.ymin, other.ymin)
    return across > 0 and down > 0 and math.isfinite(across * down)
