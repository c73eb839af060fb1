"""Non-maximum suppression against its definition in numpy: ties, empty results, windows, every fallback; and the
reference."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.ops import nms as nms_module
from detection.ops import nms_rows
from detection.ops.nms import MulticlassNms

WINDOW = np.array([0.0, 0.0, 100.0, 100.0], np.float32)


def overlaps_of(box, others):
    """IoU of one box with others [n, 4]."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    shared = np.prod(np.maximum(high - low, 0), -1)
    return shared / (np.prod(box[2:] - box[:2]) + np.prod(others[:, 2:] - others[:, :2], -1) - shared)


def greedy(boxes, scores, settings):
    """Survivors of one class as row numbers."""
    kept = []
    for row in np.argsort(-scores, kind="stable"):
        if scores[row] <= settings.score_threshold or len(kept) == settings.max_detections_per_class:
            break
        if not kept or (overlaps_of(boxes[row], boxes[kept]) <= settings.iou_threshold).all():
            kept.append(row)
    return kept


def naive(boxes, scores, window, settings):
    """The definition, for one image: [(score, class, row, clipped box)], best first, with class-specific or shared
    boxes."""
    found = []
    for k in range(scores.shape[1]):
        own = boxes if boxes.ndim == 2 else boxes[:, k]
        for row in greedy(own, scores[:, k], settings):
            box = np.clip(own[row], np.tile(window[:2], 2), np.tile(window[2:], 2))
            if box[2] > box[0] and box[3] > box[1]:
                found.append((scores[row, k], k, row, box))
    return sorted(found, key=lambda detection: -detection[0])[: settings.max_total_detections]


def check(nms, boxes, scores, windows):
    """Compares all images with the definition."""
    kept, rows = nms.with_indices(tf.constant(boxes), tf.constant(scores), tf.constant(windows))
    for image, window in enumerate(windows):
        expected = naive(boxes[image], scores[image], window, nms)
        count = len(expected)
        assert kept.counts[image] == count
        np.testing.assert_array_equal(
            kept.scores[image], [e[0] for e in expected] + [0.0] * (nms.max_total_detections - count)
        )
        assert not kept.boxes[image, count:].numpy().any() and not kept.classes[image, count:].numpy().any()
        np.testing.assert_array_equal(kept.classes[image, :count], [e[1] for e in expected])
        np.testing.assert_array_equal(rows[image, :count], [e[2] for e in expected])
        np.testing.assert_array_equal(kept.boxes[image, :count], np.reshape([e[3] for e in expected], [-1, 4]))
    return kept


def random_case(seed, batch, rows, classes, specific=False, decimals=None):
    rng = np.random.default_rng(seed)
    shape = (batch, rows, classes, 2) if specific else (batch, rows, 2)
    centre, size = rng.uniform(-20, 120, shape), np.exp(rng.normal(3, 0.6, shape))
    boxes = np.concatenate([centre - size / 2, centre + size / 2], -1).astype(np.float32)
    scores = rng.permutation(batch * rows * classes).reshape(batch, rows, classes) / (batch * rows * classes)
    scores = scores.astype(np.float32) if decimals is None else np.round(scores, decimals).astype(np.float32)
    return boxes, scores, np.tile(WINDOW, (batch, 1))


def test_by_hand():
    """Two classes; the second box is suppressed in class 0 only, the third is outside the window, the last is cut."""
    boxes = np.array([[[0, 0, 10, 10], [0, 1, 10, 11], [200, 0, 210, 10], [90, 90, 110, 120]]], np.float32)
    scores = np.array([[[0.9, 0.0], [0.8, 0.7], [0.95, 0.0], [0.1, 0.4]]], np.float32)
    kept = MulticlassNms(score_threshold=0.2, iou_threshold=0.5, max_total_detections=4)(
        boxes, scores, WINDOW[np.newaxis]
    )
    np.testing.assert_array_equal(kept.counts, [3])
    np.testing.assert_allclose(kept.scores, [[0.9, 0.7, 0.4, 0.0]])
    np.testing.assert_array_equal(kept.classes, [[0, 1, 1, 0]])
    np.testing.assert_array_equal(kept.boxes, [[[0, 0, 10, 10], [0, 1, 10, 11], [90, 90, 100, 100], [0, 0, 0, 0]]])


