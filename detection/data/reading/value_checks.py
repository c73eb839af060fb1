"""Checks the values of a record in the graph: its size, boxes, per-box numbers and classes.

One cheap test covers all checks; the exact fault is computed only for a record that fails it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from detection.data.reading.labels import Labels
from detection.data.reading.record_errors import Check, check_record, join_names
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
    numbers = [features[key] for key in _NUMBERS]
    unknown = tf.zeros_like(labels.known) if drop_unknown_labels else ~labels.known
    is_wrong = tf.concat([*_check_boxes(boxes).values(), *map(_is_unusable, numbers), unknown], axis=0)
    fixes = (RECORD_FAULTS[kind].fix.format(classes=label_source) for kind in ("class_disagrees", "class_unknown"))
    state = _State(
        *(record.path, record.index, stated_size, shape, boxes, *numbers, features[_TEXT], features[_LABEL]),
        *(labels.ids, unknown, labels.disagreeing, *fixes, join_names(class_texts)),
    )
    is_valid = _size_fits(stated_size, shape) & (labels.disagreeing == 0) & ~tf.reduce_any(is_wrong)
    return passes_or(_fail, is_valid, state)


def _size_fits(stated_size: tf.Tensor, shape: tf.Tensor) -> tf.Tensor:
    return tf.reduce_all((stated_size == tf.cast(shape, tf.int64)) | (stated_size == ABSENT))


def _check_boxes(boxes: tf.Tensor) -> dict[str, tf.Tensor]:
    """Kind of fault -> whether each box has it, bool [n]."""
    return {
        "box_unreadable": tf.reduce_any(~tf.math.is_finite(boxes), axis=1),
        "box_inverted": tf.reduce_any(boxes[:, 2:] < boxes[:, :2], axis=1),
        "box_outside": tf.reduce_any((boxes > 1 + TOLERANCE) | (boxes < -TOLERANCE), axis=1),
    }


def _is_unusable(numbers: tf.Tensor) -> tf.Tensor:
    return ~(tf.math.is_finite(numbers) & (numbers >= 0))


class _State(NamedTuple):
    """The data of the error message about an unusable record."""

    path: tf.Tensor
    index: tf.Tensor
    stated_size: tf.Tensor
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


_SPECS = _State(
    *(tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.int64)),
    *(tf.TensorSpec([2], tf.int64), tf.TensorSpec([2], tf.int32), tf.TensorSpec([None, 4])),
    *(tf.TensorSpec([None], dtype) for dtype in (tf.float32, tf.float32, tf.string, tf.int64, tf.int64, tf.bool)),
    *(tf.TensorSpec([], dtype) for dtype in (tf.int32, tf.string, tf.string, tf.string)),
)


@traced_once(_SPECS)
def _fail(state: _State) -> tf.Tensor:
    """Fails with a message about the first fault."""
    sizes = tf.strings.format("say {}, but the image has {}", (state.stated_size, state.shape))
    size_fits = _size_fits(state.stated_size, state.shape)
    checks = [Check(size_fits, "size_mismatch", "image/height, image/width", sizes)]
    for kind, is_wrong in _check_boxes(state.boxes).items():
        checks.append(Check(~tf.reduce_any(is_wrong), kind, f"{_OBJECT}bbox", _box(state.boxes, is_wrong)))
    for key, numbers in zip(_NUMBERS, (state.areas, state.weights), strict=True):
        is_wrong = _is_unusable(numbers)
        description = tf.strings.join(["of box ", _number(is_wrong), " is ", _first(numbers, is_wrong)])
        checks.append(Check(~tf.reduce_any(is_wrong), "number_unusable", key, description))
    description = tf.strings.join(["of ", _disagreement(state)])
    agrees = state.disagreeing == 0
    checks.append(Check(agrees, "class_disagrees", f"{_OBJECT}class", description, state.fix_disagreeing))
    text = _text(state)
    field, value = _class(text, state)
    is_known = ~tf.reduce_any(state.unknown)
    checks.append(Check(is_known, "class_unknown", field, value, state.fix_unknown, text, state.class_texts))
    check_record(Record(state.path, state.index, tf.constant("")), checks)
    return tf.constant(False)


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


def _text(state: _State) -> tf.Tensor:
    """Text of the first box with an unknown class; empty if it was not looked up."""
    row = tf.where(state.unknown)[:1, 0]
    was_looked_up = (tf.size(state.texts) > 0) & tf.reduce_all(tf.gather(state.ids, row) < 0)
    return tf.strings.reduce_join(tf.gather(state.texts, row[: tf.cast(was_looked_up, tf.int32)]))


def _class(text: tf.Tensor, state: _State) -> tuple[tf.Tensor, tf.Tensor]:
    """The field of the first unknown class, and a description of it."""
    is_text = tf.strings.length(text) > 0
    shown = tf.where(is_text, tf.strings.join(["'", text, "'"]), _first(state.ids, state.unknown))
    value = tf.strings.join([shown, " of box ", _number(state.unknown), " is unknown"])
    return tf.where(is_text, _TEXT, _LABEL), value


def _disagreement(state: _State) -> tf.Tensor:
    """The first box whose text and number mean different classes, with both; empty if there is none."""
    count = tf.minimum(tf.size(state.texts), tf.size(state.numbers))
    ids = state.ids[:count]
    row = tf.where((ids != state.numbers[:count]) & (ids >= 0))[:1, 0]
    number, text_id, label = map(tf.strings.as_string, (row, tf.gather(ids, row), tf.gather(state.numbers, row)))
    text = tf.gather(state.texts, row)
    return tf.strings.reduce_join(
        tf.strings.join(["box ", number, ": text '", text, "' has id ", text_id, ", label is ", label])
    )
