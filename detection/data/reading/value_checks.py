"""The values of a record, checked in the graph: its size, its boxes, their numbers and their classes.

One cheap test decides for all; what exactly is wrong is worked out only for a record that fails it.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from detection.data.reading.labels import Labels
from detection.data.reading.record_errors import check_record
from detection.data.record_faults import ABSENT, RECORD_FAULTS, TOLERANCE
from detection.data.sample import Record

_OBJECT = "image/object/"
_TEXT, _LABEL = f"{_OBJECT}class/text", f"{_OBJECT}class/label"
_NUMBERS = (f"{_OBJECT}area", f"{_OBJECT}weight")  # must be finite and not negative


def check_values(
    record: Record,
    features: dict[str, tf.Tensor],
    shape: tf.Tensor,
    boxes: tf.Tensor,
    labels: Labels,
    *,
    label_source: str,
    class_texts: Sequence[str] = (),
    drop_unknown_labels: bool,
) -> tf.Tensor:
    """True, or a failed pipeline.

    Args:
        record: for its address.
        features: what was parsed from it.
        shape: int32 [2], height and width of the decoded image.
        boxes: float32 [n, 4], normalised.
        labels: of the boxes.
        label_source: where the classes come from, for messages.
        class_texts: names and display names of the classes, for messages.
        drop_unknown_labels: a class outside the label map is no fault.
    """
    said = tf.stack([features["image/height"], features["image/width"]])
    size_fits = tf.reduce_all((said == tf.cast(shape, tf.int64)) | (said == ABSENT))
    wrong_boxes = {
        "box_unreadable": tf.reduce_any(~tf.math.is_finite(boxes), axis=1),
        "box_inverted": tf.reduce_any(boxes[:, 2:] < boxes[:, :2], axis=1),
        "box_outside": tf.reduce_any((boxes > 1 + TOLERANCE) | (boxes < -TOLERANCE), axis=1),
    }
    wrong_numbers = {key: ~(tf.math.is_finite(features[key]) & (features[key] >= 0)) for key in _NUMBERS}
    unknown = tf.zeros_like(labels.known) if drop_unknown_labels else ~labels.known

    def fail() -> tf.Tensor:
        sizes = tf.strings.format("say {}, but the image has {}", (said, shape))
        check_record(size_fits, record, "size_mismatch", "image/height, image/width", sizes)
        for kind, wrong in wrong_boxes.items():
            check_record(~tf.reduce_any(wrong), record, kind, f"{_OBJECT}bbox", _box(boxes, wrong))
        for key, wrong in wrong_numbers.items():
            what = tf.strings.join(["of box ", _number(wrong), " is ", _first(features[key], wrong)])
            check_record(~tf.reduce_any(wrong), record, "number_unusable", key, what)
        what = tf.strings.join(["of ", _disagreement(features, labels)])
        fix = RECORD_FAULTS["class_disagrees"].fix.format(classes=label_source)
        check_record(labels.disagreeing == 0, record, "class_disagrees", f"{_OBJECT}class", what, fix)
        fix = RECORD_FAULTS["class_unknown"].fix.format(classes=label_source)
        text = _text(features[_TEXT], labels, unknown)
        field, value = _class(text, labels, unknown)
        check_record(~tf.reduce_any(unknown), record, "class_unknown", field, value, fix, text, class_texts)
        return tf.constant(False)

    wrong = tf.concat([*wrong_boxes.values(), *wrong_numbers.values(), unknown], axis=0)
    return tf.cond(size_fits & (labels.disagreeing == 0) & ~tf.reduce_any(wrong), lambda: tf.constant(True), fail)


def _number(wrong: tf.Tensor) -> tf.Tensor:
    """The number of the first row that is wrong; empty where none is."""
    return tf.strings.reduce_join(tf.strings.as_string(tf.where(wrong)[:1, 0]))


def _first(values: tf.Tensor, wrong: tf.Tensor) -> tf.Tensor:
    """The first value that is wrong, as text."""
    return tf.strings.reduce_join(tf.strings.as_string(tf.gather(values, tf.where(wrong)[:1, 0])))


def _box(boxes: tf.Tensor, wrong: tf.Tensor) -> tf.Tensor:
    """Number and coordinates of the first box that is wrong."""
    corners = tf.strings.as_string(tf.gather(boxes, tf.where(wrong)[:1, 0]))
    values = tf.strings.reduce_join(corners, separator=", ")
    return tf.strings.join([_number(wrong), " (ymin, xmin, ymax, xmax = ", values, ")"])


def _text(texts: tf.Tensor, labels: Labels, wrong: tf.Tensor) -> tf.Tensor:
    """Text of the first box whose class is wrong; empty where it was not looked up, or is known."""
    row = tf.where(wrong)[:1, 0]
    unknown = (tf.size(texts) > 0) & tf.reduce_all(tf.gather(labels.ids, row) < 0)
    return tf.strings.reduce_join(tf.gather(texts, row[: tf.cast(unknown, tf.int32)]))


def _class(text: tf.Tensor, labels: Labels, wrong: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Which field the class of the first wrong box stands in, and what is said about it."""
    is_text = tf.strings.length(text) > 0
    shown = tf.where(is_text, tf.strings.join(["'", text, "'"]), _first(labels.ids, wrong))
    value = tf.strings.join([shown, " of box ", _number(wrong), " is unknown"])
    return tf.where(is_text, f"{_OBJECT}class/text", f"{_OBJECT}class/label"), value


def _disagreement(features: dict[str, tf.Tensor], labels: Labels) -> tf.Tensor:
    """The first box whose text and number disagree, and both; empty where there is none."""
    texts, numbers = features[_TEXT], features[_LABEL]
    count = tf.minimum(tf.size(texts), tf.size(numbers))
    row = tf.where((labels.ids[:count] != numbers[:count]) & (labels.ids[:count] >= 0))[:1, 0]
    number, meant, label = (
        tf.strings.as_string(values) for values in (row, tf.gather(labels.ids, row), tf.gather(numbers, row))
    )
    return tf.strings.reduce_join(
        tf.strings.join(["box ", number, ": text '", tf.gather(texts, row), "' has id ", meant, ", label is ", label])
    )
