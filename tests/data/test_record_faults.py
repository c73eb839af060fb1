"""Validation and training say the same of a record, and what `data.record_faults` says: each kind of fault is put
through both.

Validation may be stricter where training does not read a field (NOT_READ), never the other way round: a data set that
validation calls good trains.
"""

from __future__ import annotations

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from detection.config import label_map
from detection.data.findings import DataReport
from detection.data.reading.corrections import Corrections
from detection.data.reading.input import checker
from detection.data.reading.options import InputOptions
from detection.data.record_faults import RECORD_FAULTS, TOLERANCE, Training
from detection.data.validation.record_check import Classes, check_record
from detection.errors import DataError
from detection.types import MAX_PIXELS, Category

BOX = "image__object__bbox__"
LABEL, TEXT = "image__object__class__label", "image__object__class__text"
NOT_READ = "training does not read the field"
SMALL, LARGE = np.float32(TOLERANCE), np.float32(1 + TOLERANCE)


def image(kind: str, mode: str = "RGB", **settings) -> bytes:
    stream = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(stream, kind, **settings)
    return stream.getvalue()


def _rotated() -> Image.Exif:
    exif = Image.Exif()
    exif[274] = 6  # orientation: a quarter turn
    return exif


def box(ymin: float, xmin: float, ymax: float, xmax: float) -> dict:
    return {"boxes": [(ymin, xmin, ymax, xmax)]}


