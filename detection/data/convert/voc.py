"""PASCAL VOC: one XML file an image.

    <annotation> <filename> <size> <width> <height>   <object> <name> <pose> <truncated> <difficult> <bndbox> <xmin> <ymin> <xmax> <ymax>

Coordinates are used as written: a box spans [xmin, xmax] / width, as the TF Object Detection API records VOC. (The devkit counts pixels from 1 and
includes the last, so that its boxes are half a pixel off under this reading; models and scores that exist were made with it.)

An image belongs to the annotation of the same name; the <filename> tag decides only where there is no such image, since renamed files keep old tags.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException, ElementTree

from detection.data.convert.source import IMAGE_EXTENSIONS, AnnotatedBox, AnnotatedImage, AnnotatedSet, FolderIndex, Source, is_inside, normal, stem
from detection.data.report import Fault
from detection.errors import ConfigError, DataError


class _Folder(NamedTuple):
    """One VOC folder: where its images, annotations and split lie."""

    label: str  # put before file names where several folders are read, since VOC folders reuse names
    images: FolderIndex
    annotations: FolderIndex
    split: Path | None


def read(source: Source) -> AnnotatedSet:
    """The images of VOC folders, in the order of the split file, or by name where all are taken.

    Source: `roots` are folders with JPEGImages, Annotations and ImageSets/Main (or with images and XML side by side); or `image_dir` and
    `annotations` name the two folders. `subset` is the name of a file in ImageSets/Main, `split_file` any file of ids.

    Raises:
        ConfigError: for a folder or split that does not exist. DataError: for one that has nothing in it. Faults of single files travel
            with their image.
    """
    return AnnotatedSet(_read(_folders(source)))


def _read(folders: list[_Folder]) -> Iterator[AnnotatedImage]:
    for folder in folders:
        seen: set[str] = set()
        annotated = False
        for identity in _all_ids(folder) if folder.split is None else _split_ids(folder, folder.split):
            yield _read_image(folder, identity, repeated=normal(identity) in seen)
            seen.add(normal(identity))
            annotated = annotated or bool(folder.annotations.by_stem(identity))
        if not annotated:
            raise DataError(f"{folder.annotations.folder}: no annotation (.xml) for any of {len(seen)} images; check --annotation_dir, or --format")


def _folders(source: Source) -> list[_Folder]:
    if not source.roots and not source.image_dir:
        raise ConfigError("no data set given; pass --voc_dir, or --image_dir with --annotation_dir")
    folders = []
    for root in map(Path, source.roots or (os.path.dirname(os.path.abspath(source.annotations or source.image_dir)),)):
        flat = not (root / "JPEGImages").is_dir() and not (root / "Annotations").is_dir()
        images = Path(source.image_dir or (root if flat else root / "JPEGImages"))
        annotations = Path(source.annotations or (source.image_dir or root if flat else root / "Annotations"))
        for path, what, flag in ((root, "data", "--voc_dir"), (images, "images", "--image_dir"), (annotations, "annotations", "--annotation_dir")):
            if not path.is_dir():
                raise ConfigError(f"{path}: no such folder of {what}; check {flag}")
        label = f"{root.resolve().name}/" if len(source.roots) > 1 else ""
        folders.append(_Folder(label, FolderIndex(images, IMAGE_EXTENSIONS), FolderIndex(annotations, (".xml",)), _split(source, root)))
    return folders


def _split(source: Source, root: Path) -> Path | None:
    if source.split_file:
        file, known = Path(source.split_file), ""
    elif source.subset:
        folder = root / "ImageSets" / "Main"
        file = folder / f"{source.subset}.txt"
        known = "; there are: " + (", ".join(sorted(path.stem for path in folder.glob("*.txt"))) or "none")
    else:
        return None
    if not file.is_file():
        raise ConfigError(f"{file}: no such split{known}; check --set or --split")
    return file


def _all_ids(folder: _Folder) -> list[str]:
    """Every annotation and every image, by name."""
    ids = {normal(stem(name)) for name in folder.annotations.names + folder.images.names}
    if not ids:
        raise DataError(f"{folder.annotations.folder}: holds neither annotations (.xml) nor images; check --annotation_dir, or --format")
    return sorted(ids)


def _split_ids(folder: _Folder, split: Path) -> Iterator[str]:
    """Ids of a split: one a line, with or without extension; lines of the per-class files end in 1, 0 or -1, which is left away."""
    try:
        lines = split.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{split}: cannot read the split: {error}; it should be UTF-8 text with an id a line") from error
    lines = [line.strip() for line in lines if line.strip()]
    if not lines:
        raise DataError(f"{split}: the split is empty; it should have an id a line")
    for line in lines:
        readings = (line, re.sub(r"\s+(-1|0|1)$", "", line), re.sub(r"\.\w{2,5}$", "", line))
        yield next((name for name in readings if folder.annotations.by_stem(name) or folder.images.by_stem(name)), readings[1])


def _read_image(folder: _Folder, identity: str, repeated: bool) -> AnnotatedImage:
    """One image with its annotation, or with the reason why there is none."""
    annotation = next(iter(folder.annotations.by_stem(identity)), None)
    images = folder.images.by_stem(identity)
    where = str(folder.annotations.path(annotation)) if annotation else str(folder.split)

    def unusable(kind: str, value: str, action: str = "image left out") -> AnnotatedImage:
        return AnnotatedImage(where, Path(), identity, identity, None, (), 0, (Fault(kind, where, "", value, action),), usable=False)

    if not is_inside(identity):
        return unusable("unsafe_path", f"id {identity!r} leads out of {folder.annotations.folder}; ids are names inside it")
    if repeated:
        return unusable("listed_twice", f"id {identity!r}", "taken once")
    if annotation is None:
        if not images:
            return unusable("image_missing", f"id {identity!r} has neither an annotation nor an image in {folder.images.folder}")
        path, filename = folder.images.path(images[0]), folder.label + images[0]
        note = Fault("no_annotation", str(path), "", f"no {identity}.xml in {folder.annotations.folder}", "kept without boxes")
        return AnnotatedImage(str(path), path, filename, filename, None, (), 0, (note,))
    try:
        root = _parse(where)
    except _Unreadable as error:
        return unusable("annotation_unreadable", str(error))

    faults: list[Fault] = []
    tag = (root.findtext("filename") or "").strip()
    if images:
        name = next((name for name in images if _last(name) == _last(tag)), images[0])  # The tag tells a.jpg from a.png.
        if tag and stem(_last(tag)) != stem(_last(name)):
            faults.append(Fault("filename_differs", where, "<filename>", repr(tag), f"used {name}"))
    elif tag and not is_inside(tag):
        return unusable("unsafe_path", f"<filename> {tag!r} leads out of {folder.images.folder}; it should be a name inside it")
    else:
        name = folder.images.by_name(tag)
    if name is None:
        return unusable("image_missing", f"no {identity}.jpg (or another type) and no <filename> {tag!r} in {folder.images.folder}")
    filename = folder.label + name
    objects = root.findall("object")
    boxes = [box for number, element in enumerate(objects, start=1) if (box := _box(element, number, where, faults)) is not None]
    size = _size(root, where, faults)
    return AnnotatedImage(where, folder.images.path(name), filename, filename, size, tuple(boxes), len(objects), tuple(faults))


class _Unreadable(Exception):
    """Why an annotation file cannot be used."""


def _parse(path: str) -> Element:
    try:
        root = ElementTree.parse(path, forbid_dtd=False, forbid_entities=True, forbid_external=True).getroot()
    except ParseError as error:
        line, column = error.position
        raise _Unreadable(f"line {line}, column {column}: not well-formed XML ({str(error).partition(':')[0]})") from error
    except DefusedXmlException as error:
        raise _Unreadable(f"declares entities, which annotations have no use for and attacks have ({type(error).__name__})") from error
    except (OSError, ValueError, LookupError) as error:  # ValueError and LookupError: encodings that expat does not know.
        raise _Unreadable(str(error)) from error
    if root.tag != "annotation":
        raise _Unreadable(f"the outermost element is <{root.tag}>, not <annotation>; not a VOC annotation")
    return root


def _size(root: Element, where: str, faults: list[Fault]) -> tuple[int, int] | None:
    """Width and height as declared; None where they are not (tools that do not know write 0)."""
    texts = [(root.findtext(f"size/{name}") or "").strip() for name in ("width", "height")]
    try:
        width, height = (int(float(text)) for text in texts)
    except (ValueError, OverflowError):
        width = height = 0
    if width > 0 and height > 0:
        return width, height
    faults.append(Fault("size_absent", where, "<size>", f"width {texts[0] or 'absent'}, height {texts[1] or 'absent'}"))
    return None


def _box(element: Element, number: int, where: str, faults: list[Fault]) -> AnnotatedBox | None:
    """One <object>; None where it has no usable box, which is then told in `faults`."""
    name = " ".join((element.findtext("name") or "").split())
    item = f"object {number} {name!r}"
    if not name:
        faults.append(Fault("class_missing", where, f"object {number}", "has no <name>", "box left out"))
        return None
    corners = element.find("bndbox")
    if corners is None:
        others = ", ".join(sorted({f"<{child.tag}>" for child in element if child.tag in ("polygon", "robndbox", "point")}))
        faults.append(Fault("box_unreadable", where, item, f"has no <bndbox>{f', but {others}' if others else ''}", "box left out"))
        return None
    numbers = []
    for tag in ("xmin", "ymin", "xmax", "ymax"):
        text = (corners.findtext(tag) or "").strip()
        try:
            numbers.append(float(text))
        except ValueError:
            numbers.append(math.nan)
        if not math.isfinite(numbers[-1]):
            faults.append(Fault("box_unreadable", where, f"{item} <{tag}>", f"{text!r} is not a number", "box left out"))
            return None
    return AnnotatedBox(
        item,
        name,
        *numbers,
        difficult=_flag(element, "difficult"),
        truncated=_flag(element, "truncated"),
        view=(element.findtext("pose") or "").strip(),
    )


def _flag(element: Element, tag: str) -> bool:
    """VOC writes 0 and 1; some tools leave the tag away or write words."""
    return (element.findtext(tag) or "").strip().lower() in ("1", "true", "yes")


def _last(name: str) -> str:
    """The last part of a path, whichever way its slashes lean."""
    return normal(name).rpartition("/")[2]
