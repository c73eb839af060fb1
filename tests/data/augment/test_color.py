"""Colour operations: ranges, strengths, order, and equality with TensorFlow's own on the 0 to 1 scale."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import tensorflow as tf

from detection.data.augment import color, patches, rows, scale
from detection.data.sample import Sample


def sample_of(image) -> Sample:
    return Sample(
        tf.convert_to_tensor(image),
        tf.constant([[0.2, 0.2, 0.6, 0.8], [0.0, 0.0, 0.5, 0.5]]),
        tf.constant([0, 2]),
        *[tf.ones([2])] * 4,
    )


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, [24, 32, 3], dtype=np.uint8)


def seed_of(number):
    return tf.constant([number, 3], tf.int64)


OPERATIONS = {
    "brightness": color.random_adjust_brightness,
    "contrast": color.random_adjust_contrast,
    "hue": color.random_adjust_hue,
    "saturation": color.random_adjust_saturation,
    "distort 0": color.random_distort_color,
    "distort 1": partial(color.random_distort_color, color_ordering=1),
    "pixel value scale": color.random_pixel_value_scale,
    "gray": partial(color.random_rgb_to_gray, probability=0.5),
    "gamma": partial(color.adjust_gamma, gamma=2.0),
    "black patches": patches.random_black_patches,
    "patch gaussian": partial(patches.random_patch_gaussian, max_patch_size=10),
    "jpeg quality": partial(scale.random_jpeg_quality, min_jpeg_quality=10),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_in_range_repeatable_and_boxes_stay(image, name):
    operation, results = OPERATIONS[name], []
    for number in range(8):
        after = operation(sample_of(image), seed_of(number))
        again = operation(sample_of(image), seed_of(number))
        assert after.image.shape == image.shape
        assert after.image.numpy().min() >= 0 and after.image.numpy().max() <= 255
        np.testing.assert_array_equal(after.image, again.image)
        np.testing.assert_array_equal(after.boxes, sample_of(image).boxes)
        results.append(after.image.numpy().astype(np.float32).tobytes())
    assert name == "gamma" or len(set(results)) > 1


def test_brightness_is_a_fraction_of_the_range():
    flat = tf.fill([2, 2, 3], 100.0)
    moved = [color.random_adjust_brightness(sample_of(flat), seed_of(n), 0.2).image.numpy() for n in range(200)]
    shifts = np.array([m[0, 0, 0] - 100 for m in moved])
    assert all(np.ptp(m) < 1e-3 for m in moved)
    assert 45 < shifts.max() <= 51 and -51 <= shifts.min() < -45


def test_contrast_and_saturation_factors():
    image = tf.constant([[[90.0, 90, 90], [110, 110, 110]]])
    spread = [
        np.ptp(color.random_adjust_contrast(sample_of(image), seed_of(n), 0.5, 1.5).image.numpy()) for n in range(200)
    ]
    assert 10 <= min(spread) < 11.5 and 28.5 < max(spread) <= 30.01
    red = tf.constant([[[200.0, 100, 100]]])
    floor = [
        color.random_adjust_saturation(sample_of(red), seed_of(n), 0.5, 1.5).image.numpy()[0, 0, 1] for n in range(200)
    ]
    assert 49 <= min(floor) < 55 and 145 < max(floor) <= 151


def test_hue_turns_little():
    red = tf.constant([[[255.0, 0, 0]]])
    other = [color.random_adjust_hue(sample_of(red), seed_of(n), 0.02).image.numpy()[0, 0] for n in range(100)]
    assert (
        all(o[0] == 255 and max(o[1:]) <= 255 * 6 * 0.02 + 0.1 for o in other) and max(max(o[1:]) for o in other) > 20
    )


def test_distort_color_orders(image):
    """The two orders apply the same draws, contrast last or second."""
    seed = seed_of(4)
    brightness, contrast, saturation, hue = tf.unstack(tf.random.split(seed, 4), num=4)
    by_hand = color.random_adjust_brightness(sample_of(image), brightness, 32 / 255)
    first = color.random_adjust_contrast(
        color.random_adjust_hue(color.random_adjust_saturation(by_hand, saturation, 0.5, 1.5), hue, 0.2),
        contrast,
        0.5,
        1.5,
    )
    second = color.random_adjust_hue(
        color.random_adjust_saturation(color.random_adjust_contrast(by_hand, contrast, 0.5, 1.5), saturation, 0.5, 1.5),
        hue,
        0.2,
    )
    np.testing.assert_allclose(color.random_distort_color(sample_of(image), seed, 0).image, first.image)
    np.testing.assert_allclose(color.random_distort_color(sample_of(image), seed, 1).image, second.image)
    assert not np.allclose(first.image, second.image)


def test_pixel_value_scale_is_noise(image):
    factors = (
        color.random_pixel_value_scale(sample_of(tf.fill([50, 50, 3], 100.0)), seed_of(0), 0.9, 1.1).image.numpy() / 100
    )
    assert 0.9 <= factors.min() < 0.91 and 1.09 < factors.max() <= 1.1 and np.std(factors) > 0.05


def test_deterministic_ones(image):
    normalized = color.normalize_image(sample_of(image), target_minval=-1.0, target_maxval=1.0).image
    np.testing.assert_allclose(normalized, image / 127.5 - 1, atol=1e-5)
    centred = color.subtract_channel_mean(sample_of(image), means=(1.0, 2.0, 3.0)).image
    np.testing.assert_allclose(centred, image - np.array([1.0, 2.0, 3.0]))
    gray = color.rgb_to_gray(sample_of(image)).image.numpy()
    assert gray.shape == image.shape and np.ptp(gray, axis=2).max() == 0
    np.testing.assert_allclose(
        color.adjust_gamma(sample_of(image), gamma=2.0).image, (image / 255) ** 2 * 255, rtol=1e-4, atol=1e-3
    )


def test_black_patches_hide_squares():
    white = sample_of(tf.fill([40, 60, 3], tf.constant(255, tf.uint8)))
    for number in range(20):
        hidden = patches.random_black_patches(white, seed_of(number), 1, 1.0, 0.2).image.numpy()[..., 0] == 0
        at = np.argwhere(hidden)
        assert hidden.sum() == 64 and np.all(at.max(0) - at.min(0) == 7)
    assert patches.random_black_patches(white, seed_of(1), 5, 0.0, 0.2).image.numpy().min() == 255


def test_noise_stays_in_its_square():
    gray = sample_of(tf.fill([40, 60, 3], 128.0))
    changed = patches.random_patch_gaussian(gray, seed_of(2), 0.0, 8, 8, 0.1, 0.1).image.numpy() != 128
    at = np.argwhere(changed.any(2))
    assert len(at) and np.all(at.max(0) - at.min(0) <= 7)
    untouched = patches.random_patch_gaussian(gray, seed_of(2), random_coef=1.0)
    assert np.all(untouched.image == 128)


@pytest.mark.parametrize("mode", rows.Jitter)
def test_jitter_modes(mode):
    sample = sample_of(tf.zeros([4, 4, 3]))._replace(boxes=tf.constant([[0.3, 0.4, 0.5, 0.6]] * 50))
    moved = rows.random_jitter_boxes(sample, seed_of(0), 0.1, mode).boxes.numpy() - sample.boxes.numpy()
    assert np.abs(moved).max() <= 0.02 + 1e-6 and np.abs(moved).max() > 0.015
    outward = moved * [-1, -1, 1, 1]
    if mode is not rows.Jitter.DEFAULT:
        assert np.all(outward >= -1e-7) if mode.name.startswith("EXPAND") else np.all(outward <= 1e-7)
    if "SYMMETRIC" in mode.name:
        np.testing.assert_allclose(outward[:, :2], outward[:, 2:], atol=1e-6)
    if mode.name.endswith("XY"):
        np.testing.assert_allclose(outward[:, 0], outward[:, 1], atol=1e-6)


AT_EDGES = [
    [0.0, 0.4, 0.2, 0.8],
    [0.01, 0.4, 0.21, 0.8],
    [0.5, 0.6, 1.0, 0.9],
    [0.3, 0.05, 0.5, 0.99],
    [0.0, 0.0, 1.0, 1.0],
    [0.2, 0.5, 0.2, 0.7],
]


@pytest.mark.parametrize("mode", rows.Jitter)
def test_jitter_at_the_edge_of_the_image(mode):
    """By hand: the drawn moves, clipped side by side; the symmetric ways bound a move by the room on either side, the
    XY ones by the least."""
    sample = sample_of(tf.zeros([4, 4, 3]))._replace(boxes=tf.constant(AT_EDGES * 20))
    boxes, ratio = sample.boxes.numpy(), 0.3
    moved = rows.random_jitter_boxes(sample, seed_of(1), ratio, mode).boxes.numpy()
    numbers = 1 if mode.name.endswith("XY") else 2 if "SYMMETRIC" in mode.name else 4
    drawn = tf.random.stateless_uniform([len(boxes), numbers], seed_of(1), -ratio, ratio).numpy()
    for before, after, numbers_of in zip(boxes, moved, drawn, strict=True):
        sides = np.array([before[2] - before[0], before[3] - before[1]])
        if mode is rows.Jitter.DEFAULT:
            expected = np.clip(before + numbers_of * np.tile(sides, 2), 0, 1)
        else:
            grow = np.abs(numbers_of) * (1 if mode.name.startswith("EXPAND") else -1)
            grow = np.resize(grow, 4)
            if numbers < 4:
                room = np.minimum(before[:2], 1 - before[2:]) / np.maximum(sides, 1e-6)
                grow = np.minimum(grow, np.tile(room, 2) if numbers == 2 else room.min())
            expected = np.clip(before + grow * [-1, -1, 1, 1] * np.tile(sides, 2), 0, 1)
        np.testing.assert_allclose(after, expected, atol=1e-6)
    if numbers < 4:
        centres = [(corners[:, :2] + corners[:, 2:]) / 2 for corners in (boxes, moved)]
        np.testing.assert_allclose(*centres, atol=1e-6)


def test_labels_can_be_dropped_and_renamed():
    sample = sample_of(tf.zeros([4, 4, 3]))
    assert rows.drop_label_probabilistically(sample, seed_of(0), label=3).classes.numpy().tolist() == [0]
    assert rows.drop_label_probabilistically(sample, seed_of(0), label=2).classes.numpy().tolist() == [0, 2]
    assert rows.remap_labels(sample, original_labels=(3, 5), new_label=2).classes.numpy().tolist() == [0, 1]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (
            partial(color.random_adjust_hue, max_delta=0.4),
            lambda image, number: tf.image.adjust_hue(image, number * 0.8 - 0.4),
        ),
        (
            partial(color.random_adjust_saturation, min_delta=0.2, max_delta=3.0),
            lambda image, n: tf.image.adjust_saturation(image, 0.2 + 2.8 * n),
        ),
        (
            partial(color.random_adjust_contrast, min_delta=0.2, max_delta=3.0),
            lambda image, n: tf.image.adjust_contrast(image, 0.2 + 2.8 * n),
        ),
        (
            partial(color.random_adjust_brightness, max_delta=0.5),
            lambda image, number: tf.image.adjust_brightness(image, number - 0.5),
        ),
    ],
)
def test_equal_to_the_same_on_images_from_0_to_1(image, ours, theirs):
    for number in range(5):
        draw = tf.random.stateless_uniform((), seed_of(number))
        expected = tf.clip_by_value(theirs(tf.constant(image / 255, tf.float32), draw) * 255, 0, 255)
        np.testing.assert_allclose(ours(sample_of(image), seed_of(number)).image, expected, atol=2e-2)