def test_suppresses_before_it_clips():
    """Clipped to the window both boxes are the same; as they are, they overlap by half."""
    boxes = np.array([[[-10, 0, 10, 10], [-30, 0, 10, 10]]], np.float32)
    nms = MulticlassNms(iou_threshold=0.6, max_total_detections=2, max_detections_per_class=2)
    kept = nms(boxes, np.array([[[0.9], [0.8]]], np.float32), WINDOW[np.newaxis])
    np.testing.assert_array_equal(kept.counts, [2])


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 10**6),
    st.sampled_from([0.0, 0.3, 0.9]),
    st.sampled_from([0.0, 0.3, 0.6, 1.0]),
    st.sampled_from([(3, 5), (10, 10), (2, 40)]),
    st.booleans(),
)
def test_equals_the_definition(seed, score_threshold, iou_threshold, limits, specific):
    nms = MulticlassNms(score_threshold, iou_threshold, *limits)
    boxes, scores, windows = random_case(seed, 2, 25, 3, specific)
    windows[1] = [10, 20, 60, 50]
    check(nms, boxes, scores, windows)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.3, 0.6]), st.integers(0, 1))
def test_ties_are_broken_deterministically(seed, iou_threshold, decimals):
    """Among equals the order is free: survivors do not overlap, and whatever went overlaps a survivor of at least its
    score."""
    nms = MulticlassNms(0.1, iou_threshold, 75, 75)
    boxes, scores, _ = random_case(seed, 1, 25, 3, decimals=decimals)
    windows = tf.constant([[-1e4, -1e4, 1e4, 1e4]])
    kept, rows = nms.with_indices(tf.constant(boxes), tf.constant(scores), windows)
    count = int(kept.counts[0])
    labels, rows = kept.classes[0, :count].numpy(), rows[0, :count].numpy()
    for k in range(3):
        survivors = rows[labels == k]
        assert len(set(survivors)) == len(survivors)
        for row in range(25):
            overlapping = [
                s for s in survivors if s != row and overlaps_of(boxes[0, row], boxes[0, [s]])[0] > iou_threshold
            ]
            if row in survivors:
                assert not overlapping
            elif scores[0, row, k] > nms.score_threshold:
                assert max(scores[0, s, k] for s in overlapping) >= scores[0, row, k]
    assert np.array_equal(nms(tf.constant(boxes), tf.constant(scores), windows).boxes, kept.boxes)


@pytest.fixture(params=["all_boxes", "promising_boxes"])
def among(request, monkeypatch):
    """Both ways to look at fewer pairs, whatever their number."""
    monkeypatch.setattr(nms_module, "_MANY_PAIRS", 0 if request.param == "promising_boxes" else 2**60)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.usefixtures("among")
def test_the_first_pass_is_exact(seed):
    """Enough pairs for the first look; it suffices for the first image, never for the others."""
    boxes, scores, windows = random_case(seed, 3, 1500, 12)
    nms = MulticlassNms(1e-8, 0.6, 10, 20)
    check(nms, boxes[:1], scores[:1], windows[:1])
    boxes[1] = boxes[1, 0] + np.linspace(0, 1, 1500)[:, np.newaxis]  # all on one spot: few survivors
    boxes[2, :1400] += 1000  # most are outside
    check(nms, boxes, scores, windows)
    check(MulticlassNms(0.995, 0.6, 10, 20), boxes, scores, windows)
    scores[1] *= 1e-9  # nothing there exceeds the threshold, in the others much does
    check(nms, boxes, scores, windows)


@pytest.mark.usefixtures("among")
def test_all_rows_are_used_if_empty_boxes_exceed_the_margin():
    boxes, scores, windows = random_case(5, 1, 1500, 12)
    order = np.argsort(-scores[0].max(-1))
    boxes[0, order[:600]] = np.random.default_rng(0).uniform(2000, 9000, (600, 1)) + np.array([0, 0, 5, 5])
    check(MulticlassNms(0.0, 0.6, 20, 20), boxes, scores, windows)
    assert check(MulticlassNms(0.0, 0.6, 90, 100), boxes, scores, windows).counts[0] == 100


