"""The matchers against the values in the TF Object Detection API's own unit tests of them: rows that columns match, -1
unmatched, -2 ignored."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from detection.ops.matchers import ArgMaxMatcher, BipartiteMatcher

THREE_ROWS = [[1, 1, 1, 3, 1], [2, -1, 2, 0, 4], [3, 0, -1, 0, 0]]
A_POOR_ROW = [[1, 1, 1, 3, 1], [-1, 0, -2, -2, -1], [3, 0, -1, 2, 0]]  # row 1 is nobody's best
PADDED = [[1, 1, 1, 3, 1], [-1, 0, -2, -2, -1], [0] * 5, [3, 0, -1, 2, 0], [0] * 5]
TWO_ROWS = [[0.50, 0.1, 0.8], [0.15, 0.2, 0.3]]

CASES = {
    "no thresholds": (ArgMaxMatcher(None, None), THREE_ROWS, None, [2, 0, 1, 0, 1]),
    "matched 3": (ArgMaxMatcher(3.0, 3.0), THREE_ROWS, None, [2, -1, -1, 0, 1]),
    "matched 3, unmatched 2": (ArgMaxMatcher(3.0, 2.0), THREE_ROWS, None, [2, -1, -2, 0, 1]),
    "negatives above unmatched": (
        ArgMaxMatcher(3.0, 2.0, negatives_lower_than_unmatched=False),
        THREE_ROWS,
        None,
        [2, -2, -1, 0, 1],
    ),
    "a row without a column": (ArgMaxMatcher(3.0, 2.0), A_POOR_ROW, None, [2, -1, -1, 0, -1]),
    "forced": (ArgMaxMatcher(3.0, 2.0, force_match_for_each_row=True), A_POOR_ROW, None, [2, 1, -1, 0, -1]),
    "forced, padded": (
        ArgMaxMatcher(3.0, 2.0, force_match_for_each_row=True),
        PADDED,
        [1, 1, 0, 1, 0],
        [3, 1, -1, 0, -1],
    ),
    "bipartite": (BipartiteMatcher(), TWO_ROWS, None, [-1, 1, 0]),
    "bipartite, no valid row": (BipartiteMatcher(), TWO_ROWS, [0, 0], [-1, -1, -1]),
    "bipartite, one valid row": (BipartiteMatcher(), TWO_ROWS, [1, 0], [-1, -1, 0]),
    "bipartite, one valid row at the bottom": (
        BipartiteMatcher(),
        [[0.15, 0.2, 0.3], [0.50, 0.1, 0.8]],
        [0, 1],
        [-1, -1, 1],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_matches(name):
    matcher, similarity, valid, expected = CASES[name]
    valid = tf.constant([True] * len(similarity) if valid is None else [bool(row) for row in valid])
    similarity = tf.constant(similarity, tf.float32)
    np.testing.assert_array_equal(matcher(similarity, valid), expected)
    np.testing.assert_array_equal(tf.function(matcher.__call__)(similarity[tf.newaxis], valid[tf.newaxis]), [expected])


def test_the_bipartite_matcher_names_the_row_and_not_its_place_among_valid_rows():
    """A deviation. Of two rows of which only the second is valid, the reference answers 0: it moves valid rows to the
    front and numbers them there, so that its target assigner takes the box of another row. Here the number is that of
    the row; they agree where padding comes last, as it does in every batch of this project, unless an ignored box
    stands before an ordinary one."""
    matches = BipartiteMatcher()(tf.constant([[0.15, 0.2, 0.3], [0.50, 0.1, 0.8]]), tf.constant([False, True]))
    assert matches.numpy().tolist() == [-1, -1, 1]


def test_no_rows():
    assert ArgMaxMatcher(None, None)(tf.zeros([0, 5]), tf.zeros([0], tf.bool)).numpy().tolist() == [-1] * 5
