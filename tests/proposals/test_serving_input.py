"""Proposals on their way from a client into a network: where they land, what is padding, what is refused and how."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.data.reading.batching import pad_proposals
from detection.data.resize import FixedShapeResizer, KeepAspectRatioResizer, PadToMultipleResizer
from detection.data.sample import SampleProposals
from detection.errors import DataError
from detection.proposals.serving_input import checked, packed, rounded, with_proposals
from detection.types import ImageBatch

RESIZERS = (
    FixedShapeResizer(height=50, width=70),
    KeepAspectRatioResizer(min_dimension=40, max_dimension=64, pad_to_max_dimension=True),
    PadToMultipleResizer(multiple=32),
)


def _batch(height: int, width: int, count: int = 1, resizer=RESIZERS[1]) -> ImageBatch:
    return resizer.batch(tf.zeros([count, height, width, 3], tf.uint8))


def _entered(batch: ImageBatch, boxes) -> tuple[np.ndarray, ...]:
    """Boxes, scores and counts as the network gets them, through a graph in which their number is free."""
    run = tf.function(with_proposals, autograph=False)
    spec = tf.TensorSpec([None, None, 4])
    specs = ImageBatch(tf.TensorSpec([None, *batch.images.shape[1:]]), tf.TensorSpec([None, 2], tf.int32))
    return tuple(
        value.numpy()
        for value in run.get_concrete_function(specs, spec)(*batch[:2], tf.constant(boxes, tf.float32)).proposals
    )


def test_boxes_land_in_the_image_and_not_in_its_padding():
    batch = _batch(20, 40)  # becomes 32 x 64 of 64 x 64
    assert batch.true_shapes.numpy().tolist() == [[32, 64]] and batch.images.shape == [1, 64, 64, 3]
    boxes, scores, counts = _entered(batch, [[[0.25, 0.5, 1.0, 1.0], [0.0, 0.0, 0.5, 0.25]]])
    np.testing.assert_array_equal(boxes, [[[8, 32, 32, 64], [0, 0, 16, 16]]])
    np.testing.assert_array_equal(scores, [[1.0, 0.5]])
    np.testing.assert_array_equal(counts, [2])


def test_rows_without_area_are_padding_wherever_they_stand_and_the_others_keep_their_order():
    first, second, empty = [0.1, 0.1, 0.5, 0.5], [0.2, 0.2, 0.9, 0.9], [0.3, 0.3, 0.3, 0.8]
    outside = [-0.1, 0.2, 0.0, 0.6]  # nothing of it is left in the image
    nothing = [0.0, 0.0, 0.0, 0.0]
    batch = _batch(64, 64, 3)  # becomes 40 x 40
    boxes, scores, counts = _entered(
        batch, [[nothing, first, empty, second], [second, first, nothing, outside], [nothing] * 4]
    )
    np.testing.assert_array_equal(counts, [2, 2, 0])
    expected = (
        np.array([[first, second, nothing, nothing], [second, first, nothing, nothing], [nothing] * 4], np.float32) * 40
    )
    np.testing.assert_array_equal(boxes, expected)
    np.testing.assert_array_equal(scores, [[1, 0.5, 0, 0], [1, 0.5, 0, 0], [0, 0, 0, 0]])


def test_no_row_at_all_is_one_row_of_padding():
    boxes, scores, counts = _entered(_batch(30, 30, 2), np.zeros([2, 0, 4]))
    assert boxes.shape == (2, 1, 4) and not boxes.any() and not scores.any() and not counts.any()


def test_a_fixed_number_stays_static():
    function = tf.function(with_proposals, autograph=False)
    made = function.get_concrete_function(_batch(30, 30), tf.TensorSpec([1, 7, 4])).structured_outputs.proposals
    assert made.boxes.shape == [1, 7, 4] and made.scores.shape == [1, 7]


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([[[0.1, 0.1, 0.5, 0.5], [0.1, np.nan, 0.5, 0.5]]], r"must be finite.*\[\[0 1\]\] \[\[0.1 nan 0.5 0.5\]\]"),
        ([[[0.1, 0.1, np.inf, 0.5]]], "must be finite"),
        ([[[10.0, 20.0, 30.0, 40.0]]], r"not pixels.*\[\[10 20 30 40\]\]"),
        ([[[0.5, 0.1, 0.1, 0.5]]], "minimum first"),
        ([[[0.1, 0.1, 0.5, 0.5]]] * 2, r"as many rows B as there are images. Proposals, images:\] \[2\] \[1\]"),
        ([[0.1, 0.1, 0.5, 0.5]], r"\[1,4\] is not compatible with expected shape \[\?,\?,4\]"),
        ([[[0.1, 0.1, 0.5]]], r"\[1,1,3\] is not compatible with expected shape \[\?,\?,4\]"),
    ],
)
def test_what_cannot_be_meant_stops_with_its_numbers(boxes, message):
    graph = tf.Graph()
    with graph.as_default():  # as a server runs it: fed by name, and nothing has looked at shapes before
        sent = tf.compat.v1.placeholder_with_default(tf.zeros([0, 0, 0]), None)
        given = tf.raw_ops.Identity(input=sent)
        given.set_shape([None, None, 4])
        made = with_proposals(_batch(30, 30), given).proposals.boxes
    with tf.compat.v1.Session(graph=graph) as session, pytest.raises(tf.errors.InvalidArgumentError, match=message):
        session.run(made, {sent: np.array(boxes, np.float32)})


@st.composite
def _cases(draw):
    """An image's size, and boxes in its pixels, inside it or a little outside, some of them without area."""
    height, width = draw(st.integers(8, 90)), draw(st.integers(8, 90))
    sides = st.floats(-0.09, 1.09)
    rows = draw(st.lists(st.tuples(sides, sides, sides, sides), max_size=6))
    boxes = np.array(rows, np.float32).reshape(-1, 4)
    boxes = np.concatenate([np.minimum(boxes[:, :2], boxes[:, 2:]), np.maximum(boxes[:, :2], boxes[:, 2:])], axis=1)
    return height, width, boxes * np.array([height, width] * 2, np.float32)


