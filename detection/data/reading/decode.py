"""From a record to a sample: parse, decode, check.

Keys are those of the TF Object Detection API. Whatever cannot be meant is an error that names the record: sizes that
differ from the image, lists of unequal length, NaN, negative areas or weights, corners the wrong way round, pixels
where fractions are expected, labels outside the label map, a class/text that the label map gives another id than
class/label (one of them is wrong, and nobody knows which), images of more pixels than `types.MAX_PIXELS` (seen before
they are decoded). What can be put right is put right and counted (`corrections.Corrections`): boxes that stick out a
little are clipped, boxes without area, before that or after, are dropped. Validation
(`validation.validate.validate_records`) refuses the same, and more.

Images are read by `tf.io.decode_image`: JPEG (gray and CMYK too), PNG (transparency is dropped, 16 bits become 8), BMP,
WebP (not animated) and GIF (first frame).
Rotation noted in EXIF is ignored, as in COCO: boxes are in the coordinates of the stored pixels.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from detection.data import image_header
from detection.data.reading.corrections import Corrections
from detection.data.reading.example_format import parse_example
from detection.data.reading.labels import LabelLookup
from detection.data.reading.proposal_source import ProposalReader
from detection.data.reading.record_errors import Check, check_record
from detection.data.reading.tracing import passes_or, traced_once
from detection.data.reading.value_checks import check_values
from detection.data.record_faults import ABSENT, RECORD_FAULTS
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
_WITHOUT_TEXTS = "write one label id a box, or set label_map_path to use class/text"
_FEATURES = {
    **{key: tf.io.FixedLenFeature((), tf.string, "") for key in _STRINGS},
    **{key: tf.io.FixedLenFeature((), tf.int64, ABSENT) for key in _NUMBERS},
    **{key: tf.io.RaggedFeature(dtype) for key, dtype in _LISTS.items()},
}


def parse(serialized: tf.Tensor, more: dict[str, tf.io.RaggedFeature] | None = None) -> dict[str, tf.Tensor]:
    """The keys that are used, and `more`: scalars (empty string or -1 where absent) and lists [n] (empty where
    absent)."""
    return parse_example(serialized, {**_FEATURES, **(more or {})})


class Decoded(NamedTuple):
    """What a record became; the record keeps its address and loses its bytes."""

    sample: Sample
    info: SampleInfo
    record: Record


class Decoder(NamedTuple):
    """Turns records into samples, for one data set."""

    lookup: LabelLookup
    corrections: Corrections
    label_source: str  # where the classes come from, for messages: a path or a field
    drop_unknown_labels: bool = False
    proposals: ProposalReader | None = None  # None: samples have none

    def __call__(self, record: Record) -> tuple[Sample, SampleInfo]:
        """Fails with a marked error (see record_errors) where the record is unusable."""
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
        no, one = tf.zeros([count], tf.int64), tf.ones([count])
        is_crowd = _or_default(features[f"{_OBJECT}is_crowd"], no) > 0
        difficult = _or_default(features[f"{_OBJECT}difficult"], no) > 0
        ignored = is_crowd | difficult
        sides = clipped[:, 2:] - clipped[:, :2]
        pixels = tf.reduce_prod(sides * tf.cast(shape, tf.float32), axis=1)
        sample = Sample(
            image=image,
            boxes=clipped,
            classes=tf.cast(labels.ids - 1, tf.int32),
            weights=tf.where(ignored, 0.0, _or_default(features[_WEIGHT], one)),
            is_crowd=is_crowd,
            difficult=difficult,
            areas=_or_default(features[_AREA], pixels),
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
        sample = keep_rows(sample, labels.known & ~empty)
        return sample, SampleInfo(_source_id(record, features), shape)


def _check_lists(record: Record, features: dict[str, tf.Tensor], reads_texts: bool) -> tf.Tensor:
    """True, or a failed pipeline: every list has one entry a box, or none where it is optional, and there is an image
    of a sane size."""
    sizes = {key: tf.size(features[key]) for key in _LISTS}
    count = sizes[f"{_BOX}ymin"]
    text_size, label_size = sizes[f"{_OBJECT}class/text"], sizes[f"{_OBJECT}class/label"]
    fits = {
        key: size == count if key.startswith(_BOX) else (size == count) | (size == 0) for key, size in sizes.items()
    }
    labelled = (label_size == count) | (text_size == count if reads_texts else False)
    has_image = tf.strings.length(features["image/encoded"]) > 0
    pixels, effort = image_header.measure(features["image/encoded"])
    is_small, is_quick = pixels <= MAX_PIXELS, effort <= image_header.EFFORT * MAX_PIXELS

    rights = tf.stack([has_image, pixels > 0, is_small, is_quick, *fits.values(), labelled])
    fix = RECORD_FAULTS["class_missing"].fix if reads_texts else _WITHOUT_TEXTS
    state = _Lists(
        *(record.path, record.index, features["image/encoded"], pixels),
        *(tf.stack(list(sizes.values())), rights, fix),
    )
    return passes_or(_fail, tf.reduce_all(rights), state)


class _Lists(NamedTuple):
    """What the message about an unusable record is made from."""

    path: tf.Tensor
    index: tf.Tensor
    encoded: tf.Tensor
    pixels: tf.Tensor  # float64 []
    sizes: tf.Tensor  # int32 [lists]
    rights: tf.Tensor  # bool [4 + lists + 1], which must hold
    fix: tf.Tensor  # string [], where classes are missing


_SPECS = _Lists(
    *(tf.TensorSpec([], dtype) for dtype in (tf.string, tf.int64, tf.string, tf.float64)),
    *(tf.TensorSpec([len(_LISTS)], tf.int32), tf.TensorSpec([5 + len(_LISTS)], tf.bool), tf.TensorSpec([], tf.string)),
)


@traced_once(_SPECS)
def _fail(given: _Lists) -> tf.Tensor:
    """Says which of `rights` does not hold."""
    encoded, sizes, rights = given.encoded, tf.unstack(given.sizes), tf.unstack(given.rights)
    length = tf.strings.as_string(tf.strings.length(encoded))
    kind = image_header.kind_in_graph(encoded)
    unread = ["cannot be decoded (", length, " bytes, ", kind, "): its header does not say how large it is"]
    large = tf.strings.format("has {} pixels by its header", tf.cast(given.pixels, tf.int64))
    many = "has so many scans or frames that decoding it would take minutes"
    count = sizes[list(_LISTS).index(f"{_BOX}ymin")]
    values = [tf.strings.format("has {} values for {} boxes", (size, count)) for size in sizes]
    checks = (
        Check(rights[0], "record_unreadable", "image/encoded", "is empty"),
        Check(rights[1], "image_unreadable", "image/encoded", tf.strings.join(unread)),
        Check(rights[2], "image_too_large", "image/encoded", large),
        Check(rights[3], "image_too_large", "image/encoded", many, "save the image again"),
        *(
            Check(right, "field_length", key, value)
            for right, key, value in zip(rights[4:-1], _LISTS, values, strict=True)
        ),
        Check(rights[-1], "class_missing", f"{_OBJECT}class/label", "is empty", given.fix),
    )
    check_record(Record(given.path, given.index, encoded), checks)
    return tf.constant(False)


def _or_default(values: tf.Tensor, default: tf.Tensor) -> tf.Tensor:
    """`values`, which has as many entries as `default` [n] or none; in that case `default`."""
    return tf.concat([values, default[tf.size(values) :]], axis=0)


def _source_id(record: Record, features: dict[str, tf.Tensor]) -> tf.Tensor:
    """The record's own id, else its file name, else its address in the shard: the same in every run."""
    source_id, filename = features["image/source_id"], features["image/filename"]
    shard = tf.strings.regex_replace(record.path, r"^.*[/\\]", "")
    address = tf.strings.join([shard, ":", tf.strings.as_string(record.index)])
    named = tf.where(tf.strings.length(filename) > 0, filename, address)
    return tf.where(tf.strings.length(source_id) > 0, source_id, named)
