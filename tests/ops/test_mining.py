"""Hard example mining against its definition in numpy, its rules by hand, gradients, and the reference."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st

from detection.ops import boxes as box_ops
from detection.ops.mining import HardExampleMiner


def naive(miner, loc, cls, boxes, matches):
    """bool [A], the definition for one image."""
    both = miner.classification_weight * cls + miner.localization_weight * loc
    losses = {"classification": cls, "localization": loc, "both": both}[miner.loss_type]
    overlaps = box_ops.iou(boxes, boxes).numpy()
    kept = []
    for anchor in np.argsort(-losses, kind="stable"):
        if (overlaps[anchor, kept] <= miner.iou_threshold).all():
            kept.append(anchor)
    kept = kept[: miner.num_hard_examples or None]
    if miner.max_negatives_per_positive > 0:
        positives = [anchor for anchor in kept if matches[anchor] >= 0]
        most = max(miner.min_negatives_per_image, int(miner.max_negatives_per_positive * len(positives)))
        refused = [rank for rank, anchor in enumerate(kept) if matches[anchor] == -1][most:]
        kept = positives + kept[: refused[0] if refused else None]  # ignored ones (-2) use up none of the negatives
    mask = np.zeros(len(losses), bool)
    mask[kept] = True
    return mask


def case(seed, batch=3, anchors=60, positives=4, crowding=1.0):
    """Losses, boxes (the more crowded the more they suppress each other) and matches."""
    rng = np.random.default_rng(seed)
    centre, size = rng.uniform(0, 100 / crowding, (batch, anchors, 2)), rng.uniform(20, 24, (batch, anchors, 2))
    boxes = np.concatenate([centre - size / 2, centre + size / 2], -1)
    matches = rng.choice([-1, -1, -1, -2], (batch, anchors))
    for row in matches[1:]:  # the first image has no positives
        row[rng.choice(anchors, positives, replace=False)] = 0
    loc = np.where(matches >= 0, rng.exponential(size=(batch, anchors)), 0)
    cls = rng.exponential(size=(batch, anchors))
    return tuple(
        tf.constant(value, dtype)
        for value, dtype in ((loc, tf.float32), (cls, tf.float32), (boxes, tf.float32), (matches, tf.int32))
    )


def check(miner, arguments):
    expected = np.array(
        [naive(miner, *(value[image].numpy() for value in arguments)) for image in range(arguments[0].shape[0])]
    )
    np.testing.assert_array_equal(miner.select(*arguments), expected)
    sums = miner(*arguments)
    np.testing.assert_allclose(sums, [(loss.numpy() * expected).sum() for loss in arguments[:2]], rtol=1e-5, atol=1e-6)


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 10**6),
    st.sampled_from([1.0, 4.0, 50.0]),
    st.sampled_from([0, 5, 64, 3000]),
    st.sampled_from([0.3, 0.7, 0.99]),
    st.sampled_from(["both", "classification", "localization"]),
    st.sampled_from([0, 1, 3]),
    st.sampled_from([0, 10]),
)
@example(20070, 1.0, 0, 0.3, "both", 1, 10)  # the first refused negative lies behind what the first look suppresses
def test_equals_the_definition(seed, crowding, num, iou_threshold, loss_type, ratio, least):
    check(HardExampleMiner(num, iou_threshold, loss_type, ratio, least, 1.0, 0.5), case(seed, crowding=crowding))


def test_falls_back_to_full_suppression():
    """The hardest 200 negatives lie on one spot, so the ratio rule has to look far beyond the first ranks."""
    loc, cls, boxes, matches = (value.numpy() for value in case(7, batch=2, anchors=400, positives=10))
    matches[:, :200], cls[:, :200] = -1, 10 + cls[:, :200]
    boxes[:, :200] = boxes[:, :1]
    check(HardExampleMiner(0, 0.9, "classification", 3, 0), tuple(map(tf.constant, (loc, cls, boxes, matches))))


def test_ratio_rule_by_hand():
    """Far-apart boxes. One positive that loses little: it stays, with the two hardest negatives and the ignored anchor
    that ranks before them."""
    boxes = tf.constant([[[i * 20.0, 0, i * 20 + 10, 10] for i in range(6)]])
    cls, matches = tf.constant([[0.1, 5.0, 4.0, 3.0, 9.0, 2.0]]), tf.constant([[3, -1, -1, -1, -2, -1]])
    miner = HardExampleMiner(0, 0.5, "classification", 2, 0)
    np.testing.assert_array_equal(
        miner.select(tf.zeros_like(cls), cls, boxes, matches), [[True, True, True, False, True, False]]
    )
    least = dataclasses.replace(miner, min_negatives_per_image=3)
    np.testing.assert_array_equal(
        least.select(tf.zeros_like(cls), cls, boxes, matches), [[True, True, True, True, True, False]]
    )
    no_rule = dataclasses.replace(miner, max_negatives_per_positive=0, num_hard_examples=2)
    np.testing.assert_array_equal(
        no_rule.select(tf.zeros_like(cls), cls, boxes, matches), [[False, True, False, False, True, False]]
    )


@pytest.mark.parametrize(
    ("loss_of_ignored", "stays"),
    [(9.0, True), (4.5, True), (3.5, True), (2.5, False)],
    ids=["hardest", "among the admitted", "after the last admitted", "after the first refused"],
)
def test_ignored_anchors_are_kept_up_to_the_first_excluded_negative(loss_of_ignored, stays):
    """Reference: positives, or a running count of negatives that does not exceed what is admitted; ignored anchors do
    not raise the count."""
    boxes = tf.constant([[[i * 20.0, 0, i * 20 + 10, 10] for i in range(5)]])
    cls, matches = tf.constant([[0.1, 5.0, 4.0, 3.0, loss_of_ignored]]), tf.constant([[0, -1, -1, -1, -2]])
    miner = HardExampleMiner(0, 0.5, "classification", 2, 0)
    np.testing.assert_array_equal(
        miner.select(tf.zeros_like(cls), cls, boxes, matches), [[True, True, True, False, stays]]
    )
    none_admitted = miner.select(tf.zeros_like(cls), cls, boxes, tf.constant([[-1, -1, -1, -1, -2]]))
    np.testing.assert_array_equal(none_admitted, [[False, False, False, False, loss_of_ignored == 9.0]])


def test_weights_affect_the_ranking_only():
    boxes = tf.constant([[[i * 20.0, 0, i * 20 + 10, 10] for i in range(2)]])
    loc, cls = tf.constant([[1.0, 0.0]]), tf.constant([[0.0, 3.0]])
    one = HardExampleMiner(num_hard_examples=1, localization_weight=4.0)
    np.testing.assert_array_equal(one(loc, cls, boxes, tf.constant([[0, -1]])), [1.0, 0.0])
    other = HardExampleMiner(num_hard_examples=1, localization_weight=2.0)
    np.testing.assert_array_equal(other(loc, cls, boxes, tf.constant([[0, -1]])), [0.0, 3.0])


def test_gradient_reaches_kept_losses_and_nothing_else():
    loc, cls, boxes, matches = case(2)
    miner = HardExampleMiner(0, 0.7, "both", 3, 1)
    with tf.GradientTape() as tape:
        tape.watch([loc, cls, boxes])
        total = tf.add_n(miner(loc, cls, boxes, matches))
    loc_gradient, cls_gradient, box_gradient = tape.gradient(total, [loc, cls, boxes])
    kept = miner.select(loc, cls, boxes, matches).numpy().astype(np.float32)
    np.testing.assert_array_equal(loc_gradient, kept)
    np.testing.assert_array_equal(cls_gradient, kept)
    assert box_gradient is None


def test_nan_losses_are_not_hidden():
    loc, cls, boxes, matches = case(2)
    cls = tf.tensor_scatter_nd_update(cls, [[1, 5]], [float("nan")])
    matches = tf.tensor_scatter_nd_update(matches, [[1, 5]], [0])
    assert np.isnan(HardExampleMiner(0, 0.99, "classification", 3)(loc, cls, boxes, matches)[1])


@pytest.mark.parametrize("ratio", [0, 3])
def test_traces_with_unknown_batch_and_anchors(ratio):
    miner = HardExampleMiner(3000, 0.99, "classification", ratio)
    unknown = [
        tf.TensorSpec([None, None]),
        tf.TensorSpec([None, None]),
        tf.TensorSpec([None, None, 4]),
        tf.TensorSpec([None, None], tf.int32),
    ]
    traced = tf.function(miner.__call__, input_signature=unknown)
    for seed, size in ((0, 30), (1, 90)):
        arguments = case(seed, batch=seed + 2, anchors=size)
        np.testing.assert_allclose(traced(*arguments), miner(*arguments), rtol=1e-6)


def test_equals_the_reference(shared):
    units = {
        key.split(".", 1)[1]: value
        for key, value in np.load(shared / "parity" / "units.npz").items()
        if key.startswith("hard_example")
    }
    miner = HardExampleMiner(30, 0.99, "classification", 3, 0)
    loc, cls = miner(
        *(tf.constant(units[f"in.{key}"]) for key in ("location_losses", "cls_losses", "boxes", "match_results"))
    )
    np.testing.assert_allclose(loc, units["out.location_loss"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(cls, units["out.cls_loss"], rtol=1e-5, atol=1e-6)
