"""Finds all faults of one record, field by field and box by box, with the same checks as training."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from detection.config.label_map import LabelMap
from detection.data.convert import images
from detection.data.findings import Fault
from detection.data.record_faults import ABSENT, TOLERANCE
from detection.data.record_writer import RecordBox, RecordImage
from detection.data.validation import proposal_values
from detection.data.validation.proposal_values import ProposalFault

# Boxes beyond these are an error in training, which compares in float32.
_LOWEST, _HIGHEST = float(np.float32(-TOLERANCE)), float(np.float32(1 + TOLERANCE))
_LABEL, _TEXT = "image/object/class/label", "image/object/class/text"
_AREA, _WEIGHT = "image/object/area", "image/object/weight"
_DIFFICULT, _CROWD = "image/object/difficult", "image/object/is_crowd"
_SIDES = tuple(f"image/object/bbox/{side}" for side in ("ymin", "xmin", "ymax", "xmax"))
_PROPOSAL_SIDES = tuple(f"image/proposal/bbox/{side}" for side in ("ymin", "xmin", "ymax", "xmax"))
_PROPOSAL_SCORE = "image/proposal/score"
_SINGLE = ("image/encoded", "image/filename", "image/source_id", "image/height", "image/width")
_PER_BOX = (_LABEL, _TEXT, _AREA, _DIFFICULT, _CROWD, "image/object/group_of", _WEIGHT)
_KINDS = {
    "bytes_list": ("image/encoded", "image/format", "image/filename", "image/source_id", "image/key/sha256", _TEXT),
    "int64_list": ("image/height", "image/width", _LABEL, _DIFFICULT, _CROWD, "image/object/group_of"),
    "float_list": (*_SIDES, _AREA, _WEIGHT, *_PROPOSAL_SIDES, _PROPOSAL_SCORE),
}
_KIND_OF = {field: kind for kind, fields in _KINDS.items() for field in fields}


class Checked(NamedTuple):
    """The content of a record and its faults."""

    image: RecordImage | None  # None if it cannot be used; otherwise with its usable boxes
    found_boxes: int
    faults: list[Fault]


class ProposalCheck(Protocol):
    """Checks proposals in files beside the records (implemented by `proposals.check`)."""

    def check(self, source_id: str, filename: str, height: int, width: int) -> Iterator[ProposalFault]:
        """Yields the faults of the proposals for an image of this name and size."""


class Classes:
    """Determines the class of a box, with a label map or from the record only."""

    def __init__(self, label_map: LabelMap | None, use_display_name: bool = False) -> None:
        self.source = label_map.path if label_map else ""
        categories = label_map.categories if label_map else ()
        self.names = {category.id: category.shown if use_display_name else category.name for category in categories}
        self.ids = label_map.text_ids() if label_map else {}

    def of(self, label: int | None, text: str) -> int | None:
        """The label id; None if it is unknown in training.

        With a label map the text takes precedence, otherwise the label is used.
        """
        if not self.source:
            return label if label is None or label >= 1 else None
        class_id = self.ids.get(text) if text else label
        return class_id if class_id in self.names else None


def check_record(
    shard: str, number: int, data: bytes, classes: Classes, max_pixels: int, proposals: ProposalCheck | None = None
) -> Checked:
    """Parses and decodes a record and checks all of it.

    Args:
        shard: its file, for messages.
        number: its number in the shard, for messages.
        data: a serialised tf.Example.
        classes: to look up its classes.
        max_pixels: larger images are not decoded.
        proposals: checks the proposals that every record should have; None: there are none.
    """
    try:
        features = tf.train.Example.FromString(data).features.feature
    except DecodeError:
        return Checked(None, 0, [Fault("record_unreadable", shard, f"record {number}", "is not a tf.Example")])
    record = _Record(shard, number, features)
    num_boxes = max(len(record.values[side]) for side in _SIDES)
    if not record.first("image/encoded"):
        fields = ", ".join(sorted(features)[:4]) or "nothing"
        record.fault("record_unreadable", "image/encoded", f"is missing or empty; the record has {fields}")
        return Checked(None, num_boxes, record.faults)
    loaded = record.check_image(max_pixels)
    if loaded is None:
        return Checked(None, num_boxes, record.faults)
    boxes = tuple(record.boxes(loaded.width, loaded.height, classes))
    encoded, filename = record.first("image/encoded"), record.text("image/filename")
    record.check_proposals()
    if proposals is not None:
        for proposal_fault in proposals.check(record.source_id, filename, loaded.height, loaded.width):
            record.fault(proposal_fault.kind, "proposals", proposal_fault.value)
    return Checked(
        RecordImage(encoded, loaded.format, loaded.height, loaded.width, filename, record.source_id, boxes),
        num_boxes,
        record.faults,
    )


class _Record:
    """The fields of a record that training reads, and the faults found so far."""

    def __init__(self, shard: str, number: int, features) -> None:
        self._shard = shard
        self._has_proposals = any(field in features for field in _PROPOSAL_SIDES)
        self.faults: list[Fault] = []
        self.values: dict[str, list] = {}
        mistyped = []
        for field, kind in _KIND_OF.items():
            actual_kind = features[field].WhichOneof("kind") if field in features else None
            self.values[field] = list(getattr(features[field], kind).value) if actual_kind == kind else []
            if actual_kind not in (None, kind):
                mistyped.append((field, f"is a {actual_kind}; should be a {kind}"))
        self.source_id = self.text("image/source_id")
        name = self.source_id or self.text("image/filename")
        self._where = f"record {number} ({name})" if name else f"record {number}"
        for field, value in mistyped:
            self.fault("field_type", field, value)
        for field in _SINGLE:
            if len(self.values[field]) > 1:
                self.fault(
                    "field_length",
                    field,
                    f"{len(self.values[field])} values for one image; more than one is an error in training",
                )
        if not self.source_id:
            self.fault("source_id_absent", "image/source_id", "")

    def fault(self, kind: str, field: str, value: str) -> None:
        """Adds a fault of a field or a box."""
        self.faults.append(Fault(kind, self._shard, f"{self._where}, {field}", value))

    def first(self, field: str):
        """The first value of a field, or None."""
        return next(iter(self.values[field]), None)

    def text(self, field: str) -> str:
        """The first value of a bytes field as text; empty if there is none."""
        return (self.first(field) or b"").decode("utf-8", "replace")

    def check_image(self, max_pixels: int) -> images.LoadedImage | None:
        """Decodes the image and checks the fields about it; None if it cannot be decoded."""
        encoded = self.first("image/encoded")
        try:
            loaded = images.check(encoded, self._shard, max_pixels=max_pixels, in_record=True)
        except images.BadImage as error:
            self.fault(error.fault.kind, "image/encoded", error.fault.value)
            return None
        for note in loaded.faults:
            self.fault(note.kind, "image/encoded", note.value)
        actual = loaded.format if loaded.format in ("jpeg", "png") else f"{loaded.format}, neither JPEG nor PNG"
        stored = self.text("image/format")
        if stored.lower().replace("jpg", "jpeg") != actual and (stored or actual not in ("jpeg", "png")):
            self.fault("format_differs", "image/format", f"{stored!r}, but the image is {actual}")
        sha256 = self.text("image/key/sha256")
        if sha256 and sha256 != hashlib.sha256(encoded).hexdigest():
            self.fault("sha256_differs", "image/key/sha256", sha256)
        width, height = self.first("image/width"), self.first("image/height")
        if any(side not in (None, ABSENT, size) for side, size in ((width, loaded.width), (height, loaded.height))):
            self.fault(
                "size_mismatch",
                "image/width, image/height",
                f"{width}x{height}, but the image has {loaded.width}x{loaded.height} pixels",
            )
        elif None in (width, height) or ABSENT in (width, height):
            self.fault("size_absent", "image/width, image/height", f"{width}, {height}")
        return loaded

    def boxes(self, width: int, height: int, classes: Classes) -> Iterator[RecordBox]:
        """The usable boxes."""
        sides = [self.values[side] for side in _SIDES]
        count = len(sides[0])
        if any(len(side) != count for side in sides):
            lengths = ", ".join(f"{field.rpartition('/')[2]} {len(self.values[field])}" for field in _SIDES)
            self.fault("field_length", "image/object/bbox/*", f"{lengths} values")
            return
        for field in _PER_BOX:
            if len(self.values[field]) not in (0, count):
                self.fault("field_length", field, f"{len(self.values[field])} values for {count} boxes")
                self.values[field] = []
        highest = max((value for side in sides for value in side if math.isfinite(value)), default=0.0)
        if highest > _HIGHEST:
            self.fault("box_not_normalised", "image/object/bbox/*", f"values up to {highest:g}")
            return
        if count and not self.values[_LABEL] and not self.values[_TEXT]:
            self.fault("class_missing", f"{_LABEL}, {_TEXT}", f"missing for {count} boxes")
            return
        for field in (_AREA, _WEIGHT):
            for index, value in enumerate(self.values[field]):
                if not (math.isfinite(value) and value >= 0):
                    self.fault(
                        "number_unusable",
                        f"{field} of box {index}",
                        f"{value:g}; should be a finite number, 0 or higher",
                    )
                    self.values[field][index] = 0.0
        for index, corners in enumerate(zip(*sides, strict=True)):
            label = self._class(index, classes) if self._check_corners(index, *corners) else None
            if label is None:
                continue
            ymin, xmin, ymax, xmax = corners
            area = self._value_at(_AREA, index) or (ymax - ymin) * (xmax - xmin) * height * width
            text = classes.names.get(label) or self._text_at(index) or f"label {label}"
            yield RecordBox(
                *corners,
                label,
                text,
                area,
                difficult=bool(self._value_at(_DIFFICULT, index)),
                is_crowd=bool(self._value_at(_CROWD, index)),
            )

    def check_proposals(self) -> None:
        """Checks the proposals in the record itself, if it has their keys."""
        sides, scores = [self.values[side] for side in _PROPOSAL_SIDES], self.values[_PROPOSAL_SCORE]
        if not self._has_proposals:
            return
        count = len(sides[0])
        if any(len(side) != count for side in sides) or len(scores) not in (0, count):
            lengths = ", ".join(
                f"{field.rpartition('/')[2]} {len(self.values[field])}" for field in (*_PROPOSAL_SIDES, _PROPOSAL_SCORE)
            )
            self.fault("field_length", "image/proposal/*", f"{lengths} values")
            return
        boxes = np.array(sides, np.float32).T.reshape(-1, 4)
        for proposal_fault in proposal_values.check(boxes, np.array(scores or [0.0] * count, np.float32), boxes):
            self.fault(proposal_fault.kind, "image/proposal/*", proposal_fault.value)

    def _check_corners(self, index: int, ymin: float, xmin: float, ymax: float, xmax: float) -> bool:
        """Whether a box can be used in training; adds its fault otherwise."""
        shown = f"(ymin, xmin, ymax, xmax) = ({ymin:g}, {xmin:g}, {ymax:g}, {xmax:g})"
        if not all(map(math.isfinite, (ymin, xmin, ymax, xmax))):
            kind = "box_unreadable"
        elif ymax < ymin or xmax < xmin:
            kind = "box_inverted"
        elif ymax == ymin or xmax == xmin:
            kind = "box_zero_area"
        elif min(ymin, xmin) < _LOWEST:
            kind = "box_outside"
            shown += f" exceeds the image by more than {TOLERANCE:g} of its side; this is an error in training"
        # Clipped to the image, as in training, nothing is left.
        elif ymin >= 1 or xmin >= 1 or ymax <= 0 or xmax <= 0:
            kind = "box_zero_area"
            shown += " lies outside the image"
        else:
            if min(ymin, xmin) < 0 or max(ymax, xmax) > 1:
                self.fault("box_clipped", f"box {index}", shown)
            return True
        self.fault(kind, f"box {index}", shown)
        return False

    def _class(self, index: int, classes: Classes) -> int | None:
        label, text = self._value_at(_LABEL, index), self._text_at(index)
        class_id = classes.of(label, text)
        if class_id is None and (classes.source or label is not None):
            description = f"text {text!r}" if text and classes.source else f"label {label}"
            self.fault(
                "class_unknown",
                f"box {index}",
                f"{description} is not in {classes.source}" if classes.source else f"{description}; labels start at 1",
            )
            return None
        if label is not None and class_id != label:
            value = f"text {text!r} is label {class_id} in {classes.source}, the record says label {label}"
            self.fault("class_disagrees", f"box {index}", value)
        return class_id or 0

    def _value_at(self, field: str, index: int):
        return self.values[field][index] if self.values[field] else None

    def _text_at(self, index: int) -> str:
        return (self._value_at(_TEXT, index) or b"").decode("utf-8", "replace")
