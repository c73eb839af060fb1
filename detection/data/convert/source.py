"""The input and output of the readers of all formats.

A reader converts annotation files to `AnnotatedImage`s without opening images. It does not check pixel values, and
reports invalid parts as faults of the image to which they belong. Everything after it (images, boxes, classes, shards)
is the same for all formats.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NamedTuple

from detection.data.findings import Fault
from detection.data.folders import files_below

IMAGE_EXTENSIONS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".webp"),
    *(".tif", ".tiff", ".avif", ".jp2", ".ppm", ".pgm"),
)


@dataclasses.dataclass(frozen=True)
class Source:
    """The location of a data set; a format uses only some of the fields."""

    roots: tuple[str, ...] = ()  # folders of a known layout, such as VOC2007
    image_dir: str = ""
    annotations: str = ""  # a folder or a file
    subset: str = ""  # name of a split in that layout
    split_file: str = ""  # a file of ids, one per line
    exclude_file: str = ""  # of COCO: a file of the ids to leave out
    image_labels: str = ""  # a file of classes of whole images
    classes: tuple[str, ...] = ()  # objects of other classes are not taken; empty for all
    numbers: tuple[int | None, int | None] = (None, None)  # of numbered images the first, and the one behind the last
    images_only: bool = False  # the file may list images without annotations, as COCO's image_info_test does


class AnnotatedBox(NamedTuple):
    """One box as annotated, in pixels; only checked to consist of numbers."""

    item: str  # the object, for messages
    name: str  # class
    xmin: float
    ymin: float
    xmax: float
    ymax: float
    difficult: bool = False
    truncated: bool = False
    is_crowd: bool = False
    group_of: bool = False
    view: str = ""
    area: float | None = None  # pixels²; None: use that of the box
    occluded: bool = False
    depiction: bool = False  # a drawing or a toy, not the thing itself


class AnnotatedLabel(NamedTuple):
    """What a whole image shows, or verifiably does not."""

    name: str  # class
    confidence: float  # 1: it is there; 0: it is not


class AnnotatedImage(NamedTuple):
    """One image as annotated."""

    where: str  # the file that annotates it, for messages
    image_path: Path
    filename: str  # relative to the image folder, with /
    source_id: str
    declared_size: tuple[int, int] | None  # width and height for which the boxes were annotated
    boxes: tuple[AnnotatedBox, ...]
    found_boxes: int  # number of objects in the annotation, readable or not
    faults: tuple[Fault, ...] = ()
    usable: bool = True  # False if the image cannot be converted because of its faults
    in_fractions: bool = False  # boxes are in fractions of the image, because the format says so
    labels: tuple[AnnotatedLabel, ...] = ()
    counts: bool = True  # False if it is not another image: an id listed again, an annotation of a counted image


class AnnotatedSet(NamedTuple):
    """The result of a reader."""

    images: Iterable[AnnotatedImage]
    ids: dict[str, int] | None = None  # label of each class, if the data set defines it
    no_map: str = ""  # why no label map can be made from it; empty if one can


def of_classes(annotated: AnnotatedSet, classes: tuple[str, ...]) -> AnnotatedSet:
    """The same images with the objects of some classes only; the others count as never annotated. Empty: all."""
    if not classes:
        return annotated

    def chosen(image: AnnotatedImage) -> AnnotatedImage:
        boxes = tuple(box for box in image.boxes if box.name in classes)
        left = len(image.boxes) - len(boxes)
        labels = tuple(label for label in image.labels if label.name in classes)
        return image._replace(boxes=boxes, labels=labels, found_boxes=image.found_boxes - left)

    return annotated._replace(images=map(chosen, annotated.images))


def is_inside(name: str) -> bool:
    """Whether a relative file name stays in its folder: not absolute (on any system) and without `..`."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return (
        bool(parts)
        and not PurePosixPath(name).is_absolute()
        and not PureWindowsPath(name).drive
        and parts[0] != "/"
        and ".." not in parts
    )


class FolderIndex:
    """The files with some extensions below a folder.

    Names are relative, with /; they match in any Unicode normalisation.
    """

    def __init__(self, folder: str | os.PathLike[str], extensions: tuple[str, ...], every_name: bool = False) -> None:
        self.folder, self._extensions = Path(folder), extensions
        self.names: list[str] = files_below(self.folder, extensions, every_name)  # sorted
        self._by_name = {normal(name): name for name in self.names}
        self._by_stem: dict[str, list[str]] = {}
        for name in self.names:
            self._by_stem.setdefault(normal(stem(name)), []).append(name)

    def by_name(self, name: str) -> str | None:
        """The file with this name, also if it is reached through a link; None if there is none."""
        listed = self._by_name.get(normal(name))
        return (
            name
            if listed is None
            and is_inside(name)
            and (self.folder / name).is_file()
            and name.lower().endswith(self._extensions)
            else listed
        )

    def by_stem(self, name: str) -> list[str]:
        """The files with this name apart from the extension; or one that is reached through a link."""
        listed = self._by_stem.get(normal(name), [])
        if not listed and is_inside(name):
            listed = [
                name + extension for extension in self._extensions if (self.folder / (name + extension)).is_file()
            ][:1]
        return listed

    def listed(self, name: str) -> str | None:
        """The name in `names` of a file that `by_name` or `by_stem` returned; None if there is none."""
        return name if name in self._names else self._by_file.get(os.path.realpath(self.folder / name))

    @functools.cached_property
    def _names(self) -> set[str]:
        return set(self.names)

    @functools.cached_property
    def _by_file(self) -> dict[str, str]:
        return {os.path.realpath(self.folder / name): name for name in reversed(self.names)}

    def path(self, name: str) -> Path:
        """The path of a file."""
        return self.folder / name


def stem(name: str) -> str:
    """A relative name without its extension."""
    return os.path.splitext(name)[0]


def normal(name: str) -> str:
    """The normalised form of a name for comparison."""
    return unicodedata.normalize("NFC", name.replace("\\", "/"))
