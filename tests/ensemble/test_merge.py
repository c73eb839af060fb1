"""Merging by hand, and what must hold of any boxes."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.ensemble import merge
from detection.ensemble.merge import MergeSettings, Source
from detection.errors import ConfigError
from detection.evaluate.evaluator import ImageDetections
from detection.evaluate.voc import pairwise_iou
from detection.ops.nms import MulticlassNms

PLAIN = MergeSettings(nms_iou=0.5, voting_iou=0.0, scores="max")


def found(*rows: tuple) -> ImageDetections:
    """Rows (ymin, xmin, ymax, xmax, score, class)."""
    table = np.array(rows, np.float64).reshape(-1, 6)
    return ImageDetections(table[:, :4], table[:, 4], table[:, 5].astype(np.int64))


def rows(detections: ImageDetections) -> list[tuple]:
    return [
        (*box, score, class_) for box, score, class_ in zip(*(column.tolist() for column in detections), strict=True)
    ]


# Box A of the first and B of the second overlap by 80 of 120 pixels (IoU 2/3); C stands alone, and so does D, of
# another class where A is.
A, B, C, D = (0, 0, 10, 10, 0.8, 0), (0, 2, 10, 12, 0.4, 0), (50, 50, 60, 60, 0.6, 0), (0, 0, 10, 10, 0.5, 1)
FIRST, SECOND = Source(found(A, D)), Source(found(B, C))


def test_the_better_of_two_overlapping_boxes_stays():
    assert rows(merge.merge([FIRST, SECOND], PLAIN)) == [A, C, D]


def test_boxes_that_overlap_less_than_the_threshold_both_stay():
    assert rows(merge.merge([FIRST, SECOND], MergeSettings(nms_iou=0.7, voting_iou=0.0, scores="max"))) == [A, C, D, B]


def test_boxes_vote_with_their_scores():
    """(0.8 A + 0.4 B) / 1.2: xmin 0.8 / 1.2, xmax 12.8 / 1.2. Scores stay; D is of another class and C too far away."""
    merged = merge.merge([FIRST, SECOND], MergeSettings(nms_iou=0.5, voting_iou=0.6, scores="max"))
    np.testing.assert_allclose(merged.boxes[0], [0, 2 / 3, 10, 32 / 3], rtol=1e-12)
    assert rows(merged)[1:] == [C, D] and merged.scores[0] == 0.8


def test_boxes_below_the_voting_threshold_have_no_vote():
    assert rows(merge.merge([FIRST, SECOND], MergeSettings(nms_iou=0.5, voting_iou=0.7, scores="max"))) == [A, C, D]


def test_scores_are_means_over_the_models():
    """A: (0.8 + 0.4) / 2; C and D were found by one of two."""
    merged = merge.merge([FIRST, SECOND], MergeSettings(nms_iou=0.5, voting_iou=0.0, scores="mean"))
    assert rows(merged) == [(*A[:4], pytest.approx(0.6), 0), (*C[:4], 0.3, 0), (*D[:4], 0.25, 1)]


def test_of_one_model_only_its_best_box_in_a_group_counts():
    both = found(A, B)  # both of one model: B adds nothing to A
    merged = merge.merge([Source(both), Source(found(C))], MergeSettings(nms_iou=0.5, voting_iou=0.0, scores="mean"))
    assert rows(merged) == [(*A[:4], 0.4, 0), (*C[:4], 0.3, 0)]


def test_a_crop_that_did_not_see_the_place_does_not_count():
    """C lies outside what the first source saw, so only the second one's score counts there; A lies inside both."""
    window = np.array([-np.inf, -np.inf, 40.0, 40.0])
    merged = merge.merge(
        [FIRST._replace(window=window), SECOND], MergeSettings(nms_iou=0.5, voting_iou=0.0, scores="mean")
    )
    assert sorted(rows(merged)) == [(*D[:4], 0.25, 1), (*A[:4], pytest.approx(0.6), 0), C]


def test_the_best_are_kept():
    assert rows(
        merge.merge([FIRST, SECOND], MergeSettings(nms_iou=0.5, voting_iou=0.0, scores="max", max_detections=2))
    ) == [A, C]


def test_nothing_found():
    merged = merge.merge([Source(found()), Source(found())], MergeSettings())
    assert merged.boxes.shape == (0, 4) and merged.scores.shape == merged.classes.shape == (0,)
    assert rows(merge.merge([Source(found()), Source(found(A))], PLAIN)) == [A]


def test_who_suppressed_whom():
    """The second would suppress the third, but is suppressed itself, so the third is kept, and suppresses the fourth
    before the others can."""
    overlaps = np.array([[1, 0.7, 0.1, 0.0], [0.7, 1, 0.7, 0.7], [0.1, 0.7, 1, 0.7], [0.0, 0.7, 0.7, 1]])
    assert merge.suppress(overlaps, 0.5).tolist() == [0, 0, 2, 2]
    assert merge.suppress(overlaps, 0.7).tolist() == [0, 1, 2, 3]
    assert merge.suppress(np.zeros([2, 2]), 0.5).tolist() == [0, 1], "boxes without area overlap nothing"