ROWS = {
    "good": ({}, None),
    "no boxes": ({"boxes": ()}, None),
    # Boxes at the edge: one tolerance for both.
    "a little outside": (box(-0.05, 0.2, 0.5, 1.05), "box_clipped"),
    "outside by the tolerance": (box(-SMALL, 0.2, 0.5, LARGE), "box_clipped"),
    "outside by more, below": (box(np.nextafter(-SMALL, np.float32(-1)), 0.2, 0.5, 0.6), "box_outside"),
    "outside by more, above": (box(0.1, 0.2, 0.5, np.nextafter(LARGE, np.float32(2))), "box_not_normalised"),
    "all of it a little outside, above": (box(1.02, 0.2, 1.05, 0.6), "box_zero_area"),
    "all of it a little outside, below": (box(0.1, -0.08, 0.5, -0.02), "box_zero_area"),
    "all of it far outside": (box(0.1, 1.2, 0.5, 1.6), "box_not_normalised"),
    "touching the edge from outside": (box(0.1, 1.0, 0.5, 1.05), "box_zero_area"),
    "pixels": (box(2, 6, 10, 18), "box_not_normalised"),
    "one side in pixels": (box(0.1, 0.2, 0.5, 18), "box_not_normalised"),
    "far below zero": (box(-3, 0.2, 0.5, 0.6), "box_outside"),
    "no area": (box(0.1, 0.2, 0.1, 0.6), "box_zero_area"),
    "inverted": (box(0.5, 0.2, 0.1, 0.6), "box_inverted"),
    "inverted and outside": (box(0.5, 0.2, -0.05, 0.6), "box_inverted"),
    "NaN": (box(0.1, 0.2, float("nan"), 0.6), "box_unreadable"),
    "infinite": (box(0.1, 0.2, float("inf"), 0.6), "box_unreadable"),
    "second of two is bad": ({"boxes": [(0.1, 0.2, 0.5, 0.6), (0.5, 0.2, 0.1, 0.6)]}, "box_inverted"),
    # Lists.
    "a side short": ({BOX + "ymin": [0.1, 0.2]}, "field_length"),
    "a side absent": ({BOX + "xmax": None}, "field_length"),
    "labels without boxes": ({"boxes": (), LABEL: [1]}, "field_length"),
    "two labels for one box": ({LABEL: [1, 1]}, "field_length"),
    "two areas for one box": ({"image__object__area": [1.0, 2.0]}, "field_length"),
    "two flags for one box": ({"image__object__is_crowd": [0, 1]}, "field_length"),
    "two weights for one box": ({"image__object__weight": [1.0, 1.0]}, "field_length"),
    "group_of of another length": ({"image__object__group_of": [0, 0]}, "field_length", NOT_READ),
    # Numbers.
    "negative area": ({"image__object__area": [-1.0]}, "number_unusable"),
    "area is NaN": ({"image__object__area": [float("nan")]}, "number_unusable"),
    "area 0": ({"image__object__area": [0.0]}, None),
    "negative weight": ({"image__object__weight": [-1.0]}, "number_unusable"),
    "weight 0": ({"image__object__weight": [0.0]}, None),
    # Classes.
    "label not in the map": ({LABEL: [2]}, "class_unknown"),
    "label 0": ({LABEL: [0]}, "class_unknown"),
    "negative label": ({LABEL: [-1]}, "class_unknown"),
    "huge label": ({LABEL: [2**40]}, "class_unknown"),
    "text alone": ({LABEL: None, TEXT: ["dog"]}, None),
    "text by display name": ({LABEL: [3], TEXT: ["Hund"]}, None),
    "text not in the map": ({TEXT: ["wolf"]}, "class_unknown"),
    "text of other letters": ({LABEL: None, TEXT: ["Dog"]}, "class_unknown"),
    "text that is no UTF-8": ({LABEL: None, TEXT: [b"\xff\xfe"]}, "class_unknown"),
    "text and label disagree": ({LABEL: [1], TEXT: ["dog"]}, "class_disagrees"),
    "text known, label not in the map": ({LABEL: [2], TEXT: ["dog"]}, "class_disagrees"),
    "empty text": ({TEXT: [""]}, None),
    "neither text nor label": ({LABEL: None}, "class_missing"),
    # The image's size.
    "height differs": ({"image__height": 21}, "size_mismatch"),
    "sides swapped": ({"image__height": 30, "image__width": 20}, "size_mismatch"),
    "size absent": ({"image__height": None, "image__width": None}, "size_absent"),
    "one side absent": ({"image__height": None}, "size_absent"),
    "one side absent, the other wrong": ({"image__height": None, "image__width": 31}, "size_mismatch"),
    "size -1": ({"image__height": -1, "image__width": -1}, "size_absent"),
    "size 0": ({"image__height": 0, "image__width": 0}, "size_mismatch"),
    "size right but for 2^32": ({"image__height": 2**32 + 20}, "size_mismatch"),
    # The image.
    "JPEG": ({"image__encoded": image("JPEG")}, None),
    "BMP": ({"image__encoded": image("BMP")}, None),
    "GIF": ({"image__encoded": image("GIF")}, None),
    "WebP": ({"image__encoded": image("WEBP")}, None),
    "16 bits": ({"image__encoded": tf.io.encode_png(np.zeros((20, 30, 3), np.uint16)).numpy()}, "image_16_bit"),
    "CMYK": ({"image__encoded": image("JPEG", "CMYK")}, "image_cmyk"),
    "transparent": ({"image__encoded": image("PNG", "RGBA")}, "image_alpha"),
    "animated": (
        {"image__encoded": image("GIF", save_all=True, append_images=[Image.new("RGB", (30, 20))])},
        "image_animated",
    ),
    "rotated by EXIF": ({"image__encoded": image("JPEG", exif=_rotated())}, "image_exif_rotated"),
    "TIFF": ({"image__encoded": image("TIFF")}, "image_unreadable"),
    "JPEG without its end": ({"image__encoded": image("JPEG")[:-2]}, "image_truncated"),
    "JPEG cut": ({"image__encoded": image("JPEG")[:500]}, "image_unreadable"),
    "PNG cut": ({"image__encoded": image("PNG")[:-20]}, "image_unreadable"),
    "text for an image": ({"image__encoded": b"hello, I am text"}, "image_unreadable"),
    "no image": ({"image__encoded": None}, "record_unreadable"),
    "image/format says otherwise": ({"image__format": "jpeg"}, "format_differs"),
    "image/format says otherwise, of another type": ({"image__format": [1]}, "field_type", NOT_READ),
    "two images": ({"image__encoded": [image("JPEG"), image("JPEG")]}, "field_length"),
    "two ids": ({"image__source_id": ["a", "b"]}, "field_length"),
    "two heights": ({"image__height": [20, 20]}, "field_length"),
    "no id": ({"image__source_id": None}, "source_id_absent"),
    "checksum differs": ({"image__key__sha256": "0" * 64}, "sha256_differs"),
    # Types.
    "labels are numbers with fractions": ({LABEL: [1.0]}, "field_type"),
    "boxes are whole numbers": ({BOX + "ymin": [0]}, "field_type"),
    "height is text": ({"image__height": "20"}, "field_type"),
}


