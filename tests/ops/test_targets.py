"""Target assignment: each kind of anchor by hand, ignored and padded rows, empty images, XLA, equality with the
reference."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from detection.ops import boxes as box_ops
from detection.ops.box_coders import CenterSqrtBoxCoder, FasterRcnnBoxCoder
from detection.ops.matchers import ArgMaxMatcher, BipartiteMatcher
from detection.ops.targets import TargetAssigner
from detection.types import Groundtruth

ANCHORS = tf.constant([[0.0, 0, 10, 10], [0, 0, 10, 20], [0, 20, 10, 30], [50, 50, 60, 60]])


def groundtruth(boxes, classes, weights=None, counts=None) -> Groundtruth:
    boxes = tf.reshape(tf.constant(boxes, tf.float32), [len(classes), -1, 4])
    weights = tf.ones(boxes.shape[:2]) if weights is None else tf.constant(weights, tf.float32)
    counts = [boxes.shape[1]] * len(classes) if counts is None else counts
    no = tf.zeros(boxes.shape[:2], tf.bool)
    return Groundtruth(
        boxes,
        tf.reshape(tf.constant(classes, tf.int32), boxes.shape[:2]),
        weights,
        tf.constant(counts),
        no,
        no,
        box_ops.area(boxes),
    )


def assigner(matcher=None, **settings) -> TargetAssigner:
    return TargetAssigner(
        similarity=box_ops.iou, matcher=matcher or ArgMaxMatcher(0.7, 0.3), box_coder=FasterRcnnBoxCoder(), **settings
    )


def test_by_hand():
    """Anchor 0 is the object, 1 overlaps it by half (ignored), 2 and 3 are background."""
    targets = assigner(negative_class_weight=0.25)(
        ANCHORS, groundtruth([[[0, 0, 10, 10]]], [[1]], weights=[[0.5]]), num_classes=3
    )
    np.testing.assert_array_equal(targets.matches, [[0, -2, -1, -1]])
    np.testing.assert_allclose(targets.box_codes, np.zeros([1, 4, 4]), atol=1e-6)
    np.testing.assert_allclose(targets.box_weights, [[0.5, 0, 0, 0]])
    np.testing.assert_array_equal(targets.classes, [[[0, 0, 1, 0], [1, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0]]])
    np.testing.assert_allclose(targets.class_weights, [[0.5, 0, 0.25, 0.25]])


def test_box_centres():
    """Cells of 10 pixels: an object belongs to the cell that its centre lies in, whose left and top sides are its own.

    Of two in one cell the more similar is learnt; a more similar crowd hides an object. One centre lies outside.
    """
    cells = tf.constant([[y, x, y + 10.0, x + 10.0] for y in (0.0, 10.0) for x in (0.0, 10.0)])
    boxes = [[0, 0, 20, 20], [12, 12, 19, 19], [1, 1, 6, 6], [2, 11, 9, 19], [3, 13, 7, 17], [0, 25, 10, 35]]
    centred = TargetAssigner(box_ops.CentreInside(box_ops.iou), ArgMaxMatcher(None, None), CenterSqrtBoxCoder(40.0))
    targets = centred(cells, groundtruth([boxes], [[0, 1, 2, 3, 4, 5]], weights=[[1, 1, 1, 0, 1, 1]]), num_classes=6)
    # Box 0 is centred in cell 3, at its corner, where box 1 is more similar; cell 2 has none.
    np.testing.assert_array_equal(targets.matches, [[2, 3, -1, 1]])
    np.testing.assert_allclose(targets.box_weights, [[1, 0, 0, 1]])
    np.testing.assert_allclose(targets.class_weights, [[1, 0, 1, 1]])
    np.testing.assert_allclose(targets.box_codes[0, 0], [0.35, 0.35, 0.125**0.5, 0.125**0.5], rtol=1e-6)


def test_background_as_zeros():
    targets = assigner(background_as_zeros=True)(ANCHORS, groundtruth([[[0, 0, 10, 10]]], [[1]]), num_classes=2)
    np.testing.assert_array_equal(targets.classes, [[[0, 0, 1], [0, 0, 0], [0, 0, 0], [0, 0, 0]]])


def test_without_a_column_for_the_background():
    for as_zeros in (False, True):
        made = assigner(background_as_zeros=as_zeros, background_column=False)
        targets = made(ANCHORS, groundtruth([[[0, 0, 10, 10]]], [[1]]), num_classes=2)
        np.testing.assert_array_equal(targets.classes, [[[0, 1], [0, 0], [0, 0], [0, 0]]])


def test_ignored_boxes_are_excluded_from_the_loss():
    both = groundtruth([[[0, 20, 10, 30], [50, 50, 60, 60]]], [[0, 1]], weights=[[0, 1]])
    targets = assigner(ArgMaxMatcher(0.5, 0.5, force_match_for_each_row=True))(ANCHORS, both, num_classes=2)
    np.testing.assert_allclose(targets.class_weights, [[1, 1, 0, 1]])
    np.testing.assert_allclose(targets.box_weights, [[0, 0, 0, 1]])


def test_no_match_is_forced_onto_ignored_boxes():
    targets = assigner(ArgMaxMatcher(0.9, 0.9, force_match_for_each_row=True))(
        ANCHORS, groundtruth([[[0, 0, 5, 5]]], [[0]], weights=[[0]]), 2
    )
    np.testing.assert_array_equal(targets.matches, [[-1] * 4])
    assert not targets.box_weights.numpy().any()


@pytest.mark.parametrize(
    "matcher",
    [
        ArgMaxMatcher(0.0, 0.0, force_match_for_each_row=True),
        ArgMaxMatcher(None, None),
        ArgMaxMatcher(0.5, 0.5),
        BipartiteMatcher(),
        ArgMaxMatcher(0.5, 0.1, negatives_lower_than_unmatched=False),
    ],
)
@pytest.mark.parametrize("similarity", [box_ops.iou, box_ops.neg_sq_dist])
def test_padding_never_matches(matcher, similarity):
    """The second image has one object and two padding rows, the first one only padding."""
    truth = groundtruth(
        [np.zeros([3, 4]), [[50, 50, 60, 60], [0, 0, 0, 0], [0, 0, 0, 0]]],
        [[0] * 3, [1, 0, 0]],
        weights=[[0, 0, 0], [1, 0, 0]],
        counts=[0, 1],
    )
    targets = TargetAssigner(similarity, matcher, FasterRcnnBoxCoder())(ANCHORS, truth, num_classes=2)
    matches = targets.matches.numpy()
    assert (matches <= 0).all() and (matches[0] == -1).all()
    np.testing.assert_allclose(targets.class_weights[0], np.ones(4))
    for value in targets:
        assert np.isfinite(value).all()


def test_images_with_zero_box_rows_are_background():
    empty = groundtruth(np.zeros([2, 0, 4]), [[], []], weights=np.zeros([2, 0]))
    targets = assigner()(ANCHORS, empty, num_classes=2)
    np.testing.assert_array_equal(targets.classes[..., 0], np.ones([2, 4]))
    assert not targets.box_weights.numpy().any()


def test_anchors_may_differ_between_images():
    truth = groundtruth([[[0, 0, 10, 10]], [[50, 50, 60, 60]]], [[0], [1]])
    own = tf.stack([ANCHORS, ANCHORS[::-1]])
    targets = assigner()(own, truth, num_classes=2)
    np.testing.assert_array_equal(targets.matches, [[0, -2, -1, -1], [0, -1, -1, -1]])


def test_unknown_batch_and_xla_give_the_same():
    truth = groundtruth([[[0, 0, 10, 10]], [[50, 50, 60, 61]]], [[0], [1]])
    expected = assigner()(ANCHORS, truth, 2)

    def run(boxes, classes, weights, counts):
        no = tf.zeros_like(classes, tf.bool)
        return assigner()(ANCHORS, Groundtruth(boxes, classes, weights, counts, no, no, weights), 2)

    arguments = (truth.boxes, truth.classes, truth.weights, truth.counts)
    unknown = [tf.TensorSpec([None, *value.shape[1:]], value.dtype) for value in arguments]
    traced = tf.function(run, input_signature=unknown)
    shapes = traced.get_concrete_function().output_shapes
    assert [tuple(shape)[1:] for shape in shapes] == [(4, 4), (4,), (4, 3), (4,), (4,)]
    for actual in (traced(*arguments), tf.function(run, jit_compile=True)(*arguments)):
        for a, b in zip(actual, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("stage", "matcher"),
    [("proposal", ArgMaxMatcher(0.7, 0.3, force_match_for_each_row=True)), ("detection", ArgMaxMatcher())],
)
def test_equals_the_reference(shared, stage, matcher):
    units = {
        key.split(".", 1)[1]: value
        for key, value in np.load(shared / "parity" / "units.npz").items()
        if f"assigner_{stage}" in key
    }
    labels = units["in.gt_classes_with_background"].argmax(-1) - 1
    num_classes = 6 if stage == "detection" else 1
    truth = groundtruth(
        units["in.gt_boxes"],
        [labels if stage == "detection" else np.zeros_like(labels)],
        weights=[units["in.gt_weights"]],
    )
    targets = assigner(matcher)(units["in.anchors"], truth, num_classes)
    classes = targets.classes[0] if stage == "detection" else targets.classes[0, :, 1:]
    np.testing.assert_array_equal(targets.matches[0], units["out.matches"])
    np.testing.assert_allclose(classes, units["out.cls_targets"])
    np.testing.assert_allclose(
        tf.broadcast_to(targets.class_weights[0, :, tf.newaxis], classes.shape), units["out.cls_weights"]
    )
    np.testing.assert_allclose(targets.box_codes[0], units["out.reg_targets"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(targets.box_weights[0], units["out.reg_weights"])


@pytest.mark.parametrize("normalised", [False, True])
def test_boxes_are_compared_in_pixels_or_as_fractions_of_the_image(normalised):
    """Five pixels lower in an image of 100: squared, 2 * 5² apart, or 2 * 0.05²."""
    made = TargetAssigner(
        box_ops.neg_sq_dist, ArgMaxMatcher(-0.006, -0.006), FasterRcnnBoxCoder(), normalised=normalised
    )
    targets = made(ANCHORS, groundtruth([[[5, 0, 15, 10]]], [[1]]), num_classes=2, image_shape=(100, 200))
    np.testing.assert_array_equal(targets.matches, [[0 if normalised else -1, -1, -1, -1]])
    np.testing.assert_allclose(targets.box_codes[0, 0], [5.0 if normalised else 0, 0, 0, 0], atol=1e-6)


@pytest.mark.parametrize("background_as_zeros", [False, True])
def test_a_box_of_several_classes(background_as_zeros):
    boxes = groundtruth([[[0, 0, 10, 10], [50, 50, 60, 60]]], [[1, 0]])
    boxes = boxes._replace(class_sets=tf.constant([[[0.0, 1, 1], [1, 0, 0]]]))
    targets = assigner(background_as_zeros=background_as_zeros)(ANCHORS, boxes, num_classes=3)
    nothing = [0 if background_as_zeros else 1, 0, 0, 0]
    np.testing.assert_array_equal(targets.classes, [[[0, 0, 1, 1], nothing, nothing, [0, 1, 0, 0]]])
