"""All faults that a record may have, in one table: how validation reports them and how training handles them.

Reading (`reading.decode`, `reading.corrections`, `proposals.input_sources`) and validation (`validation.record_check`)
use its names, fixes and tolerance; tests/data/test_record_faults.py tests each fault with both.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from detection.types import MAX_PIXELS

TOLERANCE = 0.1  # how far a box may exceed the image, as a fraction of its side, before it is an error
ABSENT = -1  # a missing height or width; some tools write it


class Training(Enum):
    """How training and evaluation handle a fault."""

    REFUSES = "stops with an error that names the record"
    CORRECTS = "corrects it and counts it"
    ACCEPTS = "accepts the record"
    DOES_NOT_READ = "does not read the field"


class RecordFault(NamedTuple):
    """One kind of fault."""

    meaning: str  # heading in the report of validation
    training: Training
    fix: str = ""  # what to do, at the end of training's error message; {classes}: where the classes come from
    corrected: str = ""  # what training did, after a number of boxes, proposals or images
    bad: bool = True  # in validation: it costs an image or a box, or means that the record must not be trusted


_REFUSES, _CORRECTS = Training.REFUSES, Training.CORRECTS

RECORD_FAULTS = {
    # The record as a whole.
    "record_unreadable": RecordFault(
        "records that are not a tf.Example, or lack required fields", _REFUSES, "store the JPEG or PNG file there"
    ),
    "field_type": RecordFault(
        "fields of the wrong type", _REFUSES, "write the keys with the types of the TF Object Detection API"
    ),
    "field_length": RecordFault("per-box fields of unequal length", _REFUSES, "write one value for each box"),
    "source_id_absent": RecordFault(
        "records without image/source_id; evaluation cannot tell them apart", Training.ACCEPTS, bad=False
    ),
    # The image.
    "image_unreadable": RecordFault(
        "images that cannot be decoded", _REFUSES, "store a whole JPEG, PNG, BMP, GIF or WebP file"
    ),
    "image_too_large": RecordFault(
        "images above --max_image_pixels", _REFUSES, f"at most {MAX_PIXELS} are decoded: shrink the image"
    ),
    "image_truncated": RecordFault(
        "images whose end is missing", _REFUSES, "store a whole JPEG, PNG, BMP, GIF or WebP file"
    ),
    "image_16_bit": RecordFault("images of 16 bits a channel; training sees the upper 8", Training.ACCEPTS, bad=False),
    "image_cmyk": RecordFault(
        "CMYK images; training sees them in RGB, without colour profile", Training.ACCEPTS, bad=False
    ),
    "image_alpha": RecordFault("images with transparency; training sees them without it", Training.ACCEPTS, bad=False),
    "image_animated": RecordFault(
        "animations or multi-page images; the first frame was used", Training.ACCEPTS, bad=False
    ),
    "image_exif_rotated": RecordFault(
        "images with EXIF rotation; pixels are used as stored, as in COCO, and so are boxes of that size",
        Training.ACCEPTS,
        bad=False,
    ),
    "size_mismatch": RecordFault(
        "annotations made for another image size",
        _REFUSES,
        "write the size of the stored pixels (EXIF rotation is not applied)",
    ),
    "size_absent": RecordFault("annotations without image size; the image's own was used", Training.ACCEPTS, bad=False),
    "format_differs": RecordFault(
        "images whose image/format does not match their bytes", Training.DOES_NOT_READ, bad=False
    ),
    "sha256_differs": RecordFault("images whose image/key/sha256 does not match their bytes", Training.DOES_NOT_READ),
    # Boxes.
    "box_unreadable": RecordFault("boxes without usable numbers", _REFUSES, "coordinates must be finite numbers"),
    "box_inverted": RecordFault(
        "boxes with their maximum below their minimum", _REFUSES, "the minimum exceeds the maximum: swap the corners"
    ),
    "box_outside": RecordFault(
        "boxes that lie outside their image, or far beyond its edge",
        _REFUSES,
        "far outside the image: normalised coordinates (0 to 1) are expected, not pixels",
    ),
    "box_not_normalised": RecordFault(
        "boxes that look like pixels; records hold coordinates from 0 to 1",
        _REFUSES,
        "far outside the image: normalised coordinates (0 to 1) are expected, not pixels",
    ),
    "box_clipped": RecordFault(
        "boxes that reach outside their image; clipped", _CORRECTS, corrected="boxes clipped to the image", bad=False
    ),
    "box_zero_area": RecordFault(
        "boxes without area; left out", _CORRECTS, corrected="boxes without area dropped", bad=False
    ),
    "number_unusable": RecordFault(
        "areas or weights that are negative or not finite", _REFUSES, "write a finite number, 0 or higher"
    ),
    # Classes.
    "class_missing": RecordFault(
        "objects without class name",
        _REFUSES,
        "write one label id (or class/text) for each box",
    ),
    "class_unknown": RecordFault(
        "classes that are not in the label map",
        _REFUSES,
        "not a class of {classes}: add it there or fix the records",
        corrected="boxes with a label that is not in the label map dropped",  # only with drop_unknown_labels
    ),
    "class_disagrees": RecordFault(
        "boxes whose class text and label mean different classes",
        _REFUSES,
        "{classes} gives them two ids: fix the records, or the map",
    ),
    # Proposals, in the record or in files beside it.
    "proposal_missing": RecordFault(
        "images that are not in the proposal files",
        _REFUSES,
        "make proposals for these records, or use the right files; an image without proposals needs an empty entry",
    ),
    "proposal_size": RecordFault(
        "proposals made for images of another size", _REFUSES, "make the proposals again, from these records"
    ),
    "proposal_unreadable": RecordFault(
        "images whose proposals have unusable numbers",
        _REFUSES,
        "coordinates and scores must be finite numbers",
    ),
    "proposal_outside": RecordFault(
        "images with proposals far outside them",
        _REFUSES,
        "the proposals are of another image, or of one of another size",
    ),
    "proposal_none": RecordFault(
        "images without proposals", _CORRECTS, corrected="images without proposals", bad=False
    ),
    "proposal_empty": RecordFault(
        "images with proposals without area; left out",
        _CORRECTS,
        corrected="proposals without area dropped",
        bad=False,
    ),
    "proposal_clipped": RecordFault(
        "images with proposals that reach outside; clipped",
        _CORRECTS,
        corrected="proposals clipped to the image",
        bad=False,
    ),
}
