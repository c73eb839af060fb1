"""The report of conversion and validation: contents of a data set and its faults, by file and box.

Object sizes are COCO's, by area in pixels² of the original image: small < 32² <= medium < 96² <= large.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from detection.data.record_faults import RECORD_FAULTS
from detection.data.record_writer import RecordImage, write_json
from detection.errors import number_of, printable
from detection.tools.tables import aligned

SIZES = ("small", "medium", "large")
_MAX_ROWS = 40
_HALF_PAIR = re.compile("[\ud800-\udc7f\udd00-\udfff]")
_SIZE_LIMITS = (32.0**2, 96.0**2)


class Kind(NamedTuple):
    """A kind of fault.

    A bad fault costs an image or a box, or means that records must not be trusted; the others are only reported.
    """

    bad: bool
    meaning: str


KINDS = {
    **{kind: Kind(fault.bad, fault.meaning) for kind, fault in RECORD_FAULTS.items()},
    # Annotations.
    "annotation_unreadable": Kind(True, "annotation files or entries that cannot be read"),
    "annotation_ambiguous": Kind(True, "images and annotations that cannot be matched unambiguously"),
    "annotation_uncertain": Kind(True, "images without annotation, while annotations without image may belong to them"),
    "annotation_repeated": Kind(False, "annotations that repeat another of the same image"),
    "encoding_wrong": Kind(
        False, "annotation files that are not in the encoding they declare; the valid part was read"
    ),
    "unsafe_path": Kind(True, "file names that lead outside the data set's folder"),
    "duplicate_id": Kind(True, "images that appear more than once"),
    "listed_twice": Kind(False, "ids that a split lists more than once; used once"),
    "filename_differs": Kind(
        False, "annotations that name another image file than the one they belong to; the name was ignored"
    ),
    "annotation_orphan": Kind(True, "boxes of images that are not listed"),
    "no_annotation": Kind(False, "images without annotation; kept as images without objects"),
    # Images.
    "image_missing": Kind(True, "images that do not exist"),
    "image_transcoded": Kind(False, "images that are neither JPEG nor PNG; stored as PNG"),
    "image_extension": Kind(False, "images whose content does not match their extension; the content counts"),
    "image_repeated": Kind(False, "image files that the annotations list more than once"),
    "no_usable_box": Kind(
        True, "images that have objects, but none with a usable box; they would look like images without objects"
    ),
    # Boxes.
    "box_fractions": Kind(True, "boxes in fractions of the image where pixels are expected"),
    "box_from_shape": Kind(False, "objects with an outline but no box"),
    "box_below_pixel": Kind(False, "boxes smaller than a pixel; kept"),
    "number_comma": Kind(False, "numbers with a decimal comma"),
    "area_replaced": Kind(
        False, "objects whose area is not positive, or larger than their box; that of the box was used"
    ),
    "box_repeated": Kind(False, "boxes that repeat another of the same class exactly; kept"),
    "class_alike": Kind(True, "classes that differ from one of the label map only by case or spaces"),
    "class_names_alike": Kind(False, "classes that differ from each other only by case or spaces; kept separate"),
    # Records.
    "shard_unreadable": Kind(True, "files that cannot be read as TFRecords to their end"),
    "shard_differs": Kind(True, "files that do not match their manifest"),
    "shard_missing": Kind(True, "sets of numbered files with missing files"),
    "shard_empty": Kind(False, "files without records"),
    "no_records": Kind(True, "sets of files without any record; an error in training"),
}


class Fault(NamedTuple):
    """One fault of the data."""

    kind: str  # a key of KINDS
    file: str  # the annotation, the image or the shard
    item: str = ""  # which object, record, field
    value: str = ""  # the value, and how to fix it if that is not obvious
    action: str = ""  # how the conversion handled it

    @property
    def bad(self) -> bool:
        """Whether the fault is bad: repaired faults are reported, but do not count."""
        return KINDS[self.kind].bad and not self.action.startswith("repaired")

    def __str__(self) -> str:
        place = f"{self.file}: {self.item}" if self.item else self.file
        text = f"{place}: {self.value}" if self.value else place
        return f"{text} ({self.action})" if self.action else text


class DataReport:
    """Counts, collected image by image, and all faults."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.outputs: list[str] = []  # files made, or read
        self.faults: list[Fault] = []
        self.found_images = 0
        self.found_boxes = 0
        self.images = 0
        self.images_without_boxes = 0
        self.boxes = 0
        self.difficult_boxes = 0
        self.ignored_difficult_boxes = 0
        self.crowd_boxes = 0
        self.max_boxes_per_image = 0
        self.formats: Counter[str] = Counter()
        self.image_sizes: Counter[tuple[int, int]] = Counter()  # (width, height)
        self.names: dict[int, str] = {}
        self.images_per_class: Counter[int] = Counter()
        self.boxes_per_size: dict[int, Counter[str]] = {}  # label -> size -> boxes

    def declare(self, names: dict[int, str]) -> None:
        """Adds the names of classes by label, so that classes without boxes are listed with 0."""
        for label, name in names.items():
            self.names.setdefault(label, name)
            self.boxes_per_size.setdefault(label, Counter())

    def add(self, image: RecordImage) -> None:
        """Counts an image and its boxes."""
        self.images += 1
        self.images_without_boxes += not image.boxes
        self.max_boxes_per_image = max(self.max_boxes_per_image, len(image.boxes))
        self.formats[image.format] += 1
        self.image_sizes[image.width, image.height] += 1
        for box in image.boxes:
            self.declare({box.label: box.text})
            self.boxes_per_size[box.label][size_of(box.area)] += 1
            self.boxes += 1
            self.difficult_boxes += box.difficult
            self.crowd_boxes += box.is_crowd
        self.images_per_class.update({box.label for box in image.boxes})

    @property
    def bad(self) -> list[Fault]:
        """The bad faults."""
        return [fault for fault in self.faults if fault.bad]

    def to_dict(self) -> dict[str, object]:
        """The whole report as JSON values."""
        widths, heights = ([size[axis] for size in self.image_sizes] or [0] for axis in (0, 1))
        return {
            "title": self.title,
            "outputs": self.outputs,
            "images": {
                "found": self.found_images,
                "written": self.images,
                "without_boxes": self.images_without_boxes,
                "formats": dict(sorted(self.formats.items())),
                "width": [min(widths), max(widths)],
                "height": [min(heights), max(heights)],
                "max_boxes": self.max_boxes_per_image,
            },
            "boxes": {
                "found": self.found_boxes,
                "written": self.boxes,
                "difficult": self.difficult_boxes,
                "ignored_difficult": self.ignored_difficult_boxes,
                "crowd": self.crowd_boxes,
                **{size: sum(counts[size] for counts in self.boxes_per_size.values()) for size in SIZES},
            },
            "classes": [
                {
                    "id": label,
                    "name": self.names[label],
                    "images": self.images_per_class[label],
                    "boxes": self.boxes_per_size[label].total(),
                    **{size: self.boxes_per_size[label][size] for size in SIZES},
                }
                for label in sorted(self.names)
            ],
            "fault_counts": dict(sorted(Counter(fault.kind for fault in self.faults).items())),
            "faults": [{field: storable(text) for field, text in fault._asdict().items()} for fault in self.faults],
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes `to_dict` as JSON."""
        write_json(path, self.to_dict())

    def lines(self, per_kind: int = 5) -> Iterator[str]:
        """The lines of the report as text: counts, a table of classes, then the faults.

        Args:
            per_kind: how many faults of a kind are listed; the others are counted.

        Yields:
            Lines without control characters.
        """
        yield from map(printable, self._lines(per_kind))

    def _lines(self, per_kind: int) -> Iterator[str]:
        yield f"{self.title}: {number_of(self.images, 'image')}, {number_of(self.boxes, 'box', 'boxes')}" + (
            f" -> {', '.join(self.outputs)}" if self.outputs else ""
        )
        if self.images:
            sizes = sorted(self.image_sizes)
            sizes_text = (
                _pixels(sizes[0])
                if len(sizes) == 1
                else f"{len(sizes)} sizes from {_pixels(sizes[0])} to {_pixels(sizes[-1])}"
            )
            formats = ", ".join(f"{count} {name}" for name, count in sorted(self.formats.items()))
            yield (
                f"  images: {sizes_text}; {formats}; {self.images_without_boxes} without boxes; at most"
                f" {number_of(self.max_boxes_per_image, 'box', 'boxes')} in one"
            )
        if self.found_images > self.images or self.found_boxes > self.boxes:
            difficult = (
                f" ({self.ignored_difficult_boxes} of them difficult ones, as asked)"
                if self.ignored_difficult_boxes
                else ""
            )
            yield (
                f"  left out: {self.found_images - self.images} of {number_of(self.found_images, 'image')}, "
                f"{self.found_boxes - self.boxes} of {number_of(self.found_boxes, 'box', 'boxes')}{difficult}"
            )
        unannotated = sum(fault.kind == "no_annotation" for fault in self.faults)
        if unannotated:
            images = number_of(self.found_images, "image")
            yield f"  without annotation: {unannotated} of {images}, kept as images without objects"
        yield from self._class_table()
        if not self.faults:
            yield "  nothing wrong was found"
        by_kind: dict[str, list[Fault]] = {}
        for fault in sorted(self.faults, key=lambda fault: not fault.bad):
            by_kind.setdefault(fault.kind, []).append(fault)
        for kind, faults in by_kind.items():
            yield f"  {'wrong' if any(fault.bad for fault in faults) else 'note'}: {KINDS[kind].meaning}: {len(faults)}"
            yield from (f"    {fault}" for fault in faults[:per_kind])
            if len(faults) > per_kind:
                yield f"    ... and {len(faults) - per_kind} more"

    def _class_table(self) -> Iterator[str]:
        if not self.names:
            return
        rows = [("id", "class", "images", "boxes", *SIZES)]
        frequent = sorted(self.names, key=lambda label: (-self.boxes_per_size[label].total(), label))[:_MAX_ROWS]
        for label in sorted(frequent):
            counts = self.boxes_per_size[label]
            numbers = (self.images_per_class[label], counts.total(), *(counts[size] for size in SIZES))
            rows.append((str(label), self.names[label], *map(str, numbers)))
        totals = (sum(counts[size] for counts in self.boxes_per_size.values()) for size in SIZES)
        rows.append(("", "all", *map(str, (self.images, self.boxes, *totals))))
        yield from (f"  {line}" for line in aligned(rows, left=(1,)))
        num_empty = sum(not counts for counts in self.boxes_per_size.values())
        if len(self.names) > _MAX_ROWS:
            yield f"  (the {_MAX_ROWS} most frequent of {len(self.names)} classes; {num_empty} have no box)"


def size_of(area: float) -> str:
    """COCO's size class of an area in pixels²."""
    return SIZES[sum(area >= limit for limit in _SIZE_LIMITS)]


def storable(text: str) -> str:
    """Makes a text encodable in UTF-8: escapes lone surrogates, except those that represent bytes of a file name."""
    return _HALF_PAIR.sub(lambda match: f"\\u{ord(match.group()):04x}", text)


def _pixels(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
