"""Links the images of a COCO file to their annotations and files, and reports every unusable object."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from detection.data.convert import segmentation
from detection.data.convert.coco_values import (
    MAX_LENGTH,
    canonical,
    corners_of,
    flag,
    identity,
    is_text,
    number,
    shown,
    whole_number,
)
from detection.data.convert.encoding import REPLACED
from detection.data.convert.match import FileFinder, comparable
from detection.data.convert.source import (
    IMAGE_EXTENSIONS,
    AnnotatedBox,
    AnnotatedImage,
    FolderIndex,
    is_inside,
    normal,
)
from detection.data.findings import Fault

_MAX_NAME = 255  # bytes of a file name, on all file systems in use
_LEFT_OUT = "box left out"
_IMAGE_LEFT_OUT = "image left out"


class Entries(NamedTuple):
    """The content of a COCO file."""

    file: str
    images: list[dict]
    annotations: list[dict]
    names: dict[int, str]  # class of each category id
    doubt: str = ""  # a warning about the encoding
    other_names: list = []  # file names of `images` in another encoding


def images(entries: Entries, folder: Path) -> Iterator[AnnotatedImage]:
    """Yields all listed images in order, then the annotations without image.

    Args:
        entries: the content of the file.
        folder: of the images.
    """
    return _Reader(entries, folder).read()


class _Listed(NamedTuple):
    """One entry of the list of images."""

    number: int
    id: str | None
    name: str  # as listed
    files: tuple[str, ...]  # files below the folder that the name may mean
    exact: bool  # whether it is the exact name of the file
    key: str = ""  # equal for entries of the same file

    @property
    def item(self) -> str:
        """The name in messages."""
        return f"images[{self.number}]"


class _Reader:
    """The images of one COCO file with their annotations and files."""

    def __init__(self, entries: Entries, folder: Path) -> None:
        self._entries = entries
        self._file = entries.file
        self._folder = folder
        self._listed = [self._entry(number, entry) for number, entry in enumerate(entries.images)]
        self._by_id: dict[str, list[_Listed]] = {}
        self._by_file: dict[str, list[_Listed]] = {}
        for entry in self._listed:
            if entry.id is not None:
                self._by_id.setdefault(entry.id, []).append(entry)
        called = {entry.key for entry in self._listed if entry.exact}
        for entry in self._listed:
            if entry.id is not None and entry.key and (entry.exact or entry.key not in called):
                self._by_file.setdefault(entry.key, []).append(entry)
        self._clashes = {identity: clash for identity, same in self._by_id.items() if (clash := _conflict(same))}
        self._ambiguous = {key: torn for key, same in self._by_file.items() if (torn := self._difference(same))}
        self._counted: set[str] = set()  # ids whose boxes were counted
        self._boxes, self._orphans = self._link_annotations()

    def read(self) -> Iterator[AnnotatedImage]:
        """Yields the images as `images` does."""
        yielded: set[str] = set()
        doubt = (
            (Fault("encoding_wrong", self._file, "", self._entries.doubt, "read the valid part"),)
            if self._entries.doubt
            else ()
        )
        for entry in self._listed:
            image = self._image(entry, yielded)
            yielded.add(entry.id or "")
            if image is not None:
                yield image._replace(faults=(*image.faults, *doubt))
                doubt = ()
        faults = tuple(
            Fault(
                "annotation_orphan",
                self._file,
                self._item(number),
                f"image_id {shown(annotation.get('image_id'))} is not in images",
                _LEFT_OUT,
            )
            for number, annotation in self._orphans
        )
        if faults or doubt:
            yield AnnotatedImage(
                self._file, Path(), "", "", None, (), len(faults), (*faults, *doubt), usable=False, counts=False
            )

    def _entry(self, number: int, entry: dict) -> _Listed:
        name = entry.get("file_name")
        name = name if isinstance(name, str) else ""
        exact = self._exact_file(name)
        files = (exact,) if exact else self._find(name)
        if (
            not files
            and REPLACED in name
            and number < len(self._entries.other_names)
            and isinstance(self._entries.other_names[number], str)
        ):
            files = self._find(self._entries.other_names[number])
        key = os.path.normpath(files[0]) if len(files) == 1 else ""
        return _Listed(number, identity(entry.get("id")), name, files, bool(exact), key)

    def _exact_file(self, name: str) -> str:
        """The file with this name, apart from slashes and Unicode normalisation; empty if there is none."""
        names = (exact for exact in dict.fromkeys((name, normal(name))) if exact and is_inside(exact))
        return next((exact for exact in names if os.path.isfile(self._folder / exact)), "")

    def _find(self, name: str) -> tuple[str, ...]:
        """The files that a listed name may refer to."""
        return self._finder.find(name) if name and not _is_impossible(name) else ()

    @functools.cached_property
    def _finder(self) -> FileFinder:
        return FileFinder(FolderIndex(self._folder, IMAGE_EXTENSIONS).names)

    def _link_annotations(self) -> tuple[dict[str, list[tuple[int, dict]]], list[tuple[int, dict]]]:
        """The annotations by image id, and those without a listed image."""
        canonicals: dict[str, list[str]] = {}
        for image_id in self._by_id:
            canonicals.setdefault(canonical(image_id), []).append(image_id)
        boxes: dict[str, list[tuple[int, dict]]] = {}
        orphans = []
        for pair in enumerate(self._entries.annotations):
            requested_id = identity(pair[1].get("image_id"))
            matching_ids = (
                [requested_id]
                if requested_id in self._by_id
                else canonicals.get(canonical(requested_id), [])
                if requested_id
                else []
            )
            if len(matching_ids) == 1:
                boxes.setdefault(matching_ids[0], []).append(pair)
            else:
                orphans.append(pair)
        return boxes, orphans

    def _image(self, entry: _Listed, yielded: set[str]) -> AnnotatedImage | None:
        """The image of an entry; None if the entry belongs to another entry's image."""
        values = self._entries.images[entry.number]
        if entry.id is None or not entry.name:
            value = f"id {shown(values.get('id'))}, file_name {shown(values.get('file_name'))}; an image needs both"
            return self._unusable(entry, "annotation_unreadable", value)
        if entry.id in self._clashes:
            return self._unusable(entry, "duplicate_id", self._clashes[entry.id])
        if entry.id in yielded and entry.key not in self._ambiguous:
            value = f"id {shown(values.get('id'))}, {shown(entry.name)}: is listed before"
            fault = Fault("image_repeated", self._file, entry.item, value, "not counted again")
            return self._unusable(entry, "", "")._replace(faults=(fault,), counts=False)
        if len(entry.files) > 1:
            return self._unusable(
                entry,
                "annotation_ambiguous",
                f"file_name {shown(entry.name)} may mean {', '.join(entry.files[:5])} in {self._folder}",
            )
        if not entry.files and not is_inside(entry.name):
            return self._unusable(
                entry,
                "unsafe_path",
                f"file_name {shown(entry.name)} leads outside {self._folder}; it must be a name inside it",
            )
        if not entry.files and _is_impossible(entry.name):
            value = f"file_name {shown(entry.name)} of {len(entry.name)} characters: no file can have this name"
            return self._unusable(entry, "image_missing", value)
        same_file = self._by_file.get(entry.key, []) if entry.files else [entry]
        if entry.files and not entry.exact and (not same_file or same_file[0].exact):
            value = f"no file {shown(entry.name)} in {self._folder}; {entry.files[0]} is listed under its own name"
            return self._unusable(entry, "image_missing", value)
        if entry.key in self._ambiguous:
            return self._unusable(entry, "annotation_ambiguous", self._ambiguous[entry.key])
        distinct = {other.id: other for other in same_file}  # One file under several ids: one image, all boxes.
        return self._read(entry, tuple(distinct.values())) if entry.number == same_file[0].number else None

    def _difference(self, entries: list[_Listed]) -> str:
        """Why entries that may refer to one file cannot be one image; empty if their names and sizes agree."""
        sizes = {size for other in entries if (size := self._size(other)) is not None}
        if len(sizes) <= 1 and len({comparable(normal(os.path.normpath(other.name))) for other in entries}) <= 1:
            return ""
        listed = ", ".join(f"{other.item} (id {other.id!r}, {shown(other.name)})" for other in entries[:4])
        return f"{listed} may all mean {entries[0].files[0]}, with other names or sizes; list it once"

    def _read(self, entry: _Listed, entries: tuple[_Listed, ...]) -> AnnotatedImage:
        faults: list[Fault] = []
        size = next((size for other in entries if (size := self._size(other)) is not None), None)
        if size is None:
            values = self._entries.images[entry.number]
            faults.append(
                Fault(
                    "size_absent",
                    self._file,
                    entry.item,
                    f"width {shown(values.get('width'))}, height {shown(values.get('height'))}",
                )
            )
        pairs = [pair for other in entries for pair in self._boxes.get(other.id, ())]
        if not pairs and self._orphans:
            number, orphan = self._orphans[0]
            value = (
                f"{shown(entry.name)} has no annotations, but {len(self._orphans)} have an image_id not in images, "
                f"such as {self._item(number)} with {shown(orphan.get('image_id'))}, and may belong to it"
            )
            return self._unusable(entry, "annotation_uncertain", value)
        filename = entry.files[0] if entry.files else entry.name
        if len(entries) > 1:
            other_ids = ", ".join(repr(other.id) for other in entries[1:])
            faults.append(
                Fault(
                    "image_repeated",
                    self._file,
                    entry.item,
                    f"{shown(entry.name)} is listed again under id {other_ids}",
                    f"one image, id {entry.id!r}",
                )
            )
        if normal(filename) != normal(entry.name):
            faults.append(
                Fault("filename_differs", self._file, entry.item, f"file_name {shown(entry.name)}", f"used {filename}")
            )
        self._counted.update(other.id for other in entries)
        boxes: dict[object, AnnotatedBox] = {}
        first = entries[0].id
        for number, annotation in pairs:
            box = self._box(number, annotation, size, faults)
            if box is None:
                continue
            is_repeat = len(entries) > 1 and identity(annotation.get("image_id")) != first and box[1:6] in boxes
            if is_repeat:
                faults.append(
                    Fault("box_repeated", self._file, box.item, f"is the same under id {first!r}", "used once")
                )
            else:
                boxes[box[1:6] if box[1:6] not in boxes else number] = box
        path = self._folder / filename
        return AnnotatedImage(
            self._file, path, filename, entry.id, size, tuple(boxes.values()), len(pairs), tuple(faults)
        )

    def _unusable(self, entry: _Listed, kind: str, value: str) -> AnnotatedImage:
        fault = Fault(kind, self._file, entry.item, value, _IMAGE_LEFT_OUT)
        found_boxes = 0 if entry.id in self._counted else len(self._boxes.get(entry.id or "", ()))
        self._counted.add(entry.id or "")
        return AnnotatedImage(self._file, Path(), "", "", None, (), found_boxes, (fault,), usable=False)

    def _size(self, entry: _Listed) -> tuple[int, int] | None:
        """The declared width and height; None if they are missing or invalid."""
        width, height = (whole_number(self._entries.images[entry.number].get(side)) for side in ("width", "height"))
        return (width, height) if width and height and 0 < width < MAX_LENGTH and 0 < height < MAX_LENGTH else None

    def _item(self, number: int) -> str:
        """The name of an annotation in messages."""
        entry = self._entries.annotations[number]
        name = self._entries.names.get(whole_number(entry.get("category_id")))
        return f"annotations[{number}] (id {shown(entry.get('id'))}){f' {shown(name)}' if name else ''}"

    def _box(self, number: int, entry: dict, size: tuple[int, int] | None, faults: list[Fault]) -> AnnotatedBox | None:
        """The box of an annotation; None, with a fault in `faults`, if it is not usable."""
        item, name = self._item(number), self._entries.names.get(whole_number(entry.get("category_id")))
        if name is None:
            faults.append(
                Fault(
                    "class_unknown",
                    self._file,
                    item,
                    f"category_id {shown(entry.get('category_id'))} is not in categories",
                    _LEFT_OUT,
                )
            )
            return None
        corners = corners_of(entry.get("bbox"))
        if corners is None or corners[0] == corners[2] or corners[1] == corners[3]:
            problem = (
                "no bbox"
                if entry.get("bbox") in (None, [])
                else f"bbox {shown(entry.get('bbox'))} is not [x, y, width, height] with an area"
            )
            try:
                corners = segmentation.corners(entry.get("segmentation"), size)
                faults.append(Fault("box_from_shape", self._file, item, problem, "box around its segmentation used"))
            except ValueError as error:
                if corners is None:
                    problem = problem.removesuffix(" with an area")
                    faults.append(Fault("box_unreadable", self._file, item, f"{problem}, and {error}", _LEFT_OUT))
                    return None
        return AnnotatedBox(
            item, name, *corners, is_crowd=flag(entry.get("iscrowd")), area=self._area(entry, item, faults)
        )

    def _area(self, entry: dict, item: str, faults: list[Fault]) -> float | None:
        """The annotated area; None if it is missing, to use that of the box. Many tools write 0 for a missing area."""
        value = entry.get("area")
        if isinstance(value, int | float) and not isinstance(value, bool):
            area = float(max(min(value, MAX_LENGTH**2), -1))  # JSON integers are unlimited; NaN stays NaN.
        else:
            area = number(value)
        if value is None or area == 0:
            return None
        if math.isfinite(area) and area > 0:
            return area
        faults.append(Fault("area_replaced", self._file, item, f"area {shown(value)}", "that of the box used"))
        return None


def _conflict(entries: list[_Listed]) -> str:
    """Why entries with the same id cannot be one image; empty if they can."""
    if len({comparable(other.name) for other in entries}) <= 1:
        return ""
    files = ", ".join(shown(other.name) for other in entries[:4])
    return f"id {entries[0].id!r} is used for {files}; give each image its own"


def _is_impossible(name: str) -> bool:
    """Whether no file system can have a file of this name."""
    return not is_text(name) or any(len(part.encode()) > _MAX_NAME for part in normal(name).split("/"))
