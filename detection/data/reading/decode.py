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
from detection.data.reading.class_scores import FEATURES as CLASS_SCORES
from detection.data.reading.class_scores import ClassScoreReader
from detection.data.reading.corrections import Corrections
from detection.data.reading.example_format import parse_example
from detection.data.reading.extra_channels import FEATURES as EXTRA_CHANNELS
from detection.data.reading.extra_channels import ExtraChannelReader
from detection.data.reading.frames import FrameReader
from detection.data.reading.image_labels import FEATURES as IMAGE_LABELS
from detection.data.reading.image_labels import GROUP_OF, Hierarchy, ImageLabelReader
from detection.data.reading.labels import LabelLookup
from detection.data.reading.options import DifficultObjects
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
_FIX_WITHOUT_TEXTS = "write one label id for each box, or set label_map_path to use class/text"
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
    difficult_objects: DifficultObjects = DifficultObjects.IGNORE
    image_labels: ImageLabelReader | None = None  # None: samples have neither group-of marks nor labels of whole images
    hierarchy: Hierarchy | None = None  # None: boxes are of the class that the record says, and of no other
    class_scores: ClassScoreReader | None = None  # None: a box has one class
    extra_channels: ExtraChannelReader | None = None  # None: images are red, green and blue
    frames: FrameReader | None = None  # None: records are single images

    def __call__(self, record: Record) -> tuple[Sample, SampleInfo]:
        """Decodes a record; fails with a marked error (see record_errors) if it is unusable."""
        features = self._parsed(record)
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
        zeros, ones = tf.zeros([count], tf.int64), tf.ones([count])
        is_crowd = _or_default(features[f"{_OBJECT}is_crowd"], zeros) > 0
        difficult = _or_default(features[f"{_OBJECT}difficult"], zeros) > 0
        ignored = is_crowd | difficult if self.difficult_objects is DifficultObjects.IGNORE else is_crowd
        sides = clipped[:, 2:] - clipped[:, :2]
        pixels = tf.reduce_prod(sides * tf.cast(shape, tf.float32), axis=1)
        sample = Sample(
            image=image,
            boxes=clipped,
            classes=tf.cast(labels.ids - 1, tf.int32),
            weights=tf.where(ignored, 0.0, _or_default(features[_WEIGHT], ones)),
            is_crowd=is_crowd,
            difficult=difficult,
            areas=_or_default(features[_AREA], pixels),
            proposals=self.proposals(record, features, shape, self.corrections) if self.proposals else (),
            group_of=_or_default(features[GROUP_OF], zeros) > 0 if self.image_labels else (),
            checked=self.image_labels.checked(features) if self.image_labels else (),
        )
        if self.extra_channels is not None:
            extra = self.extra_channels(record, features, shape)
            sample = sample._replace(image=tf.concat([image, extra], axis=2))
        if self.class_scores is not None:
            sample = sample._replace(class_scores=self.class_scores(record, features, sample.classes))
        empty = tf.reduce_any(sides <= 0, axis=1)
        self.corrections.note(
            record,
            {
                "box_zero_area": tf.math.count_nonzero(empty),
                "box_clipped": tf.math.count_nonzero(tf.reduce_any(boxes != clipped, axis=1) & ~empty),
                "class_unknown": tf.math.count_nonzero(~labels.known),
            },
        )
        kept = labels.known & ~empty
        if self.difficult_objects is DifficultObjects.LEAVE_OUT:
            kept &= ~difficult
        sample = keep_rows(sample, kept)
        if self.hierarchy is not None:
            sample = self.hierarchy.expand(sample)
        return sample, SampleInfo(_source_id(record, features), shape)

    def _parsed(self, record: Record) -> dict[str, tf.Tensor]:
        """The keys that are used, of the record or of one of its frames."""
        if self.frames is None:
            return parse(record.serialized, self._more_features())
        return self.frames(record, {**_FEATURES, **self._more_features()})

    def _more_features(self) -> dict[str, tf.io.RaggedFeature]:
        """What is parsed beside what every record has."""
        proposals = self.proposals.features if self.proposals else {}
        scores, channels = CLASS_SCORES if self.class_scores else {}, EXTRA_CHANNELS if self.extra_channels else {}
        return {**proposals, **scores, **channels, **(IMAGE_LABELS if self.image_labels else {})}


