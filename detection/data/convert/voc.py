"""Reads PASCAL VOC: one XML file per image (`voc_file`), in folders.

Coordinates are used as written: a box spans [xmin, xmax] / width, as in the TF Object Detection API. (The devkit counts
pixels from 1 and includes the last one, so its boxes are half a pixel off in this convention; published models and
scores use it.)

`pairing` assigns annotations to images, with the same rules for whole folders and for splits.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from detection.data.convert import voc_file
from detection.data.convert.match import FileFinder
from detection.data.convert.pairing import Pairs
from detection.data.convert.sidecars import Sidecars
from detection.data.convert.source import (
    IMAGE_EXTENSIONS,
    AnnotatedImage,
    AnnotatedSet,
    FolderIndex,
    Source,
    is_inside,
    normal,
    of_classes,
    stem,
)
from detection.data.convert.split import split_lines
from detection.data.findings import Fault
from detection.errors import ConfigError, DataError, number_of

# Faults of images that have annotations, but ambiguous ones.
_AMBIGUOUS = ("annotation_ambiguous", "annotation_uncertain")


def read(source: Source) -> AnnotatedSet:
    """Reads VOC folders: their images in the order of the split file, or all images by name.

    Faults of single files are returned with their image.

    Args:
        source: `roots` are folders with JPEGImages, Annotations and ImageSets/Main (or with images and XML side by
            side); or `image_dir` and `annotations` are the two folders. `subset` is the name of a file in
            ImageSets/Main, `split_file` any file of ids.

    Raises:
        ConfigError: a folder or split does not exist.
        DataError: a folder or split is empty.
    """
    return of_classes(AnnotatedSet(_read(_folders(source))), source.classes)


def _read(folders: list[_Folder]) -> Iterator[AnnotatedImage]:
    for folder in folders:
        images = list(folder.all() if folder.split is None else folder.listed())
        if not any(image.where.lower().endswith(".xml") or image.faults[0].kind in _AMBIGUOUS for image in images):
            first = next((f", first: {fault}" for image in images for fault in image.faults if fault.bad), "")
            raise DataError(
                f"{folder.annotations.folder}: no annotation (.xml) for any of {number_of(len(images), 'image')}"
                f"{first}; check --annotation_dir, or --format"
            )
        yield from images


def _folders(source: Source) -> list[_Folder]:
    if not source.roots and not source.image_dir:
        raise ConfigError("no data set given; pass --voc_dir, or --image_dir with --annotation_dir")
    folders = []
    for root in map(Path, source.roots or (os.path.dirname(os.path.abspath(source.annotations or source.image_dir)),)):
        flat = not (root / "JPEGImages").is_dir() and not (root / "Annotations").is_dir()
        images = Path(source.image_dir or (root if flat else root / "JPEGImages"))
        annotations = Path(source.annotations or (source.image_dir or root if flat else root / "Annotations"))
        for path, description, flag in (
            (root, "data", "--voc_dir (or --data_dir and --year)"),
            (images, "images", "--image_dir"),
            (annotations, "annotations", "--annotation_dir"),
        ):
            if not path.is_dir():
                raise ConfigError(f"{path}: no such folder of {description}; check {flag}")
        label = f"{root.resolve().name}/" if len(source.roots) > 1 else ""
        indices = FolderIndex(images, IMAGE_EXTENSIONS), FolderIndex(annotations, (".xml",), every_name=True)
        folders.append(_Folder(label, *indices, _split(source, root)))
    return folders


def _split(source: Source, root: Path) -> Path | None:
    if source.split_file:
        file, available = Path(source.split_file), ""
    elif source.subset:
        folder = root / "ImageSets" / "Main"
        file = folder / f"{source.subset}.txt"
        available = "; the splits are: " + (", ".join(sorted(path.stem for path in folder.glob("*.txt"))) or "none")
    else:
        return None
    if not file.is_file():
        raise ConfigError(f"{file}: no such split{available}; check --set or --split")
    return file


class _Folder:
    """The images and annotations of one VOC folder.

    Args:
        label: prefix of file names if several folders are read, since VOC folders reuse names.
        images: the image files.
        annotations: the annotation files.
        split: a file of ids; None for all images.
    """

    def __init__(self, label: str, images: FolderIndex, annotations: FolderIndex, split: Path | None) -> None:
        self.images = images
        self.annotations = annotations
        self.split = split
        self._label = label
        self._files: dict[str, voc_file.VocFile] = {}

    def all(self) -> Iterator[AnnotatedImage]:
        """Yields every image, and every annotation without image, by name."""
        images = {(normal(stem(name)), name): self._image(name) for name in self.images.names}
        # An annotation without image may belong to an uncertain image: they are counted as one image.
        uncertain = sum(fault.kind == "annotation_uncertain" for image in images.values() for fault in image.faults)
        for name in self.annotations.names:
            if name not in self._pairs.image_of:
                is_ambiguous = name in self._pairs.ambiguous
                images[normal(stem(name)), name] = self._annotation_alone(name)._replace(
                    counts=not is_ambiguous and uncertain <= 0
                )
                uncertain -= not is_ambiguous
        if not images:
            raise DataError(
                f"{self.annotations.folder}: contains no annotations (.xml), and {self.images.folder} no images; "
                "check --image_dir and --annotation_dir, or --format"
            )
        yield from (images[key] for key in sorted(images))

    def listed(self) -> Iterator[AnnotatedImage]:
        """Yields the images of the split, in its order."""
        seen_names: set[str] = set()
        for line in split_lines(self.split):
            name, kind = self._resolve(line)
            make = {"image": self._image, "annotation": self._annotation_alone, "several": self._several}.get(
                kind, self._nothing
            )
            if name in seen_names:
                fault = Fault("listed_twice", str(self.split), "", f"id {line!r}", "used once")
                yield _left_out(fault.file, line, fault)._replace(counts=False)
            else:
                yield make(name)
            seen_names.add(name)

    def _resolve(self, line: str) -> tuple[str, str]:
        """Resolves a line of a split: a name and its kind ("image", "annotation", "several" or "nothing")."""
        bare = re.sub(r"\s+(-1|0|1)$", "", line)  # In per-class files, this says whether the class is present.
        readings = list(dict.fromkeys((line, bare, re.sub(r"\.\w{2,5}$", "", bare))))
        if ".." in normal(line).split("/"):
            return bare, "nothing"
        for reading in readings:
            exact = self.images.by_name(reading)
            images, annotations = (
                (exact,) if exact else self.images.by_stem(reading),
                self.annotations.by_stem(reading),
            )
            if images or annotations:
                return self._choose(bare, images, () if exact else annotations)
        # Some lists have pairs of images and annotations.
        pieces = [piece for piece in line.split() if piece.lower().endswith((*IMAGE_EXTENSIONS, ".xml"))]
        for reading in (*readings, *pieces):
            images, annotations = self._image_finder.find(reading), self._annotation_finder.find(reading)
            if images or annotations:
                return self._choose(bare, images, () if len(images) == 1 else annotations)
        return bare, "nothing"

    def _choose(self, identity: str, images: Sequence[str], annotations: Sequence[str]) -> tuple[str, str]:
        """The image (or annotation without image) of an id, chosen from its candidates."""
        owned = {self._pairs.image_of[name] for name in annotations if name in self._pairs.image_of}
        if len(owned) == 1:
            return owned.pop(), "image"
        if len(annotations) == 1 and not owned:
            return annotations[0], "annotation"
        return (images[0], "image") if len(images) == 1 else (identity, "several")

    @functools.cached_property
    def _pairs(self) -> Pairs:
        return Pairs(self.images, self.annotations, self._read)

    @functools.cached_property
    def _sidecars(self) -> Sidecars:
        return Sidecars((self.images.folder, self.annotations.folder))

    @functools.cached_property
    def _image_finder(self) -> FileFinder:
        return FileFinder(self.images.names)

    @functools.cached_property
    def _annotation_finder(self) -> FileFinder:
        return FileFinder(self.annotations.names)

    def _read(self, name: str) -> voc_file.VocFile:
        if name not in self._files:
            self._files[name] = voc_file.read(str(self.annotations.path(name)))
        return self._files[name]

    def _image(self, name: str) -> AnnotatedImage:
        """One image with its annotation, or with the reason why it has none."""
        path, filename = self.images.path(name), self._label + name
        problem = self._pairs.doubts.get(name)
        annotation = self._pairs.annotation_of.get(name)
        if problem:
            rivals = [self._read(rival).found_boxes for rival in self._pairs.rivals.get(name, ())]
            fault = Fault(
                "annotation_ambiguous", str(path), "", f"{problem}; keep one annotation that names it", "image left out"
            )
            return _left_out(str(path), filename, fault, max(rivals, default=0))
        if annotation is None:
            problem = self._pairs.why_uncertain(name)
            if problem:
                fault = Fault(
                    "annotation_uncertain", str(path), "", f"no {stem(name)}.xml, but {problem}", "image left out"
                )
                return _left_out(str(path), filename, fault)
            sidecar = self._sidecars.of(name)
            if sidecar:
                value = f"{sidecar[1]} is not supported, but may annotate {name}; convert it to VOC, or remove it"
                fault = Fault("annotation_unreadable", str(sidecar[0]), "", value, "image left out")
                return _left_out(str(path), filename, fault)
            original = self._pairs.copy_of(name)
            if original:
                value = (
                    f"{original}, in a folder of annotated images, has the same name, but no image of its folder is"
                    " annotated: "
                )
                value += "it may be a mask or a copy"
                fault = Fault("annotation_ambiguous", str(path), "", value, "image left out")
                return _left_out(str(path), filename, fault)._replace(counts=False)
            note = Fault(
                "no_annotation",
                str(path),
                "",
                f"no {stem(name)}.xml in {self.annotations.folder}",
                "kept without boxes",
            )
            return AnnotatedImage(str(path), path, filename, filename, None, (), 0, (note,))
        where, file = str(self.annotations.path(annotation)), self._read(annotation)
        if file.problem:
            return _left_out(
                where,
                filename,
                Fault("annotation_unreadable", where, f"of {name}", file.problem, "image left out"),
                file.found_boxes,
            )
        faults = list(file.faults)
        if file.names and not any(FileFinder((name,)).find(text) for text in file.names):
            faults.append(Fault("filename_differs", where, "<filename>", repr(file.filename), f"used {name}"))
        for repeat in self._pairs.repeats.get(name, ()):
            faults.append(
                Fault(
                    "annotation_repeated",
                    str(self.annotations.path(repeat)),
                    "",
                    f"has the same content for {name} as {annotation}",
                    "used once",
                )
            )
        return AnnotatedImage(where, path, filename, filename, file.size, file.boxes, file.found_boxes, tuple(faults))

    def _annotation_alone(self, name: str) -> AnnotatedImage:
        """An annotation without image, or one whose image is ambiguous."""
        where, file = str(self.annotations.path(name)), self._read(name)
        candidates = self._pairs.ambiguous.get(name)
        if candidates:
            fault = Fault(
                "annotation_ambiguous",
                where,
                "",
                f"may mean {', '.join(candidates[:5])}; name one in <filename>",
                "annotation left out",
            )
            return _left_out(where, name, fault, file.found_boxes)
        if file.problem:
            fault = Fault("annotation_unreadable", where, "", file.problem, "image left out")
        elif file.names and not is_inside(file.filename):
            value = f"<filename> {file.filename!r} leads outside {self.images.folder}; it must be a name inside it"
            fault = Fault("unsafe_path", where, "", value, "image left out")
        elif self._pairs.has_unread_image(name):
            types = ", ".join(extension[1:] for extension in IMAGE_EXTENSIONS)
            value = f"{file.filename!r} exists, but its type is not supported (only {types}); convert it"
            fault = Fault("image_missing", where, "", value, "image left out")
        else:
            value = f"no {stem(name)}.jpg (or another type) and no <filename> {file.filename!r} in {self.images.folder}"
            fault = Fault("image_missing", where, "", value, "image left out")
        return _left_out(where, name, fault, file.found_boxes)

    def _several(self, identity: str) -> AnnotatedImage:
        value = (
            f"id {identity!r} may mean several images of {self.images.folder}; write it with its extension and folder"
        )
        return _left_out(
            str(self.split), identity, Fault("annotation_ambiguous", str(self.split), "", value, "image left out")
        )

    def _nothing(self, identity: str) -> AnnotatedImage:
        if is_inside(identity):
            fault = Fault(
                "image_missing",
                str(self.split),
                "",
                f"id {identity!r} has neither an annotation nor an image in {self.images.folder}",
                "image left out",
            )
        else:
            value = f"id {identity!r} leads outside {self.annotations.folder}; ids must be names inside it"
            fault = Fault("unsafe_path", str(self.split), "", value, "image left out")
        return _left_out(str(self.split), identity, fault)


def _left_out(where: str, identity: str, fault: Fault, found_boxes: int = 0) -> AnnotatedImage:
    return AnnotatedImage(where, Path(), identity, identity, None, (), found_boxes, (fault,), usable=False)
