"""The values of a record, checked in the graph: its size, its boxes, their numbers and their classes.

One cheap test decides for all; what exactly is wrong is worked out only for a record that fails it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from detection.data.reading.labels import Labels
from detection.data.reading.record_errors import Check, check_record, listed
from detection.data.reading.tracing import passes_or, traced_once
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
    size_fits = _size_fits(said, shape)
    numbers = [features[key] for key in _NUMBERS]
    unknown = tf.zeros_like(labels.known) if drop_unknown_labels else ~labels.known
    wrong = tf.concat([*_wrong_boxes(boxes).values(), *map(_unusable, numbers), unknown], axis=0)
    fixes = (RECORD_FAULTS[kind].fix.format(classes=label_source) for kind in ("class_disagrees", "class_unknown"))
    state = _Values(
        *(record.path, record.index, said, shape, boxes, *numbers, features[_TEXT], features[_LABEL]),
        *(labels.ids, unknown, labels.disagreeing, *fixes, listed(class_texts)),
    )
    return passes_or(_fail, size_fits & (labels.disagreeing == 0) & ~tf.reduce_any(wrong), state)


def _size_fits(said: tf.Tensor, shape: tf.Tensor) -> tf.Tensor:
    return tf.reduce_all((said == tf.cast(shape, tf.int64)) | (said == ABSENT))


def _wrong_boxes(boxes: tf.Tensor) -> dict[str, tf.Tensor]:
    """Kind of fault -> bool [n]."""
    return {
        "box_unreadable": tf.reduce_any(~tf.math.is_finite(boxes), axis=1),
        "box_inverted": tf.reduce_any(boxes[:, 2:] < boxes[:, :2], axis=1),
        "box_outside": tf.reduce_any((boxes > 1 + TOLERANCE) | (boxes < -TOLERANCE), axis=1),
    }


def _unusable(numbers: tf.Tensor) -> tf.Tensor:
    return ~(tf.math.is_finite(numbers) & (numbers >= 0))


class _Values(NamedTuple):
    """What the message about an unusable record is made from."""

    path: tf.Tensor
    index: tf.Tensor
    said: tf.Tensor
    shape: tf.Tensor
    boxes: tf.Tensor
    areas: tf.Tensor
    weights: tf.Tensor
    texts: tf.Tensor
    numbers: tf.Tensor
    ids: tf.Tensor
    unknown: tf.Tensor
    disagreeing: tf.Tensor
    fix_disagreeing: tf.Tensor
    fix_unknown: tf.Tensor
    class_texts: tf.Tensor


_SPECS = _Values(
    *(tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.int64)),
    *(tf.TensorSpec([2], tf.int64), tf.TensorSpec([2], tf.int32), tf.TensorSpec([None, 4])),
    *(tf.TensorSpec([None], dtype) for dtype in (tf.float32, tf.float32, tf.string, tf.int64, tf.int64, tf.bool)),
    *(tf.TensorSpec([], dtype) for dtype in (tf.int32, tf.string, tf.string, tf.string)),
)


@traced_once(_SPECS)
def _fail(given: _Values) -> tf.Tensor:
    """Says what is wrong first."""
    size_fits = _size_fits(given.said, given.shape)
    sizes = tf.strings.format("say {}, but the image has {}", (given.said, given.shape))
    checks = [Check(size_fits, "size_mismatch", "image/height, image/width", sizes)]
    for kind, wrong in _wrong_boxes(given.boxes).items():
        checks.append(Check(~tf.reduce_any(wrong), kind, f"{_OBJECT}bbox", _box(given.boxes, wrong)))
    for key, numbers in zip(_NUMBERS, (given.areas, given.weights), strict=True):
        wrong = _unusable(numbers)
        what = tf.strings.join(["of box ", _number(wrong), " is ", _first(numbers, wrong)])
        checks.append(Check(~tf.reduce_any(wrong), "number_unusable", key, what))
    what = tf.strings.join(["of ", _disagreement(given)])
    checks.append(Check(given.disagreeing == 0, "class_disagrees", f"{_OBJECT}class", what, given.fix_disagreeing))
    text = _text(given)
    field, value = _class(text, given)
    known = ~tf.reduce_any(given.unknown)
    checks.append(Check(known, "class_unknown", field, value, given.fix_unknown, text, given.class_texts))
    check_record(Record(given.path, given.index, tf.constant("")), checks)
    return tf.constant(False)


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


def _text(given: _Values) -> tf.Tensor:
    """Text of the first box whose class is unknown; empty where it was not looked up."""
    row = tf.where(given.unknown)[:1, 0]
    looked_up = (tf.size(given.texts) > 0) & tf.reduce_all(tf.gather(given.ids, row) < 0)
    return tf.strings.reduce_join(tf.gather(given.texts, row[: tf.cast(looked_up, tf.int32)]))


def _class(text: tf.Tensor, given: _Values) -> tuple[tf.Tensor, tf.Tensor]:
    """Which field the class of the first box with an unknown one stands in, and what is said about it."""
    is_text = tf.strings.length(text) > 0
    shown = tf.where(is_text, tf.strings.join(["'", text, "'"]), _first(given.ids, given.unknown))
    value = tf.strings.join([shown, " of box ", _number(given.unknown), " is unknown"])
    return tf.where(is_text, _TEXT, _LABEL), value


def _disagreement(given: _Values) -> tf.Tensor:
    """The first box whose text and number disagree, and both; empty where there is none."""
    count = tf.minimum(tf.size(given.texts), tf.size(given.numbers))
    ids = given.ids[:count]
    row = tf.where((ids != given.numbers[:count]) & (ids >= 0))[:1, 0]
    number, meant, label = map(tf.strings.as_string, (row, tf.gather(ids, row), tf.gather(given.numbers, row)))
    text = tf.gather(given.texts, row)
    return tf.strings.reduce_join(
        tf.strings.join(["box ", number, ": text '", text, "' has id ", meant, ", label is ", label])
    )
