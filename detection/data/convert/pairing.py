"""Pairs the annotation files and images of a folder, with the same rules for whole folders and for splits.

1. The image with the same name (apart from the extension and, if needed, case). Renamed files keep their old tags, so
   the name takes precedence over <filename>.
2. Otherwise the image named by <filename>, <folder>/<filename> or <path> (`match`), in the folder with the same name as
   the annotation's folder if there is one.
3. Otherwise the image with the same name in another folder.

Ambiguous cases are not guessed: if an annotation may belong to several images, or several different annotations belong
to one image, all of them are skipped. An image without annotation counts as an image without objects only if no
annotation may belong to it: an annotation that is unusable or names no existing image may belong to any.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from detection.data.convert.match import FileFinder, comparable
from detection.data.convert.source import FolderIndex, is_inside, stem
from detection.data.convert.voc_file import VocFile, same_labels
from detection.errors import number_of


class Pairs:
    """The paired images and annotations of one folder.

    Args:
        images: all images of the folder, even if only some are requested.
        annotations: all annotations.
        read: reads an annotation; may be called several times for the same one.
    """

    def __init__(self, images: FolderIndex, annotations: FolderIndex, read: Callable[[str], VocFile]) -> None:
        self._images = images
        self._annotations = annotations
        self._read = read
        self._finder = FileFinder(images.names)
        self._of_folder: dict[str, list[str]] = {}
        for name in images.names:
            self._of_folder.setdefault(comparable(_folder(name)), []).append(name)
        self._finders: dict[str, FileFinder] = {}
        self._by_stem: dict[str, list[str]] = {}
        for name in images.names:
            self._by_stem.setdefault(comparable(stem(name)), []).append(name)
        self.annotation_of: dict[str, str] = {}  # by image
        self.image_of: dict[str, str] = {}  # by annotation
        self.repeats: dict[str, tuple[str, ...]] = {}  # by image: further annotations with the same content
        self.doubts: dict[str, str] = {}  # by image: why its annotation is ambiguous
        self.ambiguous: dict[str, tuple[str, ...]] = {}  # by annotation: the images to which it may belong
        self.rivals: dict[str, tuple[str, ...]] = {}  # by image: annotations with different content
        self.unplaced: list[str] = []  # annotations that name no existing image
        self._match()

    def why_uncertain(self, image: str) -> str:
        """Why an image without annotation may have objects; empty if it counts as an image without objects."""
        folder = comparable(_folder(image))
        possible = self._unplaced_for.get("", []) + (self._unplaced_for.get(folder, []) if folder else [])
        if possible:
            first = self._read(possible[0])
            reason = first.problem or (
                f"names {first.filename!r}, which does not exist" if first.names else "names no image"
            )
            more = f" or {number_of(len(possible) - 1, 'other')}" if len(possible) > 1 else ""
            return f"{possible[0]} ({reason}){more} may be its annotation"
        named = self._named_by_others.get(image)
        return f"{named} names it, but belongs to {self.image_of[named]} by its file name" if named else ""

    def copy_of(self, image: str) -> str:
        """The annotated image of which an image without annotation may be a mask or copy; empty if there is none.

        That image has the same name and is in a folder of annotated images, while no image of its own folder is
        annotated.
        """
        if comparable(_folder(image)) in self._annotated_folders:
            return ""
        return self._annotated_by_stem.get(comparable(stem(image)).rpartition("/")[2], "")

    def has_unread_image(self, annotation: str) -> bool:
        """Whether an annotation names an existing file of an unsupported type, such as a.heic."""
        name = self._read(annotation).filename
        return bool(name) and is_inside(name) and (self._images.folder / name).is_file()

    @functools.cached_property
    def _annotated_folders(self) -> set[str]:
        return {comparable(_folder(image)) for image in self.image_of.values()}

    @functools.cached_property
    def _annotated_by_stem(self) -> dict[str, str]:
        names = (name for name in self._images.names if comparable(_folder(name)) in self._annotated_folders)
        return {comparable(stem(name)).rpartition("/")[2]: name for name in names}

    def _match(self) -> None:
        claims: dict[str, list[str]] = {}
        listed = set(self._annotations.names)
        for annotation in self._annotations.names:
            images_of = self._resolve(annotation)
            if len(images_of) == 1:
                claims.setdefault(images_of[0], []).append(annotation)
            elif images_of:
                self.ambiguous[annotation] = images_of
            elif not self.has_unread_image(annotation):
                self.unplaced.append(annotation)
        for image in self._images.names:
            if image not in claims:  # Its annotation may be reachable through a link to a folder.
                linked_annotations = [name for name in self._annotations.by_stem(stem(image)) if name not in listed]
                if linked_annotations:
                    claims[image] = linked_annotations
        for image, claimants in claims.items():
            claimants.sort(key=lambda name: comparable(stem(name)) != comparable(stem(image)))
            first = self._read(claimants[0]) if len(claimants) > 1 else None
            if first is None or all(same_labels(first, self._read(other)) for other in claimants[1:]):
                self.annotation_of[image] = claimants[0]
                self.repeats[image] = tuple(claimants[1:])
            else:
                self.rivals[image] = tuple(claimants)
                self.doubts[image] = f"{' and '.join(claimants)} are annotations of it with different content"
            self.image_of.update(dict.fromkeys(claimants, image))
        seen_groups: set[tuple[str, ...]] = set()
        for annotation, images in self.ambiguous.items():
            if images in seen_groups:
                continue
            seen_groups.add(images)
            for image in images:
                others = ", ".join(other for other in images[:3] if other != image)
                self.doubts.setdefault(image, f"{annotation} may mean it or {others}")
                self.annotation_of.pop(image, None)
        for image, annotation in list(self.annotation_of.items()):
            for twin in self._by_stem[comparable(stem(image))]:
                if twin not in self.annotation_of:
                    self.doubts.setdefault(twin, f"{annotation} has its name, but belongs to {image}")

    def _resolve(self, annotation: str) -> tuple[str, ...]:
        """The image to which an annotation belongs; several if it is ambiguous, none if there is none."""
        same_name = (self._images.listed(name) for name in self._images.by_stem(stem(annotation)))
        same_stem = tuple(name for name in same_name if name) or tuple(
            self._by_stem.get(comparable(stem(annotation)), ())
        )
        if len(same_stem) == 1:
            return same_stem
        names = self._read(annotation).names
        if same_stem:  # For example a.jpg and a.png: the tags decide.
            return self._common_images(names, FileFinder(same_stem)) or same_stem
        finder, folder = self._finder_for(annotation), _folder(annotation)
        named = self._common_images((f"{folder}/{names[0]}", *names) if folder and names else names, finder)
        if len(named) == 1:
            return named
        by_name = finder.find(stem(annotation)) or finder.find(stem(annotation).rpartition("/")[2])
        common = tuple(set(by_name).intersection(named))
        return (common if len(common) == 1 else named) or by_name

    def _common_images(self, names: tuple[str, ...], finder: FileFinder) -> tuple[str, ...]:
        """The images to which several names of one image may refer.

        These are the images common to all names that match any, or else all images that they match.
        """
        matches = [images for name in names if (images := finder.find(name))]
        if not matches:
            return ()
        common = set(matches[0]).intersection(*matches[1:])
        return tuple(image for image in matches[0] if image in common) or tuple(
            dict.fromkeys(image for images in matches for image in images)
        )

    def _finder_for(self, annotation: str) -> FileFinder:
        """A finder for the images in folders with the name of the annotation's folder, or else for all images."""
        folder = comparable(_folder(annotation))
        if not folder or folder not in self._of_folder:
            return self._finder
        if folder not in self._finders:
            self._finders[folder] = FileFinder(self._of_folder[folder])
        return self._finders[folder]

    @functools.cached_property
    def _unplaced_for(self) -> dict[str, list[str]]:
        """Annotations without image by the folder to whose images they may belong; "" for all folders."""
        unplaced: dict[str, list[str]] = {}
        for annotation in self.unplaced:
            folder = comparable(_folder(annotation))
            unplaced.setdefault(folder if folder in self._of_folder else "", []).append(annotation)
        return unplaced

    @functools.cached_property
    def _named_by_others(self) -> dict[str, str]:
        """Image -> an annotation of another image whose tags name it."""
        named: dict[str, str] = {}
        for annotation, image in self.image_of.items():
            names = self._read(annotation).names
            named_images = self._common_images(names, self._finder_for(annotation)) if names else ()
            if named_images and image not in named_images:
                named.update((other, annotation) for other in named_images if other not in named)
        return named


def _folder(name: str) -> str:
    return name.rpartition("/")[0]
