"""Boxes and pixels always move together.

Up to three boxes are painted, each into a colour channel of its own, so that overlaps hide nothing. After every
operation the box of a channel must bound what is left of its paint, and a box may only be missing if too little of it
is left. Every box is a proposal as well; a proposal may only be missing if nothing of it is left.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from detection.data.augment import crop, flip, pad, rows, scale
from detection.data.sample import Sample, SampleProposals

GRAY = (9.0, 9.0, 9.0)  # the mean of an image may be as bright as paint
# name -> (operation, smallest visible part of a box that may not be lost, tolerance in pixels: resampling blurs edges)
OPERATIONS = {
    "random_horizontal_flip": (flip.random_horizontal_flip, 0, 0),
    "random_vertical_flip": (flip.random_vertical_flip, 0, 0),
    "random_rotation90": (flip.random_rotation90, 0, 0),
    "random_crop_image": (partial(crop.random_crop_image, settings=crop.Crop(min_object_covered=0.3)), 0.3, 0),
    "ssd_random_crop": (crop.ssd_random_crop, 1, 0),
    "ssd_random_crop, mixed": (
        partial(crop.ssd_random_crop, crops=(crop.Crop(overlap_thresh=1.0), crop.Crop(area_range=(0.5, 1.0)))),
        1,
        0,
    ),
    "random_crop_to_aspect_ratio": (crop.random_crop_to_aspect_ratio, 0.3, 0),
    "random_square_crop_by_scale": (partial(crop.random_square_crop_by_scale, max_border=16), 0, 0),
    "random_pad_image": (partial(pad.random_pad_image, pad_color=GRAY), 0, 0),
    "random_pad_image, sizes": (
        partial(pad.random_pad_image, min_image_size=(40, 50), max_image_size=(70, 60), pad_color=(0.0, 9.0, 9.0)),
        0,
        0,
    ),
    "random_absolute_pad_image": (
        partial(pad.random_absolute_pad_image, max_height_padding=9, max_width_padding=5, pad_color=(1.0,) * 3),
        0,
        0,
    ),
    "random_crop_pad_image": (
        partial(pad.random_crop_pad_image, settings=pad.CropPad(crop.Crop(0.2), pad_color=GRAY)),
        0.3,
        0,
    ),
    "ssd_random_crop_pad": (
        partial(pad.ssd_random_crop_pad, operations=tuple(pad.CropPad(c, pad_color=GRAY) for c in crop.SSD_CROPS)),
        1,
        0,
    ),
    "ssd_random_crop_pad, mixed": (
        partial(
            pad.ssd_random_crop_pad,
            operations=(
                pad.CropPad(crop.SSD_CROPS[6], pad_color=GRAY),
                pad.CropPad(crop.Crop(0.5), (1, 2), (3, 2), (0, 0, 0)),
            ),
        ),
        1,
        0,
    ),
    "random_pad_to_aspect_ratio": (pad.random_pad_to_aspect_ratio, 0, 0),
    "ssd_random_crop_fixed_aspect_ratio": (pad.ssd_random_crop_fixed_aspect_ratio, 1, 0),
    "ssd_random_crop_pad_fixed_aspect_ratio": (pad.ssd_random_crop_pad_fixed_aspect_ratio, 1, 0),
    "random_image_scale": (scale.random_image_scale, 0, 2),
    "resize_image": (partial(scale.resize_image, new_height=45, new_width=30), 0, 2),
    "random_resize_method": (partial(scale.random_resize_method, target_height=45, target_width=30), 0, 2),
    "random_downscale": (
        partial(scale.random_downscale_to_target_pixels, min_target_pixels=500, max_target_pixels=900),
        0,
        2,
    ),
    "random_scale_crop_and_pad_to_square": (
        partial(scale.random_scale_crop_and_pad_to_square, output_size=40, scale_min=0.5),
        0,
        3,
    ),
}


@st.composite
def pictures(draw) -> tuple[int, int, list[tuple[int, int, int, int]]]:
    """Height, width, and up to three boxes on whole pixels."""
    height, width = draw(st.integers(12, 40)), draw(st.integers(12, 40))
    boxes = []
    for _ in range(draw(st.integers(0, 3))):
        top, left = draw(st.integers(0, height - 4)), draw(st.integers(0, width - 4))
        boxes.append((top, left, draw(st.integers(top + 4, height)), draw(st.integers(left + 4, width))))
    return height, width, boxes


def painted(height: int, width: int, boxes: np.ndarray) -> Sample:
    """Box number i is painted in channel i and has class i; so has the proposal with score 1 / (1 + i)."""
    image, count = np.zeros([height, width, 3], np.uint8), len(boxes)
    for channel, (top, left, bottom, right) in enumerate(boxes.astype(int)):
        image[top:bottom, left:right, channel] = 255
    normalised = tf.constant(boxes / np.array([height, width] * 2, np.float32))
    return Sample(
        image=tf.constant(image),
        boxes=normalised,
        classes=tf.range(count),
        weights=tf.cast(tf.range(count), tf.float32),
        is_crowd=tf.range(count) == 1,
        difficult=tf.range(count) == 2,
        areas=tf.cast(tf.range(count), tf.float32) * 10,
        proposals=SampleProposals(normalised, 1.0 / (1.0 + tf.range(count, dtype=tf.float32))),
    )


def seed_of(number: int) -> tf.Tensor:
    return tf.constant([number, 5], tf.int64)


@pytest.mark.parametrize("name", OPERATIONS)
@settings(max_examples=12, deadline=None, derandomize=True)
@given(pictures(), st.integers(0, 2**40))
def test_boxes_bound_their_paint(name, picture, number):
    operation, may_be_lost_below, tolerance = OPERATIONS[name]
    height, width, corners = picture
    before = np.array(corners, np.float32).reshape(-1, 4)
    after = operation(painted(height, width, before), seed_of(number))
    image = after.image.numpy()
    boxes = after.boxes.numpy() * np.array(image.shape[:2] * 2, np.float32)
    assert image.ndim == 3 and image.shape[2] == 3 and min(image.shape[:2]) >= 1
    assert image.min() >= -100 and image.max() <= 355  # bicubic overshoots
    assert (
        boxes.shape == (len(after.classes), 4)
        and np.all(boxes >= -1e-3)
        and np.all(boxes <= np.array(image.shape[:2] * 2) + 1e-3)
    )
    for row, channel in enumerate(after.classes.numpy()):  # the other fields stay with their box
        assert after.weights[row] == channel and after.areas[row] == 10 * channel
        assert after.is_crowd[row] == (channel == 1) and after.difficult[row] == (channel == 2)
    border = 0 if not tolerance else 60
    for channel in range(len(before)):
        paint = np.argwhere(image[..., channel] > (127 if tolerance else 254))
        row = np.flatnonzero(after.classes.numpy() == channel)
        if len(row):
            if len(paint):
                bound = [*paint.min(0), *(paint.max(0) + 1)]
                np.testing.assert_allclose(boxes[row[0]], bound, atol=tolerance + 1e-3)
            else:
                assert border and np.min(boxes[row[0], 2:] - boxes[row[0], :2]) < 2 * tolerance
        elif len(paint) and not tolerance:
            whole = np.prod(before[channel, 2:] - before[channel, :2])
            assert len(paint) / whole < may_be_lost_below + 1e-6
        _check_proposal(after.proposals, channel, paint, image.shape[:2], tolerance)


def _check_proposal(
    proposals: SampleProposals, channel: int, paint: np.ndarray, shape: tuple[int, int], tolerance: float
) -> None:
    """The proposal of a channel bounds its paint; where resampling blurs, one of a sliver may be there or not."""
    scores = proposals.scores.numpy()
    assert len(scores) == len(proposals.boxes) and np.all(np.diff(scores) < 0)
    row = np.flatnonzero(np.isclose(scores, 1 / (1 + channel)))
    if not (len(paint) and len(row)):
        assert len(paint) == len(row) or (tolerance and (len(row) or np.ptp(paint, axis=0).min() < tolerance))
        return
    box = proposals.boxes.numpy()[row[0]] * np.array(shape * 2, np.float32)
    np.testing.assert_allclose(box, [*paint.min(0), *(paint.max(0) + 1)], atol=tolerance + 1e-3)


def test_flips_turn_exactly():
    image = tf.reshape(tf.range(24, dtype=tf.int32), [2, 4, 3])
    sample = Sample(tf.cast(image, tf.uint8), tf.constant([[0.0, 0.25, 0.5, 0.5]]), *[tf.zeros([1])] * 5)
    sideways = flip.random_horizontal_flip(sample, seed_of(0), 1.0)
    np.testing.assert_array_equal(sideways.image, image[:, ::-1])
    np.testing.assert_allclose(sideways.boxes, [[0, 0.5, 0.5, 0.75]])
    upside_down = flip.random_vertical_flip(sample, seed_of(0), 1.0)
    np.testing.assert_array_equal(upside_down.image, image[::-1])
    np.testing.assert_allclose(upside_down.boxes, [[0.5, 0.25, 1, 0.5]])
    turned = flip.random_rotation90(sample, seed_of(0), 1.0)
    np.testing.assert_array_equal(turned.image, np.rot90(image))
    np.testing.assert_allclose(turned.boxes, [[0.5, 0, 0.75, 0.5]])
    assert flip.random_horizontal_flip(sample, seed_of(0), 0.0) is sample


def test_probabilities_hold():
    sample = Sample(tf.constant([[[1, 1, 1], [2, 2, 2]]], tf.uint8), tf.zeros([0, 4]), *[tf.zeros([0])] * 5)
    seeds = tf.stack([tf.range(500, dtype=tf.int64)] * 2, 1)
    flips = tf.map_fn(lambda seed: flip.random_horizontal_flip(sample, seed, 0.3).image[0, 0, 0] == 2, seeds, tf.bool)
    assert 0.22 < np.mean(flips) < 0.38


def test_self_concat_doubles_boxes():
    sample = Sample(tf.ones([2, 4, 3]), tf.constant([[0.0, 0.25, 0.5, 0.5]]), tf.constant([3]), *[tf.ones([1])] * 4)
    both = rows.random_self_concat_image(sample, seed_of(0), 1.0, 1.0)
    assert both.image.shape == (4, 8, 3) and both.classes.numpy().tolist() == [3] * 4 and both.proposals == ()
    np.testing.assert_allclose(both.boxes[3], [0.5, 0.625, 0.75, 0.75])


def test_self_concat_keeps_proposals_sorted():
    proposals = SampleProposals(tf.constant([[0.0, 0.25, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0]]), tf.constant([0.9, 0.1]))
    sample = Sample(tf.ones([2, 4, 3]), proposals.boxes, tf.constant([3, 4]), *[tf.ones([2])] * 4, proposals)
    both = rows.random_self_concat_image(sample, seed_of(0), 1.0, 1.0)
    np.testing.assert_allclose(both.proposals.scores, [0.9] * 4 + [0.1] * 4)
    np.testing.assert_allclose(both.proposals.boxes, both.boxes)
    assert both.classes.numpy().tolist() == [3] * 4 + [4] * 4


def test_pads_take_the_mean_colour():
    sample = Sample(
        tf.constant([[[10, 20, 30], [30, 40, 50]]], tf.uint8), tf.constant([[0.0, 0.0, 1.0, 0.5]]), *[tf.ones([1])] * 5
    )
    padded = pad.random_pad_image(sample, seed_of(1), (4, 6), (4, 6))
    assert padded.image.shape == (4, 6, 3)
    colors = np.unique(np.round(padded.image.numpy(), 3).reshape(-1, 3), axis=0)
    np.testing.assert_allclose(colors, [[10, 20, 30], [20, 30, 40], [30, 40, 50]])
