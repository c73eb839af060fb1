"""COCO: one JSON file for all images.

    images: [{id, file_name, width, height}]    categories: [{id, name}]
    annotations: [{image_id, category_id, bbox: [x, y, width, height], iscrowd, area}]

A label map made from it keeps the category ids, gaps included (COCO's own go to 90), because results are handed in under them. Only boxes are read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from detection.data.convert.source import AnnotatedBox, AnnotatedImage, AnnotatedSet, Source, is_inside
from detection.data.report import Fault
from detection.errors import ConfigError, DataError

_MAX_LABEL = 2**31 - 1  # A label map's ids are int32, and may have to be shifted by one.
_MAX_LENGTH = 1e9  # pixels; JSON's integers have no end


def read(source: Source) -> AnnotatedSet:
    """Reads a COCO file: `annotations`, with the images in `image_dir` (by default the file's folder).

    Raises:
        ConfigError: where the file or folder does not exist. DataError: for a file that is not COCO's. Faults of single entries travel
            with their image.
    """
    if source.roots or source.subset or source.split_file:
        raise ConfigError("a COCO file is its own split; pass --annotation_file and --image_dir only")
    file = Path(source.annotations)
    if not source.annotations or not file.is_file():
        raise ConfigError(f"{source.annotations or '--annotation_file'}: no such COCO file; pass --annotation_file")
    folder = Path(source.image_dir) if source.image_dir else file.parent
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder of images; check --image_dir")
    try:
        content = json.loads(file.read_bytes())
    except json.JSONDecodeError as error:
        raise DataError(f"{file}:{error.lineno}:{error.colno}: not JSON: {error.msg}") from error
    except (OSError, ValueError, RecursionError) as error:  # ValueError: not UTF-8, or an integer of thousands of digits.
        raise DataError(f"{file}: cannot read: {error}") from error
    lists = {}
    for name in ("images", "annotations", "categories"):
        lists[name] = content.get(name) if isinstance(content, dict) else None
        if not isinstance(lists[name], list) or not all(isinstance(entry, dict) for entry in lists[name]):
            raise DataError(f"{file}: {name!r} is not a list of objects; a COCO instances file has images, annotations and categories")
    names = _categories(str(file), lists["categories"])
    used = {entry.get("category_id") for entry in lists["annotations"] if isinstance(entry.get("category_id"), int)}
    shift = 1 if 0 in names and 0 in used else 0  # Some tools count from 0, which is the background's id; others put an unused root there.
    ids = {name: identity + shift for identity, name in names.items() if identity + shift > 0}
    return AnnotatedSet(_images(str(file), folder, lists["images"], lists["annotations"], names), ids)


def _categories(file: str, entries: list[dict]) -> dict[int, str]:
    names: dict[int, str] = {}
    for number, entry in enumerate(entries, start=1):
        identity, name = entry.get("id"), entry.get("name")
        place = f"{file}: categories[{number - 1}]"
        if not _is_id(identity) or not 0 <= identity < _MAX_LABEL or not isinstance(name, str) or not name.strip():
            raise DataError(f"{place}: id {identity!r} and name {name!r}; a category has an id from 0 to {_MAX_LABEL - 1} and a name")
        if identity in names or name in names.values():
            raise DataError(f"{place}: id {identity} or name {name!r} is there already; give each category its own")
        names[identity] = name
    return names


def _images(file: str, folder: Path, entries: list[dict], annotations: list[dict], names: dict[int, str]) -> Iterator[AnnotatedImage]:
    by_image: dict[int | str, list[tuple[int, dict]]] = {}
    for number, annotation in enumerate(annotations):
        identity = annotation.get("image_id")
        by_image.setdefault(identity if _is_id(identity) or isinstance(identity, str) else "", []).append((number, annotation))
    seen: set[int | str] = set()
    for number, entry in enumerate(entries):
        identity, name = entry.get("id"), entry.get("file_name")
        item = f"images[{number}]"

        def unusable(kind: str, value: str, found_boxes: int = 0, item: str = item) -> AnnotatedImage:
            fault = Fault(kind, file, item, value, "image left out")
            return AnnotatedImage(file, Path(), "", "", None, (), found_boxes, (fault,), usable=False)

        if not (_is_id(identity) or isinstance(identity, str) and identity) or not isinstance(name, str) or not name:
            yield unusable("annotation_unreadable", f"id {identity!r}, file_name {name!r}; an image has both")
            continue
        if identity in seen:
            yield unusable("duplicate_id", f"id {identity!r} was there before")
            continue
        seen.add(identity)
        if not is_inside(name):
            yield unusable("unsafe_path", f"file_name {name!r} leads out of {folder}; it should be a name inside it", len(by_image.get(identity, ())))
            continue
        faults: list[Fault] = []
        boxes = [box for index, annotation in by_image.get(identity, ()) if (box := _box(file, index, annotation, names, faults)) is not None]
        size = (entry.get("width"), entry.get("height"))
        if not all(_is_id(length) and 0 < length < _MAX_LENGTH for length in size):
            faults.append(Fault("size_absent", file, item, f"width {size[0]!r}, height {size[1]!r}"))
            size = None
        yield AnnotatedImage(file, folder / name, name, str(identity), size, tuple(boxes), len(by_image.get(identity, ())), tuple(faults))
    for identity, orphans in by_image.items():
        if identity not in seen:
            faults = tuple(
                Fault("annotation_orphan", file, f"annotations[{index}]", f"image_id {entry.get('image_id')!r} is not in images", "box left out")
                for index, entry in orphans
            )
            yield AnnotatedImage(file, Path(), "", "", None, (), len(orphans), faults, usable=False)


def _box(file: str, number: int, entry: dict, names: dict[int, str], faults: list[Fault]) -> AnnotatedBox | None:
    """One annotation; None where it has no usable box, which is then told in `faults`."""
    item = f"annotations[{number}] (id {entry.get('id')!r})"
    category, box, area = entry.get("category_id"), entry.get("bbox"), entry.get("area")
    if not _is_id(category) or category not in names:
        faults.append(Fault("class_unknown", file, item, f"category_id {category!r} is not in categories", "box left out"))
        return None
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)):
        faults.append(Fault("box_unreadable", file, item, f"bbox {box!r} is not [x, y, width, height]", "box left out"))
        return None
    x, y, width, height = map(float, box)
    crowd = bool(entry.get("iscrowd", 0))
    area = float(area) if _is_number(area) and area > 0 else None
    return AnnotatedBox(item, names[category], x, y, x + width, y + height, is_crowd=crowd, area=area)


def _is_id(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _MAX_LENGTH  # not so for NaN
