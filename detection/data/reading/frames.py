"""Reads records that are tf.SequenceExamples: each frame is an image with its boxes.

    context         image/height, image/width
    per frame       image/encoded, image/source_id, region/bbox/{ymin,xmin,ymax,xmax}, region/label/string,
                    region/label/index, region/label/confidence (weights), region/is_annotated

Training takes one random frame of each sequence, as in the TF Object Detection API, or frame number `frame_index`;
evaluation takes all. Frames that are not annotated are skipped. Other fields of the context are ignored.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from detection.data.reading.example_format import parse_sequence
from detection.data.reading.record_errors import Check, check_record
from detection.data.record_faults import ABSENT
from detection.data.sample import Record

_ENCODED, _SOURCE, _ANNOTATED = "image/encoded", "image/source_id", "region/is_annotated"
# Key of a tf.Example -> key of a frame.
_LISTS = {
    **{f"image/object/bbox/{side}": f"region/bbox/{side}" for side in ("ymin", "xmin", "ymax", "xmax")},
    "image/object/class/text": "region/label/string",
    "image/object/class/label": "region/label/index",
    "image/object/weight": "region/label/confidence",
}
_TYPES = {"region/label/string": tf.string, "region/label/index": tf.int64}
_CONTEXT = {key: tf.io.FixedLenFeature((), tf.int64, ABSENT) for key in ("image/height", "image/width")}
_PER_FRAME = {
    **{key: tf.io.VarLenFeature(_TYPES.get(key, tf.float32)) for key in _LISTS.values()},
    **{key: tf.io.VarLenFeature(tf.string) for key in (_ENCODED, _SOURCE)},
    _ANNOTATED: tf.io.VarLenFeature(tf.int64),
}


class FrameReader(NamedTuple):
    """Converts one frame to the parsed keys of a tf.Example."""

    frame_index: int = -1  # taken of every sequence; negative: the one of `Record.frame`

    def __call__(self, record: Record, features: dict[str, object]) -> dict[str, tf.Tensor]:
        """Returns key -> value as of a parsed tf.Example; values that frames do not have are empty.

        Args:
            record: a sequence; its `frame` counts the annotated frames, modulo their number.
            features: the keys, as for `parse_example`.
        """
        context, lists = _parse(record.serialized)
        number = self._number(record, lists)
        row = {key: tf.boolean_mask(each.values, each.indices[:, 0] == number) for key, each in lists.items()}
        source = tf.strings.reduce_join(row[_SOURCE])
        name = tf.strings.regex_replace(record.path, r"^.*[/\\]", "")
        address = [name, tf.strings.as_string(record.index), tf.strings.as_string(number)]
        found = {
            **context,
            **{key: row[own] for key, own in _LISTS.items()},
            _ENCODED: tf.strings.reduce_join(row[_ENCODED]),
            _SOURCE: tf.where(tf.strings.length(source) > 0, source, tf.strings.join(address, ":")),
        }
        return {key: found[key] if key in found else _nothing(spec) for key, spec in features.items()}

    def _number(self, record: Record, lists: dict[str, tf.SparseTensor]) -> tf.Tensor:
        """Returns the number of the frame, int64; the pipeline fails if it does not exist."""
        frames, annotated = _frames(lists), _annotated(lists)
        if self.frame_index >= 0:
            number, there = tf.constant(self.frame_index, tf.int64), frames > self.frame_index
            said, fix = tf.strings.format("has {} frames", frames), f"set frame_index ({self.frame_index}) to less"
            check = Check(there, "record_unreadable", _ENCODED, said, fix)
        else:
            count = tf.size(annotated, tf.int64)
            wanted = record.frame if tf.is_tensor(record.frame) else tf.constant(0, tf.int64)
            number = tf.cond(count > 0, lambda: annotated[wanted % count], lambda: tf.constant(0, tf.int64))
            there, said = count > 0, "names no frame"
            check = Check(there, "record_unreadable", _ANNOTATED, said, "mark a frame, or leave the sequence out")

        def fail() -> tf.Tensor:
            check_record(record, [check])
            return tf.constant(False)

        with tf.control_dependencies([tf.cond(there, lambda: tf.constant(True), fail)]):
            return tf.identity(number)


def each_frame(record: Record) -> tf.data.Dataset:
    """Returns a dataset with the record once for every annotated frame."""
    _, lists = _parse(record.serialized)
    numbers = tf.data.Dataset.range(tf.size(_annotated(lists), tf.int64))
    return numbers.map(lambda number: record._replace(frame=number))


def _parse(serialized: tf.Tensor) -> tuple[dict[str, tf.Tensor], dict[str, tf.SparseTensor]]:
    return parse_sequence(serialized, _CONTEXT, _PER_FRAME)


def _frames(lists: dict[str, tf.SparseTensor]) -> tf.Tensor:
    """Returns the number of frames, int64."""
    return lists[_ENCODED].dense_shape[0]


def _annotated(lists: dict[str, tf.SparseTensor]) -> tf.Tensor:
    """Returns the numbers of the annotated frames, int64 [t]; all frames if the record does not say."""
    marks = lists[_ANNOTATED]
    marked = tf.boolean_mask(marks.indices[:, 0], marks.values > 0)
    return tf.cond(marks.dense_shape[0] > 0, lambda: marked, lambda: tf.range(_frames(lists)))


def _nothing(spec: tf.io.FixedLenFeature | tf.io.RaggedFeature) -> tf.Tensor:
    if isinstance(spec, tf.io.FixedLenFeature):
        return tf.constant(spec.default_value, spec.dtype)
    return tf.zeros([0], spec.dtype) if spec.dtype != tf.string else tf.constant([], tf.string)
