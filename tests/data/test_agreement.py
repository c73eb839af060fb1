"""Validation and training say the same of a record: one row a kind of fault, each through both.

Validation may be stricter where training does not look (STRICTER), never the other way round: a data set that
validation calls good trains.
"""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from detection.config import label_map
from detection.data.findings import DataReport
from detection.data.reading.decode import TOLERANCE
from detection.data.reading.input import checker
from detection.data.validation.record_check import Classes, check_record
from detection.errors import DataError
from detection.types import MAX_PIXELS

BOX = "image__object__bbox__"
LABEL, TEXT = "image__object__class__label", "image__object__class__text"
ACCEPTED, REFUSED, STRICTER = "accepted", "refused", "refused by validation alone"
SMALL, LARGE = np.float32(TOLERANCE), np.float32(1 + TOLERANCE)


def image(kind: str, **settings) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(
        stream, kind, **settings
    )
    return stream.getvalue()


def box(ymin: float, xmin: float, ymax: float, xmax: float) -> dict:
    return {"boxes": [(ymin, xmin, ymax, xmax)]}


ROWS = {
    "good": ({}, ACCEPTED),
    "no boxes": ({"boxes": ()}, ACCEPTED),
    # Boxes at the edge: one tolerance for both.
    "a little outside": (box(-0.05, 0.2, 0.5, 1.05), ACCEPTED),
    "outside by the tolerance": (box(-SMALL, 0.2, 0.5, LARGE), ACCEPTED),
    "outside by more, below": (box(np.nextafter(-SMALL, np.float32(-1)), 0.2, 0.5, 0.6), REFUSED),
    "outside by more, above": (box(0.1, 0.2, 0.5, np.nextafter(LARGE, np.float32(2))), REFUSED),
    "all of it a little outside, above": (box(1.02, 0.2, 1.05, 0.6), ACCEPTED),
    "all of it a little outside, below": (box(0.1, -0.08, 0.5, -0.02), ACCEPTED),
    "all of it far outside": (box(0.1, 1.2, 0.5, 1.6), REFUSED),
    "touching the edge from outside": (box(0.1, 1.0, 0.5, 1.05), ACCEPTED),
    "pixels": (box(2, 6, 10, 18), REFUSED),
    "one side in pixels": (box(0.1, 0.2, 0.5, 18), REFUSED),
    "far below zero": (box(-3, 0.2, 0.5, 0.6), REFUSED),
    "no area": (box(0.1, 0.2, 0.1, 0.6), ACCEPTED),
    "inverted": (box(0.5, 0.2, 0.1, 0.6), REFUSED),
    "inverted and outside": (box(0.5, 0.2, -0.05, 0.6), REFUSED),
    "NaN": (box(0.1, 0.2, float("nan"), 0.6), REFUSED),
    "infinite": (box(0.1, 0.2, float("inf"), 0.6), REFUSED),
    "second of two is bad": ({"boxes": [(0.1, 0.2, 0.5, 0.6), (0.5, 0.2, 0.1, 0.6)]}, REFUSED),
    # Lists.
    "a side short": ({BOX + "ymin": [0.1, 0.2]}, REFUSED),
    "a side absent": ({BOX + "xmax": None}, REFUSED),
    "labels without boxes": ({"boxes": (), LABEL: [1]}, REFUSED),
    "two labels for one box": ({LABEL: [1, 1]}, REFUSED),
    "two areas for one box": ({"image__object__area": [1.0, 2.0]}, REFUSED),
    "two flags for one box": ({"image__object__is_crowd": [0, 1]}, REFUSED),
    "two weights for one box": ({"image__object__weight": [1.0, 1.0]}, REFUSED),
    "group_of of another length": ({"image__object__group_of": [0, 0]}, STRICTER),  # training does not read it
    # Numbers.
    "negative area": ({"image__object__area": [-1.0]}, REFUSED),
    "area is NaN": ({"image__object__area": [float("nan")]}, REFUSED),
    "area 0": ({"image__object__area": [0.0]}, ACCEPTED),
    "negative weight": ({"image__object__weight": [-1.0]}, REFUSED),
    "weight 0": ({"image__object__weight": [0.0]}, ACCEPTED),
    # Classes.
    "label not in the map": ({LABEL: [2]}, REFUSED),
    "label 0": ({LABEL: [0]}, REFUSED),
    "negative label": ({LABEL: [-1]}, REFUSED),
    "huge label": ({LABEL: [2**40]}, REFUSED),
    "text alone": ({LABEL: None, TEXT: ["dog"]}, ACCEPTED),
    "text by display name": ({LABEL: [3], TEXT: ["Hund"]}, ACCEPTED),
    "text not in the map": ({TEXT: ["wolf"]}, REFUSED),
    "text of other letters": ({LABEL: None, TEXT: ["Dog"]}, REFUSED),
    "text that is no UTF-8": ({LABEL: None, TEXT: [b"\xff\xfe"]}, REFUSED),
    "text and label disagree": ({LABEL: [1], TEXT: ["dog"]}, REFUSED),
    "text known, label not in the map": ({LABEL: [2], TEXT: ["dog"]}, REFUSED),
    "empty text": ({TEXT: [""]}, ACCEPTED),
    "neither text nor label": ({LABEL: None}, REFUSED),
    # The image's size.
    "height differs": ({"image__height": 21}, REFUSED),
    "sides swapped": ({"image__height": 30, "image__width": 20}, REFUSED),
    "size absent": ({"image__height": None, "image__width": None}, ACCEPTED),
    "one side absent": ({"image__height": None}, ACCEPTED),
    "one side absent, the other wrong": ({"image__height": None, "image__width": 31}, REFUSED),
    "size -1": ({"image__height": -1, "image__width": -1}, ACCEPTED),
    "size 0": ({"image__height": 0, "image__width": 0}, REFUSED),
    "size right but for 2^32": ({"image__height": 2**32 + 20}, REFUSED),
    # The image.
    "JPEG": ({"image__encoded": image("JPEG")}, ACCEPTED),
    "BMP": ({"image__encoded": image("BMP")}, ACCEPTED),
    "GIF": ({"image__encoded": image("GIF")}, ACCEPTED),
    "WebP": ({"image__encoded": image("WEBP")}, ACCEPTED),
    "TIFF": ({"image__encoded": image("TIFF")}, REFUSED),
    "JPEG without its end": ({"image__encoded": image("JPEG")[:-2]}, REFUSED),
    "JPEG cut": ({"image__encoded": image("JPEG")[:500]}, REFUSED),
    "PNG cut": ({"image__encoded": image("PNG")[:-20]}, REFUSED),
    "text for an image": ({"image__encoded": b"hello, I am text"}, REFUSED),
    "no image": ({"image__encoded": None}, REFUSED),
    "image/format says otherwise": ({"image__format": "jpeg"}, ACCEPTED),
    "image/format says otherwise, of another type": ({"image__format": [1]}, STRICTER),  # training does not read it
    "two images": ({"image__encoded": [image("JPEG"), image("JPEG")]}, REFUSED),
    "two ids": ({"image__source_id": ["a", "b"]}, REFUSED),
    "two heights": ({"image__height": [20, 20]}, REFUSED),
    "no id": ({"image__source_id": None}, ACCEPTED),
    "checksum differs": ({"image__key__sha256": "0" * 64}, STRICTER),  # training does not read it
    # Types.
    "labels are numbers with fractions": ({LABEL: [1.0]}, REFUSED),
    "boxes are whole numbers": ({BOX + "ymin": [0]}, REFUSED),
    "height is text": ({"image__height": "20"}, REFUSED),
}


