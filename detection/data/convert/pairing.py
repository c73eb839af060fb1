"""Which annotation file belongs to which image of a folder: one rule, however the folder is given and whatever part of
it is asked for.

1. The image of the same name (apart from its extension; at need, from case). Renamed files keep old tags, so the name
comes before <filename>.
2. Otherwise the image that <filename>, <folder>/<filename> or <path> name (`match`), in the folder of the same name as
the annotation's if there is one.
3. Otherwise the image of the same name in another folder.

Nothing is guessed: where several images may be meant, or several files that disagree mean one image, all of them are
left out. And an image without annotation is one without objects only if no annotation may be its own: one that cannot
be used, or names no image that is there, may belong to any.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from detection.data.convert.match import FileFinder, alike
from detection.data.convert.source import FolderIndex, is_inside, stem
from detection.data.convert.voc_file import VocFile, same_labels
from detection.errors import number_of


class Pairs:
    """The images and annotations of one folder, matched.

    Args:
        images: all of the folder, also where only some are asked for.
        annotations: likewise.
        read: reads an annotation; called again for the same one at will.
    """

    def __init__(self, images: FolderIndex, annotations: FolderIndex, read: Callable[[str], VocFile]) -> None:
        self._images = images
        self._annotations = annotations
        self._read = read
        self._finder = FileFinder(images.names)
        self._of_folder: dict[str, list[str]] = {}
        for name in images.names:
            self._of_folder.setdefault(alike(_folder(name)), []).append(name)
        self._finders: dict[str, FileFinder] = {}
        self._by_stem: dict[str, list[str]] = {}
        for name in images.names:
            self._by_stem.setdefault(alike(stem(name)), []).append(name)
        self.annotation_of: dict[str, str] = {}  # by image
        self.image_of: dict[str, str] = {}  # by annotation
        self.repeats: dict[str, tuple[str, ...]] = {}  # by image: further annotations that say the same
        self.doubts: dict[str, str] = {}  # by image: why nobody knows its annotation
        self.torn: dict[str, tuple[str, ...]] = {}  # by annotation: the images that it may mean
        self.rivals: dict[str, tuple[str, ...]] = {}  # by image: the annotations that disagree about it
        self.unplaced: list[str] = []  # annotations that name no image that is there
        self._match()

    def why_uncertain(self, image: str) -> str:
        """Why an image without annotation cannot be taken for one without objects; "" where it can."""
        folder = alike(_folder(image))
        possible = self._unplaced_for.get("", []) + (self._unplaced_for.get(folder, []) if folder else [])
        if possible:
            first = self._read(possible[0])
            reason = first.problem or (
                f"names {first.filename!r}, which is not there" if first.names else "names no image"
            )
            more = f" or {number_of(len(possible) - 1, 'other')}" if len(possible) > 1 else ""
            return f"{possible[0]} ({reason}){more} may be its annotation"
        named = self._named_by_others.get(image)
        return f"{named} names it, though it belongs to {self.image_of[named]} by its own name" if named else ""

    def copy_of(self, image: str) -> str:
        """The image that one without annotation may be a mask or a copy of: of the same name, in a folder of annotated
        images, while none of its own folder is annotated; "" where there is none.
        """
        if alike(_folder(image)) in self._annotated_folders:
            return ""
        return self._beside_annotated.get(alike(stem(image)).rpartition("/")[2], "")

    def has_unread_image(self, annotation: str) -> bool:
        """Whether an annotation names a file that is there, though of no type that is read, such as a.heic."""
        name = self._read(annotation).filename
        return bool(name) and is_inside(name) and (self._images.folder / name).is_file()

    @functools.cached_property
    def _annotated_folders(self) -> set[str]:
        return {alike(_folder(image)) for image in self.image_of.values()}

    @functools.cached_property
    def _beside_annotated(self) -> dict[str, str]:
        names = (name for name in self._images.names if alike(_folder(name)) in self._annotated_folders)
        return {alike(stem(name)).rpartition("/")[2]: name for name in names}

    def _match(self) -> None:
        claims: dict[str, list[str]] = {}
        known = set(self._annotations.names)
        for annotation in self._annotations.names:
            meant = self._meant(annotation)
            if len(meant) == 1:
                claims.setdefault(meant[0], []).append(annotation)
            elif meant:
                self.torn[annotation] = meant
            elif not self.has_unread_image(annotation):
                self.unplaced.append(annotation)
        for image in self._images.names:
            if image not in claims:  # An annotation that lies there through a link to a folder.
                linked = [name for name in self._annotations.by_stem(stem(image)) if name not in known]
                if linked:
                    claims[image] = linked
        for image, claimants in claims.items():
            claimants.sort(key=lambda name: alike(stem(name)) != alike(stem(image)))
            first = self._read(claimants[0]) if len(claimants) > 1 else None
            if first is None or all(same_labels(first, self._read(other)) for other in claimants[1:]):
                self.annotation_of[image] = claimants[0]
                self.repeats[image] = tuple(claimants[1:])
            else:
                self.rivals[image] = tuple(claimants)
                self.doubts[image] = f"{' and '.join(claimants)} are annotations of it and say different things"
            self.image_of.update(dict.fromkeys(claimants, image))
        seen: set[tuple[str, ...]] = set()
        for annotation, images in self.torn.items():
            if images in seen:
                continue
            seen.add(images)
            for image in images:
                others = ", ".join(other for other in images[:3] if other != image)
                self.doubts.setdefault(image, f"{annotation} may mean it or {others}")
                self.annotation_of.pop(image, None)
        for image, annotation in list(self.annotation_of.items()):
            for twin in self._by_stem[alike(stem(image))]:
                if twin not in self.annotation_of:
                    self.doubts.setdefault(twin, f"{annotation} has its name, and belongs to {image}")

    def _meant(self, annotation: str) -> tuple[str, ...]:
        """The image that an annotation belongs to; several where nothing decides, none where there is none."""
        same_name = (self._images.listed(name) for name in self._images.by_stem(stem(annotation)))
        own = tuple(name for name in same_name if name) or tuple(self._by_stem.get(alike(stem(annotation)), ()))
        if len(own) == 1:
            return own
        names = self._read(annotation).names
        if own:  # a.jpg beside a.png: the tag tells them apart.
            return self._agreed(names, FileFinder(own)) or own
        finder, folder = self._finder_for(annotation), _folder(annotation)
        named = self._agreed((f"{folder}/{names[0]}", *names) if folder and names else names, finder)
        if len(named) == 1:
            return named
        by_name = finder.find(stem(annotation)) or finder.find(stem(annotation).rpartition("/")[2])
        both = tuple(set(by_name).intersection(named))
        return (both if len(both) == 1 else named) or by_name

    def _agreed(self, names: tuple[str, ...], finder: FileFinder) -> tuple[str, ...]:
        """What several names of one image mean together: what all that mean anything agree on, or else everything that
        they may mean.
        """
        found = [images for name in names if (images := finder.find(name))]
        if not found:
            return ()
        common = set(found[0]).intersection(*found[1:])
        return tuple(image for image in found[0] if image in common) or tuple(
            dict.fromkeys(image for images in found for image in images)
        )

    def _finder_for(self, annotation: str) -> FileFinder:
        """Of the images of an annotation's own folder, where images lie in folders of the same names; else of all."""
        folder = alike(_folder(annotation))
        if not folder or folder not in self._of_folder:
            return self._finder
        if folder not in self._finders:
            self._finders[folder] = FileFinder(self._of_folder[folder])
        return self._finders[folder]

    @functools.cached_property
    def _unplaced_for(self) -> dict[str, list[str]]:
        """Annotations of no image by the folder whose images they may mean; "" for all."""
        unplaced: dict[str, list[str]] = {}
        for annotation in self.unplaced:
            folder = alike(_folder(annotation))
            unplaced.setdefault(folder if folder in self._of_folder else "", []).append(annotation)
        return unplaced

    @functools.cached_property
    def _named_by_others(self) -> dict[str, str]:
        """For each image that the tag of another image's annotation names: that annotation."""
        named: dict[str, str] = {}
        for annotation, image in self.image_of.items():
            names = self._read(annotation).names
            meant = self._agreed(names, self._finder_for(annotation)) if names else ()
            if meant and image not in meant:
                named.update((other, annotation) for other in meant if other not in named)
        return named


def _folder(name: str) -> str:
    return name.rpartition("/")[0]