def test_rows_of_duplicates_and_shared_corners():
    """Equal boxes of different scores, and different boxes of the same corner."""
    boxes = np.array([[[0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 90, 90], [0, 0, 90, 90]]], np.float32)
    scores = np.array([[[0.1], [0.9], [0.7], [0.7]]], np.float32)
    nms = MulticlassNms(max_total_detections=3, max_detections_per_class=3)
    _, rows = nms.with_indices(tf.constant(boxes), tf.constant(scores), WINDOW[np.newaxis])
    np.testing.assert_array_equal(rows, [[1, 2, 0]])


def test_no_detections():
    boxes, scores, windows = random_case(0, 2, 30, 3)
    check(MulticlassNms(score_threshold=2.0), boxes, scores, windows)
    check(MulticlassNms(), boxes + 1e4, scores, windows)
    assert not MulticlassNms()(np.zeros_like(boxes), scores, windows).counts.numpy().any()
    check(MulticlassNms(), boxes, np.zeros_like(scores), windows)
    boxes[0, :5] = np.nan
    kept = MulticlassNms(max_detections_per_class=5, max_total_detections=5)(boxes, scores, windows)
    assert np.isfinite(kept.boxes).all()


@pytest.mark.parametrize("specific", [False, True])
def test_class_agnostic(specific):
    boxes, scores, windows = random_case(3, 2, 40, 4, specific)
    nms = MulticlassNms(0.3, 0.4, 30, 30, class_agnostic=True)
    kept, rows = nms.with_indices(*map(tf.constant, (boxes, scores, windows)))
    for image in range(2):
        labels, best = scores[image].argmax(-1), scores[image].max(-1)
        own = boxes[image, np.arange(40), labels] if specific else boxes[image]
        expected = naive(own, best[:, np.newaxis], windows[image], nms)
        count = len(expected)
        assert kept.counts[image] == count
        np.testing.assert_array_equal(rows[image, :count], [e[2] for e in expected])
        np.testing.assert_array_equal(kept.classes[image, :count], labels[rows[image, :count]])
        np.testing.assert_array_equal(kept.scores[image, :count], [e[0] for e in expected])


def test_traces_with_unknown_batch_and_rows():
    nms = MulticlassNms(0.1, 0.6, 5, 8)
    traced = tf.function(
        nms.__call__,
        input_signature=[tf.TensorSpec([None, None, 4]), tf.TensorSpec([None, None, 3]), tf.TensorSpec([None, 4])],
    )
    concrete = traced.get_concrete_function()
    assert [tuple(shape) for shape in concrete.output_shapes] == [(None, 8, 4), (None, 8), (None, 8), (None,)]
    for rows in (1, 4, 400):
        boxes, scores, windows = random_case(rows, 2, rows, 3)
        for actual, expected in zip(traced(boxes, scores, windows), nms(boxes, scores, windows), strict=True):
            np.testing.assert_array_equal(actual, expected)


