"""Reads COCO annotations: one JSON file for all images.

    images: [{id, file_name, width, height}]    categories: [{id, name, supercategory}]
    annotations: [{image_id, category_id, bbox: [x, y, width, height], segmentation, iscrowd, area}]

A label map made from it keeps the category ids with their gaps (COCO's ids go up to 90), because results are submitted
with them. If the list of categories starts at 0, the background's id, all ids are increased by one, whichever a file
uses: the files of all splits have the same list. Only boxes are read; an object without one gets the box around its
segmentation.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

from detection.data.convert import coco_split, encoding
from detection.data.convert.coco_images import Entries, images
from detection.data.convert.coco_values import corners_of, is_text, number, shown, whole_number
from detection.data.convert.encoding import REPLACED
from detection.data.convert.images import sniff
from detection.data.convert.source import AnnotatedSet, Source, of_classes
from detection.errors import ConfigError, DataError
from detection.files import read_bytes

_MAX_LABEL = 2**31 - 1  # A label map's ids are int32, and may have to be increased by one.
_BACKGROUND = ("background", "__background__", "_background_")
_LISTS = ("images", "annotations", "categories")


def read(source: Source) -> AnnotatedSet:
    """Reads a COCO file.

    Faults of single entries are returned with their image.

    Args:
        source: `annotations` is the file, `image_dir` the folder of the images (by default the file's folder).

    Raises:
        ConfigError: the file or folder does not exist.
        DataError: the file is not a COCO file.
    """
    if source.roots or source.subset:
        raise ConfigError(
            "a COCO file has no named splits; pass --annotation_file and --image_dir, and --split=FILE to take the"
            " images that a file lists"
        )
    file = Path(source.annotations)
    if not source.annotations or not file.is_file():
        raise ConfigError(f"{source.annotations or '--annotation_file'}: no such COCO file; pass --annotation_file")
    folder = Path(source.image_dir) if source.image_dir else file.parent
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder of images; check --image_dir")
    content, doubt, other = _load(file)
    if source.images_only and isinstance(content, dict):
        content = {"annotations": [], **content}
    lists = coco_split.chosen(_lists(str(file), content), str(file), source.split_file, source.exclude_file)
    used = {whole_number(entry.get("category_id")) for entry in lists["annotations"]}
    names = _categories(str(file), lists["categories"], used)
    _refuse_corners(str(file), lists["annotations"])
    ids, no_map = _labels(str(file), names, lists["categories"], 0 in used)
    other_names = (
        [entry.get("file_name") if isinstance(entry, dict) else None for entry in other.get("images", ())]
        if isinstance(other, dict)
        else []
    )
    entries = Entries(str(file), lists["images"], lists["annotations"], names, doubt, other_names)
    return of_classes(AnnotatedSet(images(entries, folder), ids, no_map), source.classes)


def _load(file: Path) -> tuple[object, str, object]:
    """The content, a warning about its encoding, and the content in another encoding if there is a doubt."""
    data = b""
    try:
        data = read_bytes(file)
        text = encoding.decode_json(data)
        content = json.loads(text.text, object_pairs_hook=_object)
        other = json.loads(text.other) if text.other else None
    except json.JSONDecodeError as error:
        guess = (
            f"; the file seems to be {sniff(data)}"
            if error.pos == 0 and data
            else ""
            if data
            else "; the file is empty"
        )
        raise DataError(f"{file}:{error.lineno}:{error.colno}: not JSON: {error.msg}{guess}") from error
    except encoding.WrongEncoding as error:
        raise DataError(f"{file}: {error}") from error
    # ValueError: an integer of thousands of digits, or a duplicate key.
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{file}: cannot read: {getattr(error, 'strerror', None) or error}") from error
    return content, text.doubt, other


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Makes a JSON object; raises ValueError for a duplicate key, whose first value would be lost."""
    content = dict(pairs)
    if len(content) < len(pairs):
        for key, value in pairs:
            if content[key] != value:
                raise ValueError(f"the key {shown(key)} appears twice in one object with different values; keep one")
    return content


def _lists(file: str, content: object) -> dict[str, list[dict]]:
    lists: dict[str, list[dict]] = {}
    for name in _LISTS:
        entries = content.get(name) if isinstance(content, dict) else None
        if not isinstance(entries, list):
            bad_index = "null, not" if isinstance(content, dict) and name in content and entries is None else "not"
            raise DataError(
                f"{file}: {name!r} is {bad_index} a list of objects; a COCO instances file has images, annotations and "
                f"categories{_probable_format(content)}{_without(name, content)}"
            )
        bad_index = next((index for index, entry in enumerate(entries) if not isinstance(entry, dict)), None)
        if bad_index is not None:
            raise DataError(
                f"{file}: {name!r} is not a list of objects: {name}[{bad_index}] is {shown(entries[bad_index])}; "
                "a COCO instances file has images, annotations and categories"
            )
        lists[name] = entries
    return lists


def _without(name: str, content: object) -> str:
    """How to convert images of which nothing is annotated, where only the annotations are missing."""
    is_image_list = name == "annotations" and isinstance(content, dict) and {"images", "categories"} <= content.keys()
    return "; for images to detect in, as of COCO's test sets, pass --images_only" if is_image_list else ""


def _probable_format(content: object) -> str:
    """The probable format of a file that is not COCO, for a message."""
    entries = content if isinstance(content, list) else list(content.values()) if isinstance(content, dict) else []
    first = entries[0] if entries and isinstance(entries[0], dict) else {}
    if isinstance(content, dict) and "shapes" in content:
        format_name = "LabelMe's format, one file per image"
    elif "regions" in first or (isinstance(content, dict) and "_via_img_metadata" in content):
        format_name = "VGG Image Annotator's format: export the annotations in COCO format"
    elif isinstance(content, list) and "score" in first:
        format_name = "a file of detections, not of annotations"
    elif isinstance(content, list) and "image" in first:
        format_name = "CreateML's format: export the data set in COCO format"
    else:
        return f"; it has {shown(sorted(map(str, content))[:8])}" if isinstance(content, dict) and content else ""
    keys = f"it has {shown(sorted(map(str, content))[:8])}, and " if isinstance(content, dict) else "it "
    return f"; {keys}looks like {format_name}"


def _categories(file: str, entries: list[dict], used: set[int | None]) -> dict[int, str]:
    names: dict[int, str] = {}
    # In Roboflow's exports the root category has the name of the data set, which may also be that of its only class.
    parents = {entry["supercategory"] for entry in entries if _is_below_its_own_name(entry)}
    for index, entry in enumerate(entries):
        identity, name = whole_number(entry.get("id")), entry.get("name")
        if isinstance(name, str) and name in parents and not _is_below_its_own_name(entry) and identity not in used:
            continue
        address = f"{file}: categories[{index}]"
        if identity is None or not 0 <= identity < _MAX_LABEL or not isinstance(name, str) or not name.strip():
            raise DataError(
                f"{address}: id {shown(entry.get('id'))} and name {shown(name)}; a category has an id from 0 to "
                f"{_MAX_LABEL - 1} and a name"
            )
        if REPLACED in name:
            raise DataError(f"{address}: the encoding of the name {shown(name)} is wrong; save the file as UTF-8")
        if not is_text(name):
            raise DataError(f"{address}: the name {shown(name)} contains half of a surrogate pair; fix the name")
        if names.get(identity) == name:
            continue
        if identity in names or name in names.values():
            raise DataError(
                f"{address}: id {identity} or name {shown(name)} exists already; give each category its own"
            )
        names[identity] = name
    return names


def _is_below_its_own_name(entry: dict) -> bool:
    return isinstance(entry.get("name"), str) and entry["name"] == entry.get("supercategory")


def _refuse_corners(file: str, entries: list[dict]) -> None:
    """Raises DataError if boxes are [xmin, ymin, xmax, ymax] according to the areas of the objects."""
    corners = sides = others = 0
    for entry in entries:
        box, area = corners_of(entry.get("bbox")), number(entry.get("area"))
        if box is None or not area > 0:
            continue
        x, y, width, height = box[0], box[1], box[2] - box[0], box[3] - box[1]
        is_corners = width > x and height > y and math.isclose((width - x) * (height - y), area, rel_tol=0.01)
        is_sides = math.isclose(width * height, area, rel_tol=0.01)
        corners, sides, others = corners + is_corners, sides + is_sides, others + (not is_corners)
        if sides > corners or others > corners:  # In the usual case the first boxes are enough.
            return
    if corners >= 3 and corners > 9 * max(sides, others):
        raise DataError(
            f"{file}: bbox seems to be [xmin, ymin, xmax, ymax]: the area of {corners} objects is that of such boxes; "
            "in COCO it is [x, y, width, height], so write [xmin, ymin, xmax - xmin, ymax - ymin]"
        )


def _labels(file: str, names: dict[int, str], entries: list[dict], zero_used: bool) -> tuple[dict[str, int], str]:
    """The label of each class, from the list of categories only; and why no label map can be made, or empty."""
    zero = names.get(0)
    if zero is None:
        return {name: identity for identity, name in names.items()}, ""
    background = zero.strip().casefold() in _BACKGROUND
    if not background and not _is_root(zero, names, entries):
        return {name: identity + 1 for identity, name in names.items()}, ""
    no_map = ""
    if zero_used:
        reason = "has the name of the background" if background else "is the supercategory of all others"
        no_map = (
            f"{file}: category 0 ({shown(zero)}) {reason}, so it is not a class, but objects have it. If it is one, "
            "pass a --label_map_path with all classes, for all splits; if not, one without it"
        )
    return {name: identity for identity, name in names.items() if identity > 0}, no_map


def _is_root(name: str, names: dict[int, str], entries: list[dict]) -> bool:
    """Whether a category is the root of all others: it has no listed supercategory, and theirs lead to it."""
    parents = {
        entry["name"]: entry.get("supercategory") for entry in entries if isinstance(entry.get("supercategory"), str)
    }
    all_names = set(names.values())
    if parents.get(name) in all_names or len(names) < 2:
        return False
    descendants = {name}
    remaining = all_names - descendants
    while remaining:
        children = {other for other in remaining if parents.get(other) in descendants}
        if not children:
            return False
        descendants |= children
        remaining -= children
    return True
