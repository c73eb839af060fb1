"""Open Images: one CSV file of boxes for all images, and one of the classes of whole images.

    ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside
    ImageID,Source,LabelName,Confidence

Boxes are fractions of the image; the image of an id is `<id>.jpg`. Classes are machine names, "/m/01g317". All images
of the folder are taken, those without a box too.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from detection.data.convert.source import (
    IMAGE_EXTENSIONS,
    AnnotatedBox,
    AnnotatedImage,
    AnnotatedLabel,
    AnnotatedSet,
    FolderIndex,
    Source,
    normal,
    of_classes,
    stem,
)
from detection.data.findings import Fault
from detection.errors import ConfigError, DataError

_ID, _CLASS, _CONFIDENCE = "ImageID", "LabelName", "Confidence"
_SIDES = ("XMin", "YMin", "XMax", "YMax")
_FLAGS = {"IsOccluded": "occluded", "IsTruncated": "truncated", "IsGroupOf": "group_of", "IsDepiction": "depiction"}
Rows = Iterator[tuple[int, dict[str, str]]]


def read(source: Source) -> AnnotatedSet:
    """The images of `image_dir` by name, with the boxes of `annotations` and the classes of `image_labels`.

    Raises:
        ConfigError: where a file or folder does not exist. DataError: for a file without the columns. Faults of single
            lines travel with their image.
    """
    if source.roots or source.subset or source.split_file:
        raise ConfigError("a file of Open Images is its own split; pass --annotation_file and --image_dir only")
    if not Path(source.image_dir).is_dir() or not source.image_dir:
        raise ConfigError(f"{source.image_dir or '--image_dir'}: no such folder of images; check --image_dir")
    return of_classes(AnnotatedSet(_read(source)), source.classes)


def _read(source: Source) -> Iterator[AnnotatedImage]:
    images = FolderIndex(source.image_dir, IMAGE_EXTENSIONS)
    names = {normal(stem(Path(name).name)): name for name in images.names}
    boxes: dict[str, list[AnnotatedBox]] = {}
    faults: dict[str, list[Fault]] = {}
    labels: dict[str, list[AnnotatedLabel]] = {}
    absent: dict[str, int] = {}  # boxes by id, of images that are not there
    for line, row in _rows(source.annotations, "--annotation_file", (_ID, _CLASS, *_SIDES)):
        identity = row[_ID]
        if identity not in names:
            absent[identity] = absent.get(identity, 0) + 1
            continue
        try:
            boxes.setdefault(identity, []).append(_box(line, row))
        except (TypeError, ValueError):
            value = f"{row}; XMin, YMin, XMax and YMax are numbers"
            fault = Fault("annotation_unreadable", source.annotations, f"line {line}", value, "box left out")
            faults.setdefault(identity, []).append(fault)
    if source.image_labels:
        for line, row in _rows(source.image_labels, "--image_labels_file", (_ID, _CLASS, _CONFIDENCE)):
            if row[_ID] in names:
                labels.setdefault(row[_ID], []).append(_label(source.image_labels, line, row))
    for identity, name in names.items():
        own, wrong = tuple(boxes.get(identity, ())), tuple(faults.get(identity, ()))
        yield AnnotatedImage(
            *(source.annotations, images.path(name), name, identity, None, own, len(own) + len(wrong), wrong),
            in_fractions=True,
            labels=tuple(labels.get(identity, ())),
        )
    for identity, count in absent.items():
        value = f"no {identity}.jpg (or another type) in {source.image_dir}"
        fault = Fault("image_missing", source.annotations, "", value, "image left out")
        yield AnnotatedImage(source.annotations, Path(), identity, identity, None, (), count, (fault,), usable=False)


def _rows(path: str, flag: str, columns: tuple[str, ...]) -> Rows:
    if not path or not Path(path).is_file():
        raise ConfigError(f"{path or flag}: no such file; pass {flag}, a CSV file of Open Images")
    try:
        with open(path, encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            lacking = [column for column in columns if column not in (reader.fieldnames or ())]
            if lacking:
                raise DataError(f"{path}: has no column {lacking[0]}; its first line names {', '.join(columns)}")
            for row in reader:
                yield reader.line_num, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as CSV in UTF-8: {error}") from error


def _box(line: int, row: dict[str, str]) -> AnnotatedBox:
    xmin, ymin, xmax, ymax = (float(row[side]) for side in _SIDES)
    # -1 says that nobody looked.
    marks = {field: row.get(column, "0").strip() in ("1", "1.0") for column, field in _FLAGS.items()}
    return AnnotatedBox(f"line {line} ({row[_CLASS]})", row[_CLASS], xmin, ymin, xmax, ymax, **marks)


def _label(path: str, line: int, row: dict[str, str]) -> AnnotatedLabel:
    try:
        return AnnotatedLabel(row[_CLASS], float(row[_CONFIDENCE]))
    except (TypeError, ValueError):
        raise DataError(f"{path}: line {line}: {_CONFIDENCE} {row[_CONFIDENCE]!r} is no number") from None