def test_equals_the_reference(shared):
    units = {
        key.split(".", 1)[1]: value
        for key, value in np.load(shared / "parity" / "units.npz").items()
        if key.startswith("multiclass_nms")
    }
    valid = np.arange(50) < units["in.num_valid_boxes"][:, np.newaxis]
    scores = np.where(valid[..., np.newaxis], units["in.scores"], 0).astype(np.float32)
    nms = MulticlassNms(0.05, 0.6, 10, 20)
    for boxes in (units["in.boxes"][:, :, 0], np.repeat(units["in.boxes"], 4, axis=2)):
        kept, rows = nms.with_indices(tf.constant(boxes), tf.constant(scores), tf.constant(units["in.clip_window"]))
        np.testing.assert_array_equal(kept.counts, units["out.num"])
        np.testing.assert_allclose(kept.boxes, units["out.nms_boxes"], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(kept.scores, units["out.nms_scores"], rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(kept.classes, units["out.nms_classes"])
        for image, count in enumerate(units["out.num"]):
            np.testing.assert_array_equal(rows[image, :count], units["out.nms_index"][image, :count, 0])


@pytest.mark.parametrize("limits", [(10, 10), (700, 700)])
@pytest.mark.usefixtures("among")
def test_rows_of_class_specific_boxes_wherever_they_are(limits):
    """Among the rows that score best; below many that lie on one spot and suppress each other; and in many portions of
    all rows."""
    boxes, scores, windows = random_case(3, 2, 1500, 4, specific=True)
    nms = MulticlassNms(1e-8, 0.6, *limits)
    check(nms, boxes, scores, windows)
    boxes[1, np.argsort(-scores[1].max(-1))[:1400]] = boxes[1, 0]
    check(nms, boxes, scores, windows)


def test_shared_boxes_among_very_many_pairs():
    """So many pairs that boxes below the estimated threshold are removed before suppression."""
    boxes, scores, windows = random_case(11, 2, 6000, 90)
    assert nms_module._MANY_PAIRS < 6000 * 90
    check(MulticlassNms(1e-8, 0.6, 100, 100), boxes, scores, windows)


def test_rows_with_more_ties_than_candidates():
    """Shared boxes, all of one score: the survivors are spread over all rows, most of them behind those that keys are
    made of."""
    boxes, _, windows = random_case(7, 2, 3000, 2)
    boxes[:, :2500] = boxes[:, :1]  # one spot
    kept, rows = MulticlassNms(0.0, 0.6, 5, 10).with_indices(
        tf.constant(boxes), tf.fill([2, 3000, 2], 0.5), tf.constant(windows)
    )
    assert nms_rows._MAX_CANDIDATES * 10 < 3000 and (rows.numpy() > nms_rows._MAX_CANDIDATES * 10).any()
    for image, count in enumerate(kept.counts.numpy()):
        assert count >= 5
        np.testing.assert_array_equal(kept.boxes[image, :count], np.clip(boxes[image, rows[image, :count]], 0.0, 100.0))


def test_row_numbers_of_a_mask():
    rows, real = nms_rows.numbers_of(tf.constant([[False, True, True, False], [False] * 4, [True, False, False, True]]))
    np.testing.assert_array_equal(rows, [[1, 2], [0, 0], [0, 3]])
    np.testing.assert_array_equal(real, [[True, True], [False, False], [True, True]])
    rows, real = nms_rows.numbers_of(tf.zeros([2, 3], tf.bool))
    assert rows.shape == (2, 1) and not real.numpy().any()
    assert nms_rows.numbers_of(tf.zeros([2, 0], tf.bool))[0].shape == (2, 0)


@pytest.mark.parametrize("known", [True, False])
def test_all_scores_equal(known):
    """What a detector gives before it has learnt: survivors do not overlap, rows are theirs, however many pairs tie, of
    known number or not."""
    boxes, scores, windows = random_case(5, 2, 300, 90, specific=True)
    scores = np.full_like(scores, 0.25)
    nms = MulticlassNms(0.0, 0.6, 100, 300)
    shapes = [array.shape if known else [None] * array.ndim for array in (boxes, scores, windows)]
    shapes = [[*shapes[0][:3], 4], shapes[1], [*shapes[2][:1], 4]]
    run = tf.function(nms.with_indices, input_signature=[tf.TensorSpec(shape) for shape in shapes], autograph=False)
    kept, rows = run(boxes, scores, windows)
    np.testing.assert_array_equal(kept.counts, [300, 300])
    for image in range(2):
        own = boxes[image, rows[image], kept.classes[image]]
        np.testing.assert_array_equal(kept.boxes[image], np.clip(own, 0.0, 100.0))
        for k in np.unique(kept.classes[image]):
            of_class = own[kept.classes[image] == k]
            assert len(of_class) == len(np.unique(rows[image][kept.classes[image] == k]))
            for place, box in enumerate(of_class):
                assert (overlaps_of(box, np.delete(of_class, place, 0)) <= 0.6).all()


@pytest.mark.parametrize(("rows", "classes"), [(300, 90), (1917, 90), (2000, 3), (91, 91 * 7)])
def test_sample_covers_all_classes_and_rows(rows, classes):
    """The threshold of the first pass: of scores that rise with the class, or the row, about as many exceed it as
    are asked for."""
    nms = MulticlassNms(0.0, 0.6, 100, 100)
    for scores in (
        np.arange(classes) + np.zeros([rows, 1]),
        np.arange(rows)[:, np.newaxis] + np.zeros([1, classes]),
        np.zeros([rows, classes]),
    ):
        scores = (scores + np.linspace(0.001, 0.9, rows * classes).reshape(rows, classes)).astype(np.float32)
        threshold = float(nms._estimated_threshold(tf.constant(scores[np.newaxis]), 800))
        assert 400 <= (scores > threshold).sum() <= 1600