@pytest.fixture(scope="module")
def training():
    """(shard, number, record) -> why training cannot use it. Traced once for all rows."""
    from detection.data.reading.options import InputOptions
    from detection.types import Category

    categories, texts = (Category(1, "cat"), Category(3, "dog")), (("cat", 1), ("dog", 3), ("Hund", 3))
    return checker(InputOptions(paths=(), categories=categories, text_ids=texts, label_source="pets.pbtxt"))


@pytest.fixture(scope="module")
def classes(tmp_path_factory) -> Classes:
    path = tmp_path_factory.mktemp("map") / "pets.pbtxt"
    path.write_text('item { name: "cat" id: 1 } item { name: "dog" id: 3 display_name: "Hund" }')
    return Classes(label_map.load(path))


@pytest.mark.parametrize("row", ROWS)
def test_validation_and_training_agree(training, classes, example, row):
    changes, expected = ROWS[row]
    serialized = example(**changes)
    refused = training("a.record", 4, serialized)
    faults = [fault for fault in check_record("a.record", 4, serialized, classes, MAX_PIXELS).faults if fault.bad]
    assert (refused is None, not faults) == {ACCEPTED: (True, True), REFUSED: (False, False), STRICTER: (True, False)}[
        expected
    ], (refused, faults)


def test_what_is_no_example(training, classes):
    for data in (b"\xff\xff nonsense", b"\x0a\x05ab"):
        assert training("a.record", 4, data) and check_record("a.record", 4, data, classes, MAX_PIXELS).faults[0].bad


def test_a_name_that_would_act_on_a_terminal_is_shown_as_text(training, classes, example):
    """Whatever a record calls itself, a message is one printable line."""
    name = b"\x1b[2J\xe2\x80\xaeevil\xff\nsecond line"
    serialized = example(image__source_id=name, image__filename=name, **{LABEL: [1], TEXT: [b"\x1b]0;title\x07\xff"]})
    reason = training("a.record", 4, serialized)
    report = DataReport("records")
    report.faults = check_record("a.record", 4, serialized, classes, MAX_PIXELS).faults
    lines = [reason, *report.lines(), str(DataError(str(report.bad[0])))]
    assert report.bad and all(line.isprintable() for line in lines) and "\\x1b[2J" in "".join(lines), lines