def _check_lists(record: Record, features: dict[str, tf.Tensor], reads_texts: bool) -> tf.Tensor:
    """True if the lists have valid lengths and the image a valid size; otherwise the pipeline fails.

    Each list must have one entry per box; optional lists may be empty.
    """
    nothing = tf.zeros([0])  # for what this input does not read
    sizes = {key: tf.size(features.get(key, nothing)) for key in _CHECKED_LISTS}
    count = sizes[f"{_BOX}ymin"]
    text_size, label_size = sizes[f"{_OBJECT}class/text"], sizes[f"{_OBJECT}class/label"]
    has_valid_length = {
        key: size == count if key.startswith(_BOX) else (size == count) | (size == 0) for key, size in sizes.items()
    }
    has_labels = (label_size == count) | (text_size == count if reads_texts else False)
    has_image = tf.strings.length(features["image/encoded"]) > 0
    pixels, effort = image_header.measure(features["image/encoded"])
    is_small, is_quick = pixels <= MAX_PIXELS, effort <= image_header.EFFORT * MAX_PIXELS
    conditions = tf.stack([has_image, pixels > 0, is_small, is_quick, *has_valid_length.values(), has_labels])
    state = _ListState(
        *(record.path, record.index, features["image/encoded"], pixels, tf.stack(list(sizes.values())), conditions),
        fix=RECORD_FAULTS["class_missing"].fix if reads_texts else _FIX_WITHOUT_TEXTS,
    )
    return passes_or(_fail, tf.reduce_all(conditions), state)


class _ListState(NamedTuple):
    """The data of the error message about an unusable record."""

    path: tf.Tensor
    index: tf.Tensor
    encoded: tf.Tensor
    pixels: tf.Tensor  # float64 []
    sizes: tf.Tensor  # int32 [lists]
    conditions: tf.Tensor  # bool [4 + lists + 1], which must be true
    fix: tf.Tensor  # string [], for missing classes


_CHECKED_LISTS = (*_LISTS, GROUP_OF)
_SPECS = _ListState(
    *(tf.TensorSpec([], dtype) for dtype in (tf.string, tf.int64, tf.string, tf.float64)),
    *(
        tf.TensorSpec([len(_CHECKED_LISTS)], tf.int32),
        tf.TensorSpec([5 + len(_CHECKED_LISTS)], tf.bool),
        tf.TensorSpec([], tf.string),
    ),
)


@traced_once(_SPECS)
def _fail(state: _ListState) -> tf.Tensor:
    """Fails with a message about the first condition that is false."""
    encoded, sizes, conditions = state.encoded, tf.unstack(state.sizes), tf.unstack(state.conditions)
    length, kind = tf.strings.as_string(tf.strings.length(encoded)), image_header.kind_in_graph(encoded)
    unreadable = ["cannot be decoded (", length, " bytes, ", kind, "): its header does not say how large it is"]
    too_large = tf.strings.format("has {} pixels by its header", tf.cast(state.pixels, tf.int64))
    too_slow = "has so many scans or frames that decoding it would take minutes"
    count = sizes[_CHECKED_LISTS.index(f"{_BOX}ymin")]
    values = [tf.strings.format("has {} values for {} boxes", (size, count)) for size in sizes]
    lists = zip(conditions[4:-1], _CHECKED_LISTS, values, strict=True)
    checks = (
        Check(conditions[0], "record_unreadable", "image/encoded", "is empty"),
        Check(conditions[1], "image_unreadable", "image/encoded", tf.strings.join(unreadable)),
        Check(conditions[2], "image_too_large", "image/encoded", too_large),
        Check(conditions[3], "image_too_large", "image/encoded", too_slow, "save the image again"),
        *(Check(condition, "field_length", key, value) for condition, key, value in lists),
        Check(conditions[-1], "class_missing", f"{_OBJECT}class/label", "is empty", state.fix),
    )
    check_record(Record(state.path, state.index, encoded), checks)
    return tf.constant(False)


def _or_default(values: tf.Tensor, default: tf.Tensor) -> tf.Tensor:
    """`values`, which has as many entries as `default` [n] or none; `default` if it has none."""
    return tf.concat([values, default[tf.size(values) :]], axis=0)


def _source_id(record: Record, features: dict[str, tf.Tensor]) -> tf.Tensor:
    """The record's source id, or else its file name, or else its address in the shard: the same in every run."""
    source_id, filename = features["image/source_id"], features["image/filename"]
    shard = tf.strings.regex_replace(record.path, r"^.*[/\\]", "")
    address = tf.strings.join([shard, ":", tf.strings.as_string(record.index)])
    fallback = tf.where(tf.strings.length(filename) > 0, filename, address)
    return tf.where(tf.strings.length(source_id) > 0, source_id, fallback)
