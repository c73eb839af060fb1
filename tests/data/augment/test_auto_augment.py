"""AutoAugment's operations against PIL and numpy; what its policies make of whole samples."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from detection.data.augment import affine, auto_augment, pixel_ops
from detection.data.augment.policies import POLICIES
from detection.data.augment.within_boxes import cutout_of_a_box, within_boxes
from detection.data.sample import Sample, SampleProposals

SEED = tf.constant([3, 4], tf.int64)
PICTURE = np.clip(np.random.default_rng(0).normal(90, 40, [37, 52, 3]), 5, 250).astype(np.uint8)


def sample_of(image: np.ndarray, boxes: list, proposals: bool = False) -> Sample:
    boxes, count = tf.constant(boxes, tf.float32, [len(boxes), 4]), len(boxes)
    flags, ones = tf.zeros([count], tf.bool), tf.ones([count])
    given = SampleProposals(boxes, ones) if proposals else ()
    return Sample(tf.constant(image), boxes, tf.zeros([count], tf.int32), ones, flags, flags, ones, given)


def smoothed(image: Image.Image) -> Image.Image:
    return image.filter(ImageFilter.SMOOTH)


@pytest.mark.parametrize(
    ("ours", "theirs", "tolerance"),
    [
        (pixel_ops.equalize, ImageOps.equalize, 0),
        (pixel_ops.autocontrast, ImageOps.autocontrast, 1),
        (lambda x: pixel_ops.posterize(x, tf.constant(3.0)), lambda x: ImageOps.posterize(x, 3), 0),
        (lambda x: pixel_ops.posterize(x, tf.constant(0.0)), lambda x: ImageOps.posterize(x, 1), 0),
        (lambda x: pixel_ops.solarize(x, tf.constant(100.0)), lambda x: ImageOps.solarize(x, 100), 0),
        *(
            (lambda x, f=f, o=ours: o(x, tf.constant(f)), lambda x, f=f, t=theirs: t(x).enhance(f), 1)
            for f in (0.3, 1.7)
            for ours, theirs in (
                (pixel_ops.brightness, ImageEnhance.Brightness),
                (pixel_ops.color, ImageEnhance.Color),
                (pixel_ops.contrast, ImageEnhance.Contrast),
                (pixel_ops.sharpness, ImageEnhance.Sharpness),
            )
        ),
    ],
)
def test_pixels_are_those_of_pil(ours, theirs, tolerance) -> None:
    expected = np.asarray(theirs(Image.fromarray(PICTURE)), np.int32)
    found = ours(tf.constant(PICTURE))
    assert found.dtype == tf.uint8 and found.shape == PICTURE.shape
    assert abs(found.numpy().astype(np.int32) - expected).max() <= tolerance


def test_pixels_by_hand() -> None:
    low = PICTURE < 128
    expected = np.where(low, np.minimum(PICTURE.astype(int) + 66, 255), PICTURE)
    np.testing.assert_array_equal(pixel_ops.solarize_add(tf.constant(PICTURE), tf.constant(66.0)), expected)
    flat = tf.fill([4, 5, 3], tf.constant(77, tf.uint8))
    assert (pixel_ops.autocontrast(flat).numpy() == 77).all() and (pixel_ops.equalize(flat).numpy() == 77).all()
    grey = (pixel_ops.cutout(tf.constant(PICTURE * 0), SEED, tf.constant(6.0)).numpy() == pixel_ops.FILL).all(axis=2)
    rows, columns = np.flatnonzero(grey.any(axis=1)), np.flatnonzero(grey.any(axis=0))
    assert 0 < len(rows) <= 12 and 0 < len(columns) <= 12 and grey.sum() == len(rows) * len(columns)


@pytest.mark.parametrize(
    ("move", "source"),
    [
        (lambda s: affine.translate_x(s, tf.constant(7.0)), lambda y, x: (y, x + 7)),
        (lambda s: affine.translate_y(s, tf.constant(-5.0)), lambda y, x: (y - 5, x)),
        (lambda s: affine.shear_x(s, tf.constant(0.31)), lambda y, x: (y, x + 0.31 * y)),
        (lambda s: affine.shear_y(s, tf.constant(-0.21)), lambda y, x: (y - 0.21 * x, x)),
        (
            lambda s: affine.rotate(s, tf.constant(30.0)),  # counterclockwise, y going down
            lambda y, x: (
                18.5 + np.sin(np.pi / 6) * (x - 26) + np.cos(np.pi / 6) * (y - 18.5),
                26 + np.cos(np.pi / 6) * (x - 26) - np.sin(np.pi / 6) * (y - 18.5),
            ),
        ),
    ],
)
def test_moves_take_boxes_along(move, source) -> None:
    """Each pixel shows what was at its source, given for the middle of pixels; the box is around what was in it."""
    image = np.zeros_like(PICTURE)
    image[12:21, 16:34] = 255
    box = [12 / 37, 16 / 52, 21 / 37, 34 / 52]
    moved = move(sample_of(image, [box, [0, 0, 1, 1]], proposals=True))
    y, x = np.meshgrid(np.arange(37) + 0.5, np.arange(52) + 0.5, indexing="ij")
    from_y, from_x = (np.floor(each).astype(int) for each in source(y, x))
    known = (from_y >= 0) & (from_y < 37) & (from_x >= 0) & (from_x < 52)
    expected = np.where(known[..., None], image[from_y.clip(0, 36), from_x.clip(0, 51)], pixel_ops.FILL)
    assert (moved.image.numpy() != expected).any(axis=2).mean() < 0.01  # places on the edge of two pixels
    white = (moved.image.numpy() == 255).all(axis=2)
    rows, columns = np.flatnonzero(white.any(axis=1)), np.flatnonzero(white.any(axis=0))
    around = np.array([rows[0], columns[0], rows[-1] + 1, columns[-1] + 1])
    found = moved.boxes.numpy() * [37, 52, 37, 52]
    np.testing.assert_allclose(found[0], around, atol=1.01)
    assert (found[1] >= 0).all() and (found[1] <= [37, 52, 37, 52]).all()
    np.testing.assert_array_equal(moved.proposals.boxes, moved.boxes)


def test_a_box_that_leaves_the_image_has_no_area() -> None:
    moved = affine.translate_x(sample_of(PICTURE, [[0.1, 0.1, 0.5, 0.3]]), tf.constant(40.0))
    assert moved.boxes[0, 1] == moved.boxes[0, 3] == 0


def test_what_is_in_boxes_changes_and_boxes_do_not() -> None:
    def flip(part: Sample, seed: tf.Tensor) -> Sample:
        return part._replace(image=tf.reverse(part.image, [1]))

    sample = sample_of(PICTURE, [[10 / 37, 5 / 52, 20.5 / 37, 30.5 / 52], [0.99, 0.99, 1, 1]])
    found = within_boxes(sample, SEED, tf.constant(1.0), flip)
    expected = PICTURE.copy()
    expected[10:21, 5:31] = expected[10:21, 5:31][:, ::-1]
    np.testing.assert_array_equal(found.image, expected)
    np.testing.assert_array_equal(found.boxes, sample.boxes)
    assert (within_boxes(sample, SEED, tf.constant(0.0), flip).image.numpy() == PICTURE).all()
    cut = cutout_of_a_box(sample_of(PICTURE * 0, [[10 / 37, 5 / 52, 20.5 / 37, 30.5 / 52]]), SEED, tf.constant(0.75))
    grey = np.argwhere((cut.image.numpy() == pixel_ops.FILL).all(axis=2))
    assert 0 < len(grey) <= 8 * 18 and (grey.min(0) >= [10 - 4, 5 - 9]).all() and (grey.max(0) < [21 + 4, 31 + 9]).all()
    empty = sample_of(PICTURE, [])
    assert (cutout_of_a_box(empty, SEED, tf.constant(0.75)).image.numpy() == PICTURE).all()
    assert (within_boxes(empty, SEED, tf.constant(1.0), flip).image.numpy() == PICTURE).all()


def test_the_test_policy_by_hand() -> None:
    """100 pixels to one side, then equalised."""
    image = np.random.default_rng(1).integers(0, 200, [30, 130, 3], dtype=np.uint8)
    found = auto_augment.autoaugment_image(sample_of(image.astype(np.float32), [[0, 0, 1, 1]]), SEED, "test")
    left = np.full_like(image, pixel_ops.FILL)
    left[:, :30] = image[:, 100:]
    right = np.full_like(image, pixel_ops.FILL)
    right[:, 100:] = image[:, :30]
    made = [np.asarray(ImageOps.equalize(Image.fromarray(each))) for each in (left, right)]
    assert any((found.image.numpy() == each).all() for each in made)
    sides = (found.boxes.numpy()[0] * 130).round(3).tolist()
    assert sides[1::2] in ([0, 30], [100, 130])


@pytest.mark.parametrize("name", ["v1", "v2", "v3"])
def test_every_operation_of_a_policy_is_known_and_runs(name: str) -> None:
    known = {**auto_augment._OPERATIONS, **auto_augment._OF_BOXES}
    assert {each[0] for row in POLICIES[name] for each in row} <= set(known)
    sample = sample_of(PICTURE, [[0.2, 0.2, 0.6, 0.7], [0.5, 0.1, 0.9, 0.4]], proposals=True)
    changed = 0
    for number in range(6):
        seed = tf.constant([number, 1], tf.int64)
        found = auto_augment.autoaugment_image(sample, seed, name)
        again = auto_augment.autoaugment_image(sample, seed, name)
        assert found.image.shape == PICTURE.shape and found.image.dtype == tf.uint8
        assert (found.image.numpy() == again.image.numpy()).all() and (found.boxes.numpy() == again.boxes.numpy()).all()
        assert (found.boxes.numpy() >= 0).all() and (found.boxes.numpy() <= 1).all() and len(found.boxes) == 2
        changed += (found.image.numpy() != PICTURE).any()
    assert changed