boxes = st.tuples(st.integers(0, 20), st.integers(0, 20), st.integers(1, 12), st.integers(1, 12)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)
# Scores repeat, so that ties are there to be broken.
detections = st.lists(st.tuples(boxes, st.integers(1, 9), st.integers(0, 2)), max_size=12).map(
    lambda rows: found(*((*box, score / 10, class_) for box, score, class_ in rows))
)
models = st.lists(detections, min_size=1, max_size=4)
merging = st.builds(
    lambda nms, more, voting, scores: MergeSettings(nms, min(nms + more, 1.0) if voting else 0.0, scores),
    st.sampled_from([0.3, 0.5, 0.6]),
    st.sampled_from([0.0, 0.2]),
    st.booleans(),
    st.sampled_from(merge.SCORES),
)


@given(models, merging, st.randoms())
@settings(max_examples=50, deadline=None)
def test_the_order_of_the_models_never_matters(members, how, random):
    shuffled = list(members)
    random.shuffle(shuffled)
    expected, got = (merge.merge([Source(member) for member in some], how) for some in (members, shuffled))
    for one, other in zip(expected, got, strict=True):
        np.testing.assert_array_equal(one, other)


@given(models, merging)
@settings(max_examples=50, deadline=None)
def test_merged_boxes_lie_within_those_they_are_made_of(members, how):
    """Each is in the hull of the boxes of its class, and kept ones of a class do not overlap more than NMS allows
    (before they move by voting)."""
    merged = merge.merge([Source(member) for member in members], how)
    everything = ImageDetections(*(np.concatenate(columns) for columns in zip(*members, strict=True)))
    for box, score, class_ in zip(*merged, strict=True):
        same = everything.boxes[everything.classes == class_]
        assert (box >= same.min(axis=0) - 1e-9).all() and (box <= same.max(axis=0) + 1e-9).all()
        assert 0 < score <= everything.scores[everything.classes == class_].max()
    if not how.voting_iou:
        for class_ in set(merged.classes.tolist()):
            own = merged.boxes[merged.classes == class_]
            overlaps = pairwise_iou(own, own) - np.eye(len(own))
            assert (overlaps <= how.nms_iou).all()


@given(detections, st.sampled_from([0.3, 0.5, 0.6]))
@settings(max_examples=30, deadline=None)
def test_one_model_alone_is_what_nms_leaves_of_it(single, iou):
    """Plain merging is the detectors' own suppression; and what has been through it is left alone by every way of
    merging.

    Boxes are whole numbers up to 32, so float32 and float64 agree on every IoU but those on the threshold: 0.3 and 0.6
    are no floats, and 0.5 is one.
    """
    single = ImageDetections(
        *(column[np.unique(single.scores, return_index=True)[1]] for column in single)
    )  # the op breaks ties its own way
    scores = np.zeros([1, len(single.scores), 3], np.float32)
    scores[0, np.arange(len(single.scores)), single.classes] = single.scores
    overlaps = pairwise_iou(single.boxes, single.boxes)
    if len(single.scores) == 0 or (np.abs(overlaps - iou) < 1e-6).any():
        return
    kept = MulticlassNms(iou_threshold=iou)(
        tf.constant(single.boxes[None], tf.float32), tf.constant(scores), tf.constant([[0.0, 0.0, 99.0, 99.0]])
    )
    merged = merge.merge([Source(single)], MergeSettings(iou, 0.0, "mean"))
    count = int(kept.counts[0])
    assert len(merged.scores) == count
    np.testing.assert_allclose(merged.boxes, kept.boxes[0, :count])
    np.testing.assert_allclose(merged.scores, kept.scores[0, :count], rtol=1e-6)  # float32
    np.testing.assert_array_equal(merged.classes, kept.classes[0, :count])
    for how in (MergeSettings(iou, iou, "mean"), MergeSettings(iou, iou, "max"), MergeSettings(0.9, 0.95, "mean")):
        again = merge.merge([Source(merged)], how)
        for one, other in zip(merged, again, strict=True):
            np.testing.assert_array_equal(one, other)


def test_the_same_model_twice_is_itself():
    """Duplicates vote for the place where they are, and the mean of equal scores is that score."""
    single = merge.merge([Source(found(A, B, C, D))], PLAIN)
    twice = merge.merge([Source(single), Source(single)], MergeSettings(0.5, 0.5, "mean"))
    for one, other in zip(single, twice, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((0.0, 0.0, "max"), "--nms_iou=0: must be above 0"),
        ((0.6, 0.5, "max"), "--voting_iou=0.5: must be at least --nms_iou=0.6"),
        ((0.6, 0.6, "median"), "--scores=median: is not one of mean, max"),
    ],
)
def test_mistakes_are_named(values, message):
    with pytest.raises(ConfigError, match=message):
        MergeSettings(*values)


def test_the_grid_leaves_out_what_makes_no_sense():
    ways = merge.grid([0.5, 0.7], [0.0, 0.6], ["mean"], 50)
    assert [(way.nms_iou, way.voting_iou, way.max_detections) for way in ways] == [
        (0.5, 0.0, 50),
        (0.5, 0.6, 50),
        (0.7, 0.0, 50),
    ]
    with pytest.raises(ConfigError, match="must be at least"):
        merge.grid([0.7], [0.6], ["mean"], 50)