@settings(max_examples=40, deadline=None)
@given(_cases(), st.sampled_from(RESIZERS))
def test_served_proposals_are_those_of_training(case, resizer):
    height, width, boxes = case
    batch = resizer.batch(tf.zeros([1, height, width, 3], tf.uint8))
    served = with_proposals(batch, tf.constant(packed([checked(boxes, (height, width, 3), "x")]))).proposals
    normalised = np.clip(
        boxes / np.array([height, width] * 2, np.float32), 0, 1
    )  # what `data.proposals` makes of a file
    sample = SampleProposals(tf.constant(normalised), tf.zeros([len(boxes)]))
    trained = pad_proposals(sample, batch.true_shapes[0], served.boxes.shape[1])
    # Sides that differ by less than float32's spacing in pixels may close: such slivers are boxes in one and padding in
    # the other.
    sides = (normalised[:, 2:] - normalised[:, :2]).min(axis=1)
    if not ((sides > 0) & (sides < 1e-6)).any():
        assert int(served.counts[0]) == int(trained.counts)
        np.testing.assert_array_equal(served.boxes[0], trained.boxes)


def test_pixels_of_the_image_become_parts_of_it():
    boxes = checked([[5, 10, 20, 40], [-1, 0, 21, 30]], (20, 40, 3), "x")
    np.testing.assert_allclose(boxes, [[0.25, 0.25, 1, 1], [-0.05, 0, 1.05, 0.75]])
    assert boxes.dtype == np.float32
    for nothing in ([], [[]], np.zeros([0, 4]), ()):
        assert checked(nothing, (20, 40, 3), "x").shape == (0, 4)


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([[0, 0, 5, 5], [1, 2, np.nan, 4]], r"a.jpg: proposal 1 is not finite: \[1.0, 2.0, nan, 4.0\]"),
        ([[5, 0, 1, 5]], "a.jpg: proposal 0 has its minimum above its maximum"),
        ([[0, 0, 5, 50]], r"a.jpg: proposal 0 lies far outside the image of 20 x 40 \(height x width\)"),
        ([[0, 0, 5]], r"a.jpg: its proposals have the shape \[1, 3\]; give \[n, 4\]"),
        ([0, 0, 5, 5], r"a.jpg: its proposals have the shape \[4\]; give \[n, 4\]"),
        (np.zeros([1, 2, 4]), r"\[1, 2, 4\]; give"),
        ([[0, 0, 5, 5], [1]], "a.jpg: its proposals are not an array of numbers"),
        ([["a", "b", "c", "d"]], "a.jpg: its proposals are not an array of numbers"),
    ],
)
def test_what_is_no_box_of_the_image_is_named(boxes, message):
    with pytest.raises(DataError, match=message) as error:
        checked(boxes, (20, 40, 3), "a.jpg")
    assert "\n" not in str(error.value)


def test_packing_pads_to_few_sizes_and_keeps_the_best_where_the_number_is_fixed():
    one, three = np.full([1, 4], 0.5, np.float32), np.arange(12, dtype=np.float32).reshape(3, 4)
    made = packed([one, three, np.zeros([0, 4], np.float32)])
    np.testing.assert_array_equal(made, [[*one, [0] * 4, [0] * 4], three, [[0] * 4] * 3])
    np.testing.assert_array_equal(packed([one, three], 2), [[*one, [0] * 4], three[:2]])
    assert packed([np.zeros([0, 4])]).shape == (1, 1, 4)


@given(st.integers(0, 100_000))
def test_rounding_wastes_at_most_an_eighth(count):
    size = rounded(count)
    assert max(count, 1) <= size <= max(count, 1) * 1.125
    assert rounded(size) == size


def test_there_are_few_sizes():
    assert len({rounded(count) for count in range(2001)}) == 72  # each up to 15, then eight an octave
