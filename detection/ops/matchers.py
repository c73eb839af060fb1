"""Matchers: which groundtruth row each anchor (column) belongs to. Batched over leading dimensions.

`matcher(similarity float32 [..., M, A], valid_rows bool [..., M]) -> int32 [..., A]`: a row number, UNMATCHED (-1:
background) or IGNORED (-2: neither). A row of similarity -inf is padding and can never be matched; a column that has
only such rows is unmatched. Rows that are not valid (groundtruth to be ignored) may still be the best match of an
anchor, but no anchor is forced onto them.
"""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf

UNMATCHED = -1
IGNORED = -2


@dataclass(frozen=True)
class ArgMaxMatcher:
    """Matches each column to its most similar row, if that is similar enough.

    similarity >= matched_threshold: the row; < unmatched_threshold: unmatched; between: ignored. With
    negatives_lower_than_unmatched False, below is ignored and between is unmatched. Thresholds of None: always the row.
    With force_match_for_each_row, every valid row also gets the column most similar to it; the first row wins if two
    have the same column.
    """

    matched_threshold: float | None = 0.5
    unmatched_threshold: float | None = 0.5
    negatives_lower_than_unmatched: bool = True
    force_match_for_each_row: bool = False

    def __call__(self, similarity: tf.Tensor, valid_rows: tf.Tensor) -> tf.Tensor:
        """int32 [..., A]; the lowest row or column number wins ties."""
        similarity, valid_rows = _with_padding_row(similarity, valid_rows)
        best = tf.reduce_max(similarity, axis=-2)
        matches = tf.argmax(similarity, axis=-2, output_type=tf.int32)
        if self.matched_threshold is not None:
            below, between = (UNMATCHED, IGNORED) if self.negatives_lower_than_unmatched else (IGNORED, UNMATCHED)
            matches = tf.where(best >= self.matched_threshold, matches, between)
            matches = tf.where(best >= self.unmatched_threshold, matches, below)
        matches = tf.where(tf.math.is_inf(best), UNMATCHED, matches)
        return self._force(matches, similarity, valid_rows) if self.force_match_for_each_row else matches

    def _force(self, matches: tf.Tensor, similarity: tf.Tensor, valid_rows: tf.Tensor) -> tf.Tensor:
        shape = tf.shape(similarity)
        num_rows, num_columns = shape[-2], shape[-1]
        best_columns = tf.reshape(tf.argmax(similarity, axis=-1, output_type=tf.int32), [-1, num_rows])
        valid = tf.reshape(valid_rows, [-1, num_rows])
        batch = tf.shape(valid)[0]
        rows = tf.where(valid, tf.range(num_rows), num_rows)  # num_rows means "no row"
        cells = best_columns + tf.range(batch)[:, tf.newaxis] * num_columns
        no_row = tf.fill([batch * num_columns], num_rows)
        winners = tf.tensor_scatter_nd_min(no_row, tf.reshape(cells, [-1, 1]), tf.reshape(rows, [-1]))
        winners = tf.reshape(winners, tf.shape(matches))
        return tf.ensure_shape(tf.where(winners < num_rows, winners, matches), matches.shape)


@dataclass(frozen=True)
class BipartiteMatcher:
    """Greedy one-to-one matching.

    Takes the most similar pair of a free valid row and a free column until every valid row has a column. All other
    columns are unmatched.
    """

    def __call__(self, similarity: tf.Tensor, valid_rows: tf.Tensor) -> tf.Tensor:
        """int32 [..., A]; the lowest row, then the lowest column number wins ties."""
        similarity, valid_rows = _with_padding_row(similarity, valid_rows)
        shape = tf.shape(similarity)
        num_rows, num_columns = shape[-2], shape[-1]
        taken = tf.fill([], similarity.dtype.min)  # finite, to differ from the -inf of padding
        free = tf.where(valid_rows[..., tf.newaxis], similarity, taken)
        free = tf.reshape(tf.maximum(free, taken), [-1, num_rows, num_columns])
        row_numbers, column_numbers = tf.range(num_rows), tf.range(num_columns)

        def pick(step: tf.Tensor, free: tf.Tensor, matches: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            flat = tf.reshape(free, [-1, num_rows * num_columns])
            best = tf.argmax(flat, axis=-1, output_type=tf.int32)[:, tf.newaxis]
            is_free = tf.reduce_max(flat, axis=-1, keepdims=True) > taken
            row, column = best // num_columns, best % num_columns
            matches = tf.where(is_free & (column_numbers == column), row, matches)
            row_or_column_taken = (row_numbers == row)[:, :, tf.newaxis] | (column_numbers == column)[:, tf.newaxis, :]
            # A loop must keep its initial shapes, but shape inference may lose some after one iteration, e.g. for a
            # batch of one.
            return (
                step + 1,
                tf.ensure_shape(tf.where(row_or_column_taken, taken, free), shape_of_free),
                tf.ensure_shape(matches, shape_of_matches),
            )

        num_steps = tf.reduce_max(tf.reduce_sum(tf.cast(valid_rows, tf.int32), axis=-1))
        matches = tf.fill([tf.shape(free)[0], num_columns], UNMATCHED)
        shape_of_free, shape_of_matches = free.shape, matches.shape
        _, _, matches = tf.while_loop(lambda step, free, matches: step < num_steps, pick, [0, free, matches])
        matches = tf.reshape(matches, tf.concat([shape[:-2], [num_columns]], axis=0))
        return tf.ensure_shape(matches, similarity.shape[:-2] + similarity.shape[-1:])


Matcher = ArgMaxMatcher | BipartiteMatcher


def _with_padding_row(similarity: tf.Tensor, valid_rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Adds a padding row if there may be no rows, since a maximum over no rows does not exist."""
    if similarity.shape[-2]:
        return similarity, valid_rows
    padding = [[0, 0]] * (similarity.shape.rank - 2)
    return (
        tf.pad(similarity, [*padding, [0, 1], [0, 0]], constant_values=similarity.dtype.as_numpy_dtype("-inf")),
        tf.pad(valid_rows, [*padding, [0, 1]]),
    )
