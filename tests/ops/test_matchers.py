"""Matchers: each rule by hand, against a loop, batched, with empty and padded groundtruth, and equal to the
reference."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.ops.matchers import ArgMaxMatcher, BipartiteMatcher

MATCHERS = [
    ArgMaxMatcher(),
    ArgMaxMatcher(0.7, 0.3, force_match_for_each_row=True),
    ArgMaxMatcher(0.5, 0.1, negatives_lower_than_unmatched=False),
    ArgMaxMatcher(None, None),
    ArgMaxMatcher(0.0, 0.0, force_match_for_each_row=True),
    BipartiteMatcher(),
]
INF = float("inf")


def loop(matcher, similarity, valid):
    """The definition, one image, one column or pair at a time."""
    rows, columns = similarity.shape
    matches = np.full(columns, -1)
    if isinstance(matcher, BipartiteMatcher):
        free = {(-similarity[r, c], r, c) for r in range(rows) for c in range(columns) if valid[r]}
        while free:
            _, row, column = min(free)
            matches[column] = row
            free = {pair for pair in free if pair[1] != row and pair[2] != column}
        return matches
    for column in range(columns):
        row = int(similarity[:, column].argmax())
        best = similarity[row, column]
        if best == -INF:
            continue
        below, between = (-1, -2) if matcher.negatives_lower_than_unmatched else (-2, -1)
        if matcher.matched_threshold is None or best >= matcher.matched_threshold:
            matches[column] = row
        else:
            matches[column] = below if best < matcher.unmatched_threshold else between
    if matcher.force_match_for_each_row:
        for row in reversed(range(rows)):
            if valid[row]:
                matches[similarity[row].argmax()] = row
    return matches


def test_argmax_by_hand():
    similarity = tf.constant([[0.6, 0.4, 0.2, 0.0, 0.31], [0.5, 0.45, 0.0, 0.1, 0.0]])
    valid = tf.constant([True, True])
    np.testing.assert_array_equal(ArgMaxMatcher(0.5, 0.3)(similarity, valid), [0, -2, -1, -1, -2])
    np.testing.assert_array_equal(
        ArgMaxMatcher(0.5, 0.3, negatives_lower_than_unmatched=False)(similarity, valid), [0, -1, -2, -2, -1]
    )
    np.testing.assert_array_equal(ArgMaxMatcher(None, None)(similarity, valid), [0, 1, 0, 1, 0])
    np.testing.assert_array_equal(
        ArgMaxMatcher(0.7, 0.7, force_match_for_each_row=True)(similarity, valid), [0, -1, -1, -1, -1]
    )
    np.testing.assert_array_equal(
        ArgMaxMatcher(0.5, 0.5)(tf.constant([[0.5]]), [True]), [0]
    )  # the threshold itself matches


def test_only_valid_rows_are_forced_and_the_first_wins():
    similarity = tf.constant([[0.1, 0.2, 0.0], [0.0, 0.3, 0.1], [0.0, 0.0, 0.1]])
    matcher = ArgMaxMatcher(0.5, 0.5, force_match_for_each_row=True)
    np.testing.assert_array_equal(matcher(similarity, tf.constant([True, True, True])), [-1, 0, 2])
    np.testing.assert_array_equal(matcher(similarity, tf.constant([False, True, False])), [-1, 1, -1])


def test_bipartite_by_hand():
    similarity = tf.constant([[0.9, 0.8, 0.1], [0.85, 0.0, 0.0]])
    np.testing.assert_array_equal(BipartiteMatcher()(similarity, tf.constant([True, True])), [0, 1, -1])
    np.testing.assert_array_equal(BipartiteMatcher()(similarity, tf.constant([False, True])), [1, -1, -1])


@settings(deadline=None, max_examples=60)
@given(st.data(), st.sampled_from(MATCHERS))
def test_equals_a_loop(data, matcher):
    rows, columns = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 7))
    cells = st.lists(st.integers(0, 10), min_size=2 * rows * columns, max_size=2 * rows * columns)
    similarity = np.array(data.draw(cells), np.float32).reshape(2, rows, columns) / 10
    valid = np.array(data.draw(st.lists(st.booleans(), min_size=2 * rows, max_size=2 * rows))).reshape(2, rows)
    present = valid | np.array(data.draw(st.lists(st.booleans(), min_size=2 * rows, max_size=2 * rows))).reshape(
        2, rows
    )
    similarity[~present] = -INF
    expected = [loop(matcher, *image) for image in zip(similarity, valid, strict=True)]
    np.testing.assert_array_equal(matcher(tf.constant(similarity), tf.constant(valid)), expected)


@pytest.mark.parametrize("matcher", MATCHERS)
def test_nothing_to_match(matcher):
    """Only padding, and no rows at all, statically and dynamically: everything is unmatched."""
    padding = tf.fill([2, 3, 5], -INF)
    nobody = np.full([2, 5], -1)
    np.testing.assert_array_equal(matcher(padding, tf.zeros([2, 3], tf.bool)), nobody)
    np.testing.assert_array_equal(matcher(padding[:, :0], tf.zeros([2, 0], tf.bool)), nobody)
    traced = tf.function(
        matcher.__call__, input_signature=[tf.TensorSpec([None, None, None]), tf.TensorSpec([None, None], tf.bool)]
    )
    np.testing.assert_array_equal(traced(padding, tf.zeros([2, 3], tf.bool)), nobody)
    np.testing.assert_array_equal(traced(padding[:, :0], tf.zeros([2, 0], tf.bool)), nobody)


@pytest.mark.parametrize("matcher", MATCHERS)
def test_compiles_under_xla_and_keeps_static_shapes(matcher):
    similarity = tf.random.stateless_uniform([3, 4, 20], [1, 2])
    valid = tf.constant([[True, True, True, False]] * 3)
    compiled = tf.function(matcher.__call__, jit_compile=True)
    np.testing.assert_array_equal(compiled(similarity, valid), matcher(similarity, valid))
    unknown_batch = tf.function(matcher.__call__).get_concrete_function(
        tf.TensorSpec([None, 4, 20]), tf.TensorSpec([None, 4], tf.bool)
    )
    assert unknown_batch.output_shapes[-1] == 20


@pytest.mark.parametrize("matcher", MATCHERS)
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(("rows", "columns"), [(0, 6), (1, 1), (1, 6), (4, 1), (4, 6)])
def test_eager_traced_and_compiled_are_equal(matcher, batch, rows, columns):
    """Eager, traced with known, partly known and unknown shapes, and compiled: the same matches, as the loop has them,
    at every size."""
    rng = np.random.default_rng(rows * 10 + columns)
    similarity = rng.integers(0, 5, (batch, rows, columns)).astype(np.float32) / 4
    valid = rng.random((batch, rows)) < 0.7
    similarity[rng.random((batch, rows)) < 0.2] = -INF
    valid &= similarity.max(axis=-1) > -INF
    expected = [
        loop(matcher, *image) if rows else np.full(columns, -1) for image in zip(similarity, valid, strict=True)
    ]
    arguments = tf.constant(similarity), tf.constant(valid)
    np.testing.assert_array_equal(matcher(*arguments), expected)
    for known in ([batch, rows, columns], [batch, None, None], [None] * 3):
        traced = tf.function(
            matcher.__call__, input_signature=[tf.TensorSpec(known), tf.TensorSpec(known[:2], tf.bool)]
        )
        np.testing.assert_array_equal(traced(*arguments), expected)
    np.testing.assert_array_equal(tf.function(matcher.__call__, jit_compile=True)(*arguments), expected)
    single = tf.function(matcher.__call__)(*(argument[0] for argument in arguments))
    np.testing.assert_array_equal(single, expected[0])


REFERENCE = [
    ArgMaxMatcher(0.5, 0.5, force_match_for_each_row=True),
    ArgMaxMatcher(0.7, 0.3, force_match_for_each_row=True),
    ArgMaxMatcher(0.5, 0.1, negatives_lower_than_unmatched=False),
    ArgMaxMatcher(None, None),
]


@pytest.mark.parametrize(
    ("unit", "matcher"),
    [
        *((f"argmax_matcher_{i}", matcher) for i, matcher in enumerate(REFERENCE)),
        ("bipartite_matcher", BipartiteMatcher()),
    ],
)
def test_equals_the_reference(shared, unit, matcher):
    units = np.load(shared / "parity" / "units.npz")
    similarity, valid = (tf.constant(units[f"{unit}_v0.in.{key}"]) for key in ("similarity", "valid_rows"))
    np.testing.assert_array_equal(matcher(similarity, valid), units[f"{unit}_v0.out.match_results"])
