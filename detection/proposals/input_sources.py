"""Proposals given with the data (Fast R-CNN), from a record or from files beside the records.

    RecordProposals, FileProposals   the two sources that `InputOptions.proposals` takes

For both sources: a coordinate or score that is not finite, swapped corners, and boxes far outside the image are errors
that name the record; boxes slightly outside are clipped and boxes without area dropped, both counted
(`corrections.Corrections`), as for groundtruth. The rest is sorted by descending score, ties in the given order, and
duplicate boxes are removed.

A record for which there is no entry at all is an error: it would not contribute to training. An entry without boxes is
allowed: such images are counted.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import tensorflow as tf

from detection.data.reading.corrections import Corrections
from detection.data.reading.record_errors import Check, check_record
from detection.data.reading.tables import text_table
from detection.data.reading.tracing import passes_or, traced_once
from detection.data.record_faults import TOLERANCE
from detection.data.sample import Record, SampleProposals
from detection.proposals import proposal_files

KEY = "image/proposal/"
_SIDES = tuple(f"{KEY}bbox/{side}" for side in ("ymin", "xmin", "ymax", "xmax"))
_SCORE = f"{KEY}score"


@dataclass(frozen=True)
class RecordProposals:
    """Proposals in the records themselves.

    The keys are image/proposal/bbox/{ymin,xmin,ymax,xmax}, as fractions of the image, and image/proposal/score; without
    scores, the order is the rank.
    """

    paths: ClassVar[tuple[str, ...]] = ()
    features: ClassVar[dict[str, tf.io.RaggedFeature]] = {
        key: tf.io.RaggedFeature(tf.float32) for key in (*_SIDES, _SCORE)
    }

    def open(self) -> RecordProposals:
        """Returns itself: there is nothing to open."""
        return self

    def __call__(
        self, record: Record, features: dict[str, tf.Tensor], shape: tf.Tensor, corrections: Corrections
    ) -> SampleProposals:
        """See `ProposalReader`."""
        sides, scores = [features[key] for key in _SIDES], features[_SCORE]
        with tf.control_dependencies([self._check(record, features)]):
            boxes = tf.stack(sides, axis=1)
        count = tf.shape(boxes)[0]
        scores = tf.concat([scores, rank_scores(count)[tf.size(scores) :]], axis=0)  # from the record, or by rank
        advice = tf.constant("normalised coordinates (0 to 1) are expected, not pixels")
        return _cleaned(record, f"{KEY}bbox", boxes, scores, boxes, advice, corrections)

    @staticmethod
    def _check(record: Record, features: dict[str, tf.Tensor]) -> tf.Tensor:
        """True if the lists are present and of equal length; otherwise the input pipeline fails."""
        count = tf.size(features[_SIDES[0]])
        sizes = {key: tf.size(features[key]) for key in RecordProposals.features}
        has_length = {key: (size == count) | ((size == 0) if key == _SCORE else False) for key, size in sizes.items()}

        def fail() -> tf.Tensor:
            # Parsing gives an empty list for a missing key and for an empty one; only the bytes of the record show
            # whether the key is there.
            without_key = tf.strings.regex_replace(record.serialized, _SIDES[0], "", replace_global=False)
            is_there = tf.strings.length(without_key) < tf.strings.length(record.serialized)
            fix = "write them (empty lists where an image has none), or set proposals_path"
            value = "are absent, but max_number_of_proposals asks for them"
            checks = [Check(is_there, "proposal_missing", f"{KEY}bbox/*", value, fix)]
            for key, is_right in has_length.items():
                value = tf.strings.format("has {} values for {} proposals", (sizes[key], count))
                checks.append(Check(is_right, "field_length", key, value, "write one value for each proposal"))
            check_record(record, checks)
            return tf.constant(True)

        return tf.cond(
            tf.reduce_all(tf.stack(list(has_length.values()))) & (count > 0), lambda: tf.constant(True), fail
        )


@dataclass(frozen=True)
class FileProposals:
    """Proposals in files beside the records, looked up by source id or file name."""

    paths: tuple[str, ...]  # globs
    field: str = "proposals_path"  # where the paths come from, for messages
    features: ClassVar[dict[str, tf.io.RaggedFeature]] = {}

    def open(self) -> FileReader:
        """Reads the files.

        Raises:
            ConfigError: a glob matches no file.
            DataError: a file cannot be used, or two files contain the same image.
        """
        return FileReader(proposal_files.read_all(self.paths, self.field), self.field)


class FileReader:
    """The proposals of open files; each record costs a table lookup and a copy of its rows."""

    features: ClassVar[dict[str, tf.io.RaggedFeature]] = {}

    def __init__(self, files: tuple[proposal_files.ProposalFile, ...], field: str) -> None:
        """`field` is where the files come from, for messages. Raises DataError if two files contain the same image."""
        self._field = field
        keys = proposal_files.index(files)
        with tf.device("/cpu:0"):
            self._table = text_table(keys)
            self._paths = tf.constant([file.path for file in files])
            self._files = tf.constant(
                np.repeat(np.arange(len(files), dtype=np.int32), [len(file.ids) for file in files])
            )
            self._begins = tf.constant(np.concatenate([file.offsets[:-1] for file in files]))
            self._counts = tf.constant(np.concatenate([np.diff(file.offsets) for file in files]))
            unknown = [
                np.full([len(file.ids), 2], -1, np.int32) if file.sizes is None else file.sizes for file in files
            ]
            self._sizes = tf.constant(np.concatenate(unknown))
            self._rows = [_rows_of(file) for file in files]
        examples = ", ".join(repr(identity) for identity in files[0].ids[:3])
        self._known = f"contains {sum(len(file.ids) for file in files)} images, such as {examples}"

    def __call__(
        self, record: Record, features: dict[str, tf.Tensor], shape: tf.Tensor, corrections: Corrections
    ) -> SampleProposals:
        """See `ProposalReader`."""
        source_id, filename = features["image/source_id"], features["image/filename"]
        hits = self._table.lookup(_names(source_id, filename))
        number = tf.gather(hits, tf.argmax(tf.cast(hits >= 0, tf.int32)))
        row = tf.maximum(number, 0)
        file, size = self._files[row], self._sizes[row]
        field = tf.strings.join([self._field, " (", self._paths[file], ")"])
        with tf.control_dependencies([self._check(record, number, size, shape, field, source_id, filename)]):
            begin, count = self._begins[row], self._counts[row]
        boxes, scores = tf.switch_case(file, [lambda rows=rows: rows(begin, count) for rows in self._rows])
        advice = tf.constant("the proposals are of another image, or of one of another size")
        normalised = boxes / tf.cast(tf.tile(shape, [2]), tf.float32)
        return _cleaned(record, field, normalised, scores, boxes, advice, corrections)

    def _check(
        self,
        record: Record,
        number: tf.Tensor,
        size: tf.Tensor,
        shape: tf.Tensor,
        field: tf.Tensor,
        source_id: tf.Tensor,
        filename: tf.Tensor,
    ) -> tf.Tensor:
        """True if there is an entry for an image of this size; otherwise the input pipeline fails."""
        is_there = number >= 0
        same_size = tf.reduce_all((size == shape) | (size == -1))

        def fail() -> tf.Tensor:
            name = tf.strings.join(["image '", source_id, "' (file '", filename, "')"])
            missing = tf.strings.join([self._known, ", but none for ", name])
            sizes = tf.strings.format("is of an image of {}, but the image has {}: ", (size, shape))
            checks = (
                Check(is_there, "proposal_missing", self._field, missing),
                Check(same_size, "proposal_size", field, tf.strings.join([sizes, name])),
            )
            check_record(record, checks)
            return tf.constant(False)

        return tf.cond(is_there & same_size, lambda: tf.constant(True), fail)


def rank_scores(count: tf.Tensor) -> tf.Tensor:
    """Scores float32 [count] by rank, descending from 1 in equal steps."""
    return 1.0 - tf.cast(tf.range(count), tf.float32) / tf.cast(tf.maximum(count, 1), tf.float32)


def first_of_equal(boxes: tf.Tensor) -> tf.Tensor:
    """The first row number of each set of equal rows of `boxes`, in order.

    Two coordinates are combined into one int64: finding the distinct values of an integer column three times is far
    faster than comparing rows.

    Args:
        boxes: float32 [n, 4], not negative.

    Returns:
        int32 [m].
    """
    count = tf.shape(boxes)[0]
    pairs = tf.bitcast(tf.reshape(tf.abs(boxes), [-1, 2, 2]), tf.int64)  # The bits of -0 differ from those of 0.
    minima, maxima = (tf.unique(pairs[:, column], tf.int64).idx for column in range(2))
    distinct = tf.unique(minima * tf.cast(count, tf.int64) + maxima)
    return tf.math.unsorted_segment_min(tf.range(count), distinct.idx, tf.size(distinct.y))


def _cleaned(
    record: Record,
    field: tf.Tensor | str,
    boxes: tf.Tensor,
    scores: tf.Tensor,
    shown: tf.Tensor,
    advice: tf.Tensor,
    corrections: Corrections,
) -> SampleProposals:
    """Checks, sorts and clips the boxes, and removes empty and duplicate ones.

    `shown` are the boxes as in the source, for messages.
    """
    with tf.control_dependencies([_check_values(record, field, boxes, scores, shown, advice)]):
        order = tf.argsort(scores, direction="DESCENDING", stable=True)
    boxes, scores = tf.gather(boxes, order), tf.gather(scores, order)
    clipped = tf.clip_by_value(boxes, 0.0, 1.0)
    has_area = tf.reduce_all(clipped[:, 2:] > clipped[:, :2], axis=1)
    sticks_out = tf.reduce_any(boxes != clipped, axis=1) & has_area
    count = tf.math.count_nonzero(has_area)
    corrections.note(
        record,
        {
            "proposal_none": count == 0,
            "proposal_empty": tf.size(has_area, tf.int64) - count,
            "proposal_clipped": tf.math.count_nonzero(sticks_out),
        },
    )
    kept = SampleProposals(clipped, scores).rows(tf.where(has_area)[:, 0])
    return kept.rows(first_of_equal(kept.boxes))


def _check_values(
    record: Record, field: tf.Tensor | str, boxes: tf.Tensor, scores: tf.Tensor, shown: tf.Tensor, advice: tf.Tensor
) -> tf.Tensor:
    """True if all values are valid; otherwise the input pipeline fails.

    One cheap test covers all values; the details are computed only for a record that fails it.
    """
    broken = ~(tf.reduce_all(tf.math.is_finite(boxes), axis=1) & tf.math.is_finite(scores))
    inverted = tf.reduce_any(boxes[:, 2:] < boxes[:, :2], axis=1)
    outside = tf.reduce_any((boxes > 1 + TOLERANCE) | (boxes < -TOLERANCE), axis=1)

    state = _State(record.path, record.index, field, shown, scores, broken, inverted, outside, advice)
    return passes_or(_fail, ~tf.reduce_any(broken | inverted | outside), state)


class _State(NamedTuple):
    """The data of the error message about an unusable proposal."""

    path: tf.Tensor
    index: tf.Tensor
    field: tf.Tensor
    shown: tf.Tensor
    scores: tf.Tensor
    broken: tf.Tensor
    inverted: tf.Tensor
    outside: tf.Tensor
    advice: tf.Tensor


_SPECS = _State(
    *(tf.TensorSpec([], dtype) for dtype in (tf.string, tf.int64, tf.string)),
    *(tf.TensorSpec([None, 4]), tf.TensorSpec([None]), *[tf.TensorSpec([None], tf.bool)] * 3),
    tf.TensorSpec([], tf.string),
)


@traced_once(_SPECS)
def _fail(state: _State) -> tf.Tensor:
    """Fails with a message about the first unusable proposal."""

    def check(is_wrong: tf.Tensor, kind: str, what: str, fix: tf.Tensor | str | None = None) -> Check:
        row = tf.where(is_wrong)[:1, 0]
        values = tf.concat([tf.gather(state.shown, row), tf.gather(state.scores, row)[:, tf.newaxis]], axis=1)
        texts = tf.strings.reduce_join(tf.strings.as_string(values), separator=", ")
        number = tf.strings.reduce_join(tf.strings.as_string(row))
        text = tf.strings.join(["proposal ", number, " ", what, " (ymin, xmin, ymax, xmax, score = ", texts, ")"])
        return Check(~tf.reduce_any(is_wrong), kind, state.field, text, fix)

    checks = (
        check(state.broken, "proposal_unreadable", "is not finite"),
        check(state.inverted, "proposal_unreadable", "has its minimum above its maximum", "swap the corners"),
        check(state.outside, "proposal_outside", "lies far outside the image", state.advice),
    )
    check_record(Record(state.path, state.index, tf.constant("")), checks)
    return tf.constant(False)


def _names(source_id: tf.Tensor, filename: tf.Tensor) -> tf.Tensor:
    """Names of the image, string [5], as in `proposal_files.names`."""
    bare = tf.strings.regex_replace(filename, proposal_files.IMAGE_SUFFIX, "")
    short_id = tf.strings.regex_replace(source_id, proposal_files.IMAGE_SUFFIX, "")
    return tf.stack([source_id, filename, short_id, bare, tf.strings.regex_replace(bare, proposal_files.FOLDER, "")])


def _rows_of(file: proposal_files.ProposalFile) -> Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """A function (begin, count) -> (boxes float32 [count, 4], scores float32 [count]).

    Arrays that have the same layout in the file as in memory are memory-mapped, whatever their size: a page is read
    when a record needs it, and nothing is copied into the graph.
    """
    if file.starts is None or not len(file.boxes):
        arrays = [tf.constant(array) for array in (file.boxes, file.scores)]
        return lambda begin, count: tuple(
            tf.slice(a, [begin, *[0] * (a.shape.rank - 1)], [count, *a.shape[1:]]) for a in arrays
        )
    length = max(file.starts[0] + file.boxes.nbytes, file.starts[1] + file.scores.nbytes)
    region = tf.raw_ops.ImmutableConst(dtype=tf.uint8, shape=[length], memory_region_name=os.path.abspath(file.path))

    def rows(begin: tf.Tensor, count: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        def floats(start: int, columns: int) -> tf.Tensor:
            data = tf.slice(region, [start + begin * 4 * columns], [count * 4 * columns])
            return tf.bitcast(tf.reshape(data, [-1, columns, 4]), tf.float32)

        return floats(file.starts[0], 4), floats(file.starts[1], 1)[:, 0]

    return rows
