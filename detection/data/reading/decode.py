"""Parses, decodes and checks a record, and makes a sample of it.

Keys are those of the TF Object Detection API. Invalid values are errors that name the record: sizes that differ from
the image, lists of unequal length, NaN, negative areas or weights, swapped corners, pixels where fractions are
expected, labels outside the label map, a class/text whose id differs from class/label (one of them is wrong, but it is
unknown which), images of more pixels than `types.MAX_PIXELS` (checked before decoding). What can be corrected is
corrected and counted (`corrections.Corrections`): boxes slightly outside the image are clipped, boxes without area
before or after that are dropped. Validation (`validation.validate.validate_records`) reports the same faults, and more.

Images are read by `tf.io.decode_image`: JPEG (gray and CMYK too), PNG (transparency is dropped, 16 bits become 8), BMP,
WebP (not animated) and GIF (first frame). EXIF rotation is ignored, as in COCO: boxes are in the coordinates of the
stored pixels.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from detection.data import image_header
from detection.data.reading.corrections import Corrections
from detection.data.reading.example_format import parse_example
from detection.data.reading.labels import LabelLookup
from detection.data.reading.proposal_source import ProposalReader
from detection.data.reading.record_errors import check_record
from detection.data.reading.value_checks import check_values
from detection.data.record_faults import ABSENT
from detection.data.sample import Record, Sample, SampleInfo, keep_rows
from detection.types import MAX_PIXELS

_OBJECT = "image/object/"
_BOX = f"{_OBJECT}bbox/"
_AREA, _WEIGHT = f"{_OBJECT}area", f"{_OBJECT}weight"
_STRINGS = ("image/encoded", "image/filename", "image/source_id")
_NUMBERS = ("image/height", "image/width")
_LISTS = {
    f"{_BOX}ymin": tf.float32,
    f"{_BOX}xmin": tf.float32,
    f"{_BOX}ymax": tf.float32,
    f"{_BOX}xmax": tf.float32,
    f"{_OBJECT}class/text": tf.string,
    f"{_OBJECT}class/label": tf.int64,
    f"{_OBJECT}is_crowd": tf.int64,
    f"{_OBJECT}difficult": tf.int64,
    _AREA: tf.float32,
    _WEIGHT: tf.float32,
}
_FEATURES = {
    **{key: tf.io.FixedLenFeature((), tf.string, "") for key in _STRINGS},
    **{key: tf.io.FixedLenFeature((), tf.int64, ABSENT) for key in _NUMBERS},
    **{key: tf.io.RaggedFeature(dtype) for key, dtype in _LISTS.items()},
}


def parse(serialized: tf.Tensor, extra_features: dict[str, tf.io.RaggedFeature] | None = None) -> dict[str, tf.Tensor]:
    """Parses the keys that are used.

    Args:
        serialized: string scalar.
        extra_features: additional keys with lists.

    Returns:
        Key -> scalar (empty string or -1 if missing) or list [n] (empty if missing).
    """
    return parse_example(serialized, {**_FEATURES, **(extra_features or {})})


class Decoded(NamedTuple):
    """A decoded record; `record` has its address, but no longer its bytes."""

    sample: Sample
    info: SampleInfo
    record: Record


class Decoder(NamedTuple):
    """Makes samples of the records of one data set."""

    lookup: LabelLookup
    corrections: Corrections
    label_source: str  # where the classes come from, for messages: a path or a field
    drop_unknown_labels: bool = False
    proposals: ProposalReader | None = None  # None: samples have none

    def __call__(self, record: Record) -> tuple[Sample, SampleInfo]:
        """Decodes a record; fails with a marked error (see record_errors) if it is unusable."""
        features = parse(record.serialized, self.proposals.features if self.proposals else None)
        with tf.control_dependencies([_check_lists(record, features, self.lookup.reads_texts)]):
            boxes = tf.stack([features[f"{_BOX}{side}"] for side in ("ymin", "xmin", "ymax", "xmax")], axis=1)
            encoded = tf.identity(features["image/encoded"])
        count = tf.shape(boxes)[0]
        image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
        image.set_shape([None, None, 3])
        shape = tf.shape(image)[:2]
        labels = self.lookup(features[f"{_OBJECT}class/text"], features[f"{_OBJECT}class/label"])
        checked = check_values(
            record,
            features,
            shape,
            boxes,
            labels,
            label_source=self.label_source,
            class_texts=self.lookup.class_texts,
            drop_unknown_labels=self.drop_unknown_labels,
        )
        with tf.control_dependencies([checked]):
            clipped = tf.clip_by_value(boxes, 0.0, 1.0)
        is_crowd = _or_default(features[f"{_OBJECT}is_crowd"], count, 0) > 0
        difficult = _or_default(features[f"{_OBJECT}difficult"], count, 0) > 0
        ignored = is_crowd | difficult
        sides = clipped[:, 2:] - clipped[:, :2]
        pixels = tf.reduce_prod(sides * tf.cast(shape, tf.float32), axis=1)
        areas = features[_AREA]
        sample = Sample(
            image=image,
            boxes=clipped,
            classes=tf.cast(labels.ids - 1, tf.int32),
            weights=tf.where(ignored, 0.0, _or_default(features[_WEIGHT], count, 1.0)),
            is_crowd=is_crowd,
            difficult=difficult,
            areas=tf.cond(tf.size(areas) > 0, lambda: areas, lambda: pixels),
            proposals=self.proposals(record, features, shape, self.corrections) if self.proposals else (),
        )
        empty = tf.reduce_any(sides <= 0, axis=1)
        self.corrections.note(
            record,
            {
                "box_zero_area": tf.math.count_nonzero(empty),
                "box_clipped": tf.math.count_nonzero(tf.reduce_any(boxes != clipped, axis=1) & ~empty),
                "class_unknown": tf.math.count_nonzero(~labels.known),
            },
        )
        drop = empty | ~labels.known
        sample = tf.cond(tf.reduce_any(drop), lambda: keep_rows(sample, ~drop), lambda: sample)
        return sample, SampleInfo(_source_id(record, features), shape)


def _check_lists(record: Record, features: dict[str, tf.Tensor], reads_texts: bool) -> tf.Tensor:
    """True if the lists have valid lengths and the image a valid size; otherwise the pipeline fails.

    Each list must have one entry per box; optional lists may be empty.
    """
    sizes = {key: tf.size(features[key]) for key in _LISTS}
    count = sizes[f"{_BOX}ymin"]
    text_size, label_size = sizes[f"{_OBJECT}class/text"], sizes[f"{_OBJECT}class/label"]
    has_valid_length = {
        key: size == count if key.startswith(_BOX) else (size == count) | (size == 0) for key, size in sizes.items()
    }
    has_labels = (label_size == count) | (text_size == count if reads_texts else False)
    has_image = tf.strings.length(features["image/encoded"]) > 0
    pixels, effort = image_header.measure(features["image/encoded"])
    has_size = pixels > 0
    is_small, is_quick = pixels <= MAX_PIXELS, effort <= image_header.EFFORT * MAX_PIXELS

    def fail() -> tf.Tensor:
        check_record(has_image, record, "record_unreadable", "image/encoded", "is empty")
        kind, length = (
            image_header.kind_in_graph(features["image/encoded"]),
            tf.strings.as_string(tf.strings.length(features["image/encoded"])),
        )
        description = tf.strings.join(
            ["cannot be decoded (", length, " bytes, ", kind, "): its header does not say how large it is"]
        )
        check_record(has_size, record, "image_unreadable", "image/encoded", description)
        size = tf.strings.format("has {} pixels by its header", tf.cast(pixels, tf.int64))
        check_record(is_small, record, "image_too_large", "image/encoded", size)
        reason = "has so many scans or frames that decoding it would take minutes"
        check_record(is_quick, record, "image_too_large", "image/encoded", reason, "save the image again")
        for key, is_right in has_valid_length.items():
            value = tf.strings.format("has {} values for {} boxes", (sizes[key], count))
            check_record(is_right, record, "field_length", key, value)
        fix = None if reads_texts else "write one label id for each box, or set label_map_path to use class/text"
        check_record(has_labels, record, "class_missing", f"{_OBJECT}class/label", "is empty", fix)
        return tf.constant(False)

    is_valid = tf.reduce_all(
        tf.stack([*has_valid_length.values(), has_labels, has_image, has_size, is_small, is_quick])
    )
    return tf.cond(is_valid, lambda: tf.constant(True), fail)


def _or_default(values: tf.Tensor, count: tf.Tensor, default: float) -> tf.Tensor:
    """`values` [count], or `default` for all if the record has none."""
    return tf.cond(tf.size(values) > 0, lambda: values, lambda: tf.fill([count], tf.constant(default, values.dtype)))


def _source_id(record: Record, features: dict[str, tf.Tensor]) -> tf.Tensor:
    """The record's source id, or else its file name, or else its address in the shard: the same in every run."""
    source_id, filename = features["image/source_id"], features["image/filename"]
    shard = tf.strings.regex_replace(record.path, r"^.*[/\\]", "")
    address = tf.strings.join([shard, ":", tf.strings.as_string(record.index)])
    fallback = tf.where(tf.strings.length(filename) > 0, filename, address)
    return tf.where(tf.strings.length(source_id) > 0, source_id, fallback)