@pytest.fixture(scope="module")
def corrections() -> Corrections:
    return Corrections()


@pytest.fixture(scope="module")
def training(corrections):
    """(shard, number, record) -> why training cannot use it. Traced once for all rows."""
    categories, texts = (Category(1, "cat"), Category(3, "dog")), (("cat", 1), ("dog", 3), ("Hund", 3))
    options = InputOptions(paths=(), categories=categories, text_ids=texts, label_source="pets.pbtxt")
    return checker(options, corrections)


@pytest.fixture(scope="module")
def classes(tmp_path_factory) -> Classes:
    path = tmp_path_factory.mktemp("map") / "pets.pbtxt"
    path.write_text('item { name: "cat" id: 1 } item { name: "dog" id: 3 display_name: "Hund" }')
    return Classes(label_map.load(path))


@pytest.mark.parametrize("row", ROWS)
def test_validation_and_training_say_what_the_table_says(training, corrections, classes, example, row):
    changes, kind, *unread = ROWS[row]
    serialized = example(**changes)
    number = list(ROWS).index(row)
    refused = training("a.record", number, serialized)
    faults = check_record("a.record", number, serialized, classes, MAX_PIXELS).faults
    found = {fault.kind for fault in faults}
    assert kind in found if kind else not [fault for fault in faults if fault.bad], faults
    refusing = {name for name in found if RECORD_FAULTS[name].training is Training.REFUSES and not unread}
    assert (refused is None) == (not refusing), (refused, faults)
    assert all(fault.bad == RECORD_FAULTS[fault.kind].bad for fault in faults)
    if refused and ";" in refused:  # An error of our own, not one of TensorFlow's.
        fixes = [RECORD_FAULTS[name].fix.format(classes="pets.pbtxt") for name in refusing]
        assert any(refused.endswith(f"; {fix}") for fix in fixes) or (kind == "class_missing"), (refused, fixes)
    corrected = {name for name in found if RECORD_FAULTS[name].training is Training.CORRECTS}
    counted = {line for line, (_, _, first) in corrections.totals().items() if f"a.record:{number}" in first}
    assert refused or corrected >= counted


def test_what_training_corrects_is_counted_under_the_name_of_the_table(training, corrections, classes, example):
    for kind, changes in (("box_clipped", box(-0.05, 0.2, 0.5, 1.05)), ("box_zero_area", box(0.1, 0.2, 0.1, 0.6))):
        before = corrections.totals().get(kind, (0, 0, ""))[1]
        assert training("b.record", 0, example(**changes)) is None
        assert corrections.totals()[kind][1] == before + 1
        assert RECORD_FAULTS[kind].corrected in corrections.lines()[kind]


def test_every_fault_of_the_table_is_tried():
    """Those of proposals are in tests/proposals."""
    tried = {kind for _, kind, *_ in ROWS.values() if kind}
    elsewhere = {"image_too_large"} | {kind for kind in RECORD_FAULTS if kind.startswith("proposal_")}
    assert tried | elsewhere == set(RECORD_FAULTS)
    for kind, fault in RECORD_FAULTS.items():
        assert fault.bad or fault.training is not Training.REFUSES, kind
        assert bool(fault.fix) == (fault.training is Training.REFUSES), kind
        assert fault.corrected or fault.training is not Training.CORRECTS, kind


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
