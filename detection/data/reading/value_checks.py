"""Checks the values of a record in the graph: its size, boxes, per-box numbers and classes.

One cheap test covers all checks; the exact fault is computed only for a record that fails it.
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
    """True if all values are valid; otherwise the pipeline fails.

    Args:
        record: for its address.
        features: its parsed keys.
        shape: int32 [2], height and width of the decoded image.
        boxes: float32 [n, 4], normalised.
        labels: of the boxes.
        label_source: where the classes come from, for messages.
        class_texts: names and display names of the classes, for messages.
        drop_unknown_labels: accept classes outside the label map.
    """
    stated_size = tf.stack([features["image/height"], features["image/width"]])
    size_fits = tf.reduce_all((stated_size == tf.cast(shape, tf.int64)) | (stated_size == ABSENT))
    box_checks = {
        "box_unreadable": tf.reduce_any(~tf.math.is_finite(boxes), axis=1),
        "box_inverted": tf.reduce_any(boxes[:, 2:] < boxes[:, :2], axis=1),
        "box_outside": tf.reduce_any((boxes > 1 + TOLERANCE) | (boxes < -TOLERANCE), axis=1),
    }
    number_checks = {key: ~(tf.math.is_finite(features[key]) & (features[key] >= 0)) for key in _NUMBERS}
    unknown = tf.zeros_like(labels.known) if drop_unknown_labels else ~labels.known

    def fail() -> tf.Tensor:
        sizes = tf.strings.format("say {}, but the image has {}", (stated_size, shape))
        check_record(size_fits, record, "size_mismatch", "image/height, image/width", sizes)
        for kind, is_wrong in box_checks.items():
            check_record(~tf.reduce_any(is_wrong), record, kind, f"{_OBJECT}bbox", _box(boxes, is_wrong))
        for key, is_wrong in number_checks.items():
            description = tf.strings.join(["of box ", _number(is_wrong), " is ", _first(features[key], is_wrong)])
            check_record(~tf.reduce_any(is_wrong), record, "number_unusable", key, description)
        description = tf.strings.join(["of ", _disagreement(features, labels)])
        fix = RECORD_FAULTS["class_disagrees"].fix.format(classes=label_source)
        check_record(labels.disagreeing == 0, record, "class_disagrees", f"{_OBJECT}class", description, fix)
        fix = RECORD_FAULTS["class_unknown"].fix.format(classes=label_source)
        text = _text(features[_TEXT], labels, unknown)
        field, value = _class(text, labels, unknown)
        check_record(~tf.reduce_any(unknown), record, "class_unknown", field, value, fix, text, class_texts)
        return tf.constant(False)

    is_wrong = tf.concat([*box_checks.values(), *number_checks.values(), unknown], axis=0)
    return tf.cond(size_fits & (labels.disagreeing == 0) & ~tf.reduce_any(is_wrong), lambda: tf.constant(True), fail)


def _number(is_wrong: tf.Tensor) -> tf.Tensor:
    """Number of the first wrong row; empty if there is none."""
    return tf.strings.reduce_join(tf.strings.as_string(tf.where(is_wrong)[:1, 0]))


def _first(values: tf.Tensor, is_wrong: tf.Tensor) -> tf.Tensor:
    """The first wrong value as text."""
    return tf.strings.reduce_join(tf.strings.as_string(tf.gather(values, tf.where(is_wrong)[:1, 0])))


def _box(boxes: tf.Tensor, is_wrong: tf.Tensor) -> tf.Tensor:
    """Number and coordinates of the first wrong box."""
    corners = tf.strings.as_string(tf.gather(boxes, tf.where(is_wrong)[:1, 0]))
    values = tf.strings.reduce_join(corners, separator=", ")
    return tf.strings.join([_number(is_wrong), " (ymin, xmin, ymax, xmax = ", values, ")"])


def _text(texts: tf.Tensor, labels: Labels, is_wrong: tf.Tensor) -> tf.Tensor:
    """Text of the first box with a wrong class; empty if it was not looked up or is known."""
    row = tf.where(is_wrong)[:1, 0]
    unknown = (tf.size(texts) > 0) & tf.reduce_all(tf.gather(labels.ids, row) < 0)
    return tf.strings.reduce_join(tf.gather(texts, row[: tf.cast(unknown, tf.int32)]))


def _class(text: tf.Tensor, labels: Labels, is_wrong: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The field of the first wrong class, and a description of it."""
    is_text = tf.strings.length(text) > 0
    shown = tf.where(is_text, tf.strings.join(["'", text, "'"]), _first(labels.ids, is_wrong))
    value = tf.strings.join([shown, " of box ", _number(is_wrong), " is unknown"])
    return tf.where(is_text, f"{_OBJECT}class/text", f"{_OBJECT}class/label"), value


def _disagreement(features: dict[str, tf.Tensor], labels: Labels) -> tf.Tensor:
    """The first box whose text and number mean different classes, with both; empty if there is none."""
    texts, numbers = features[_TEXT], features[_LABEL]
    count = tf.minimum(tf.size(texts), tf.size(numbers))
    row = tf.where((labels.ids[:count] != numbers[:count]) & (labels.ids[:count] >= 0))[:1, 0]
    number, text_id, label = (
        tf.strings.as_string(values) for values in (row, tf.gather(labels.ids, row), tf.gather(numbers, row))
    )
    return tf.strings.reduce_join(
        tf.strings.join(["box ", number, ": text '", tf.gather(texts, row), "' has id ", text_id, ", label is ", label])
    )
