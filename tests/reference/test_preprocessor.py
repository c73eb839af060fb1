"""Steps of the preprocessor against the values in the TF Object Detection API's own unit tests of them.

Images there are 0 to 1 where a step is tested, here 0 to 255. Steps on masks, keypoints, label scores and class scores
are not part of this project.
"""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from detection.data.augment import color, crop, flip, pad, patches, rows, scale, window
from detection.data.sample import Sample

RED = [[128, 128, 128, 128], [0, 0, 128, 128], [0, 128, 128, 128], [192, 192, 128, 128]]
GREEN = [[0, 0, 128, 128], [0, 0, 128, 128], [0, 128, 192, 192], [192, 192, 128, 192]]
BLUE = [[128, 128, 192, 0], [0, 0, 128, 192], [0, 128, 128, 0], [192, 192, 192, 128]]
IMAGE = np.stack([RED, GREEN, BLUE], axis=-1).astype(np.uint8)
BOXES = [[0.0, 0.25, 0.75, 1.0], [0.25, 0.5, 0.75, 1.0]]
SEED = tf.constant([3, 7], tf.int64)


def sample_of(image=IMAGE, boxes=BOXES) -> Sample:
    count = len(boxes)
    flags = tf.zeros([count], tf.bool)
    boxes = tf.constant(boxes, tf.float32, [count, 4])
    return Sample(tf.constant(image), boxes, tf.range(count), tf.ones([count]), flags, flags, tf.ones([count]))


def wide() -> Sample:
    return sample_of(np.zeros((200, 400, 3), np.uint8))


MOVED = {
    "horizontal flip": (flip.random_horizontal_flip, IMAGE[:, ::-1], [[0.0, 0.0, 0.75, 0.75], [0.25, 0.0, 0.75, 0.5]]),
    "vertical flip": (flip.random_vertical_flip, IMAGE[::-1], [[0.25, 0.25, 1.0, 1.0], [0.25, 0.5, 0.75, 1.0]]),
    "rotation by 90 degrees": (
        flip.random_rotation90,
        np.rot90(IMAGE),
        [[0.0, 0.0, 0.75, 0.75], [0.0, 0.25, 0.5, 0.75]],
    ),
}


@pytest.mark.parametrize("name", MOVED)
def test_flips_and_turns(name):
    step, image, boxes = MOVED[name]
    moved = step(sample_of(), SEED, probability=1.0)
    np.testing.assert_array_equal(moved.image, image)
    np.testing.assert_allclose(moved.boxes, boxes, atol=1e-6)
    without = step(sample_of(boxes=[]), SEED, probability=1.0)
    np.testing.assert_array_equal(without.image, image)
    assert without.boxes.shape == (0, 4)


def test_rotation_in_the_reference_s_own_numbers():
    """Red after a quarter turn, as the reference lists it (there scaled to -1 to 1 from 0 to 256)."""
    turned = flip.random_rotation90(sample_of(), SEED, probability=1.0).image[..., 0].numpy() / 128.0 - 1
    np.testing.assert_allclose(turned, [[0, 0, 0, 0], [0, 0, 0, 0], [0, -1, 0, 0.5], [0, -1, -1, 0.5]])


def test_normalize():
    scaled = color.normalize_image(sample_of(), None, 0, 256, -1, 1).image
    np.testing.assert_allclose(scaled[..., 0], [[0, 0, 0, 0], [-1, -1, 0, 0], [-1, 0, 0, 0], [0.5, 0.5, 0, 0]])
    np.testing.assert_allclose(scaled[..., 2], [[0, 0, 0.5, -1], [-1, -1, 0, 0.5], [-1, 0, 0, -1], [0.5, 0.5, 0.5, 0]])


def test_channel_means_are_subtracted():
    left = color.subtract_channel_mean(sample_of(np.zeros((24, 32, 3), np.float32)), None, (1.0, 2.0, 3.0)).image
    assert all((left[..., channel].numpy() == -(channel + 1)).all() for channel in range(3))


def test_pixel_values_are_scaled_within_the_range():
    scaled = color.random_pixel_value_scale(sample_of(), SEED).image.numpy()
    assert (scaled >= IMAGE * 0.9 - 1e-3).all() and (scaled <= IMAGE * 1.1 + 1e-3).all()


def test_an_image_is_scaled_within_the_range():
    for number in range(5):
        height, width = scale.random_image_scale(sample_of(), tf.constant([number, 1], tf.int64)).image.shape[:2]
        assert 2 <= height <= 8 and 2 <= width <= 8 and height == width


def test_gray_or_not():
    gray = color.random_rgb_to_gray(sample_of(), SEED, probability=1.0).image.numpy()
    np.testing.assert_allclose(
        gray, np.repeat(tf.image.rgb_to_grayscale(tf.constant(IMAGE, tf.float32)), 3, axis=-1), rtol=1e-5
    )
    np.testing.assert_array_equal(color.random_rgb_to_gray(sample_of(), SEED, probability=0.0).image, IMAGE)


@pytest.mark.parametrize(
    "step",
    [
        color.random_adjust_brightness,
        color.random_adjust_contrast,
        color.random_adjust_hue,
        color.random_adjust_saturation,
    ],
)
def test_colour_steps_keep_the_shape(step):
    assert step(sample_of(), SEED).image.shape == IMAGE.shape


@pytest.mark.parametrize("ordering", [0, 1])
def test_distortion_of_colour_keeps_shape_and_range(ordering):
    image = color.random_distort_color(sample_of(), SEED, ordering).image.numpy()
    assert image.shape == IMAGE.shape and image.min() >= 0 and image.max() <= 255


def test_black_patches_and_resizing_keep_their_shapes():
    assert patches.random_black_patches(sample_of(), SEED, size_to_image_ratio=0.5).image.shape == IMAGE.shape
    assert scale.random_resize_method(sample_of(), SEED, 75, 150).image.shape == (75, 150, 3)


def test_a_window_of_190_by_237_pixels():
    """Begin (6, 143) of an image of 200 x 400: both boxes stay, clipped."""
    cropped = window.crop(wide(), tf.constant([6, 143]), tf.constant([190, 237]), 0.3, True)
    assert cropped.image.shape == (190, 237, 3) and cropped.classes.numpy().tolist() == [0, 1]
    np.testing.assert_allclose(
        cropped.boxes, [[0.0, 0.0, 0.75789469, 1.0], [0.23157893, 0.24050637, 0.75789469, 1.0]], atol=1e-6
    )


def test_the_left_square():
    """A third of the first box is seen, which is more than 0.3; nothing of the second."""
    cropped = window.crop(wide(), tf.constant([0, 0]), tf.constant([200, 200]), 0.3, True)
    assert cropped.image.shape == (200, 200, 3) and cropped.classes.numpy().tolist() == [0]
    np.testing.assert_allclose(cropped.boxes, [[0.0, 0.5, 0.75, 1.0]], atol=1e-6)


def test_crop_to_aspect_ratio():
    cropped = crop.random_crop_to_aspect_ratio(sample_of(), SEED, 2.0)
    assert cropped.image.shape == (2, 4, 3)
    assert crop.random_crop_to_aspect_ratio(wide(), SEED).image.shape == (200, 200, 3)


SQUARE = [[0.0, 0.25, 0.375, 1.0], [0.125, 0.5, 0.375, 1.0]]
# name -> (sample, aspect ratio, least and largest padded size, expected size, expected boxes)
PADDED = {
    "to a square": (wide, 1.0, (1.0, 2.0), (400, 400), SQUARE),
    "to twice the width": (sample_of, 2.0, (1.0, 2.0), (4, 8), [[0.0, 0.125, 0.75, 0.5], [0.25, 0.25, 0.75, 0.5]]),
    # 4 x 200 = 800 high and 4 x 400 = 1600 wide cannot both be a square: no side may exceed its largest, so it is 800.
    "exactly four times": (wide, 1.0, (4.0, 4.0), (800, 800), [[0.0, 0.125, 0.1875, 0.5], [0.0625, 0.25, 0.1875, 0.5]]),
}


@pytest.mark.parametrize("name", PADDED)
def test_pad_to_aspect_ratio(name):
    sample, ratio, (least, most), size, boxes = PADDED[name]
    padded = pad.random_pad_to_aspect_ratio(sample(), SEED, ratio, (least, least), (most, most))
    assert padded.image.shape == (*size, 3) and padded.classes.numpy().tolist() == [0, 1]
    np.testing.assert_allclose(padded.boxes, boxes, atol=1e-6)


def test_a_canvas_never_cuts_the_image():
    """A deviation: for 100 x 400 as a square of at most (200, 800) the reference asks for 200 x 200, and fails. Here
    the image fits in."""
    sample = sample_of(np.zeros((100, 400, 3), np.uint8))
    assert pad.random_pad_to_aspect_ratio(sample, SEED, 1.0).image.shape == (400, 400, 3)


def test_pad_image():
    for number in range(5):
        padded = pad.random_pad_image(sample_of(), tf.constant([number, 1], tf.int64))
        assert all(4 <= side <= 8 for side in padded.image.shape[:2])
        before, after = np.array(BOXES), padded.boxes.numpy()
        assert (after[:, 2:] - after[:, :2] <= before[:, 2:] - before[:, :2] + 1e-6).all()


def test_crop_and_pad_with_a_random_coef_of_one_only_pads():
    settings = pad.CropPad(crop.Crop(random_coef=1.0))
    padded = pad.random_crop_pad_image(sample_of(), SEED, settings)
    assert len(padded.boxes) == 2 and all(4 <= side <= 8 for side in padded.image.shape[:2])


@pytest.mark.parametrize(
    "step", [crop.ssd_random_crop, pad.ssd_random_crop_pad, crop.random_crop_image, rows.random_jitter_boxes]
)
def test_ranks_stay(step):
    changed = step(sample_of(), SEED)
    assert (
        changed.image.shape.rank == 3
        and changed.boxes.shape.rank == 2
        and len(changed.boxes) == len(changed.classes) <= 2
    )


def test_jitter_reaches_as_far_as_the_reference_says():
    """A box of 100 pixels and a ratio of 0.05 moves a side by up to 5 pixels, as the reference's documentation and its
    releases up to 2019 have it. (Later ones halve that without saying so: they multiply the whole side and lay it about
    the centre, 2.5 pixels.)"""
    sample = sample_of(np.zeros((8, 8, 3), np.uint8), [[0.3, 0.3, 0.7, 0.7]] * 200)
    moved = np.abs(rows.random_jitter_boxes(sample, SEED, 0.05).boxes - sample.boxes) / 0.4
    assert 0.045 < moved.max() <= 0.05 + 1e-6


def test_labels_are_renamed():
    """Labels 1, 2, 3 of which 2 and 3 become 4, counted from 1 as in configs."""
    sample = sample_of(boxes=[*BOXES, BOXES[0]])
    assert (rows.remap_labels(sample, original_labels=(2, 3), new_label=4).classes.numpy() + 1).tolist() == [1, 4, 4]


@pytest.mark.parametrize("ratio", [1.0, 1.5, 0.5])
def test_a_square_by_scale(ratio):
    """Of 256 x 256 with a border of 256 only the centre can be the square's: a box of half the side becomes half of 1 /
    ratio."""
    sample = sample_of(np.zeros((256, 256, 3), np.float32), [[0.25, 0.25, 0.75, 0.75]])
    cut = crop.random_square_crop_by_scale(sample, SEED, 256, ratio, ratio)
    assert cut.image.shape == (int(256 * ratio), int(256 * ratio), 3)
    np.testing.assert_allclose(cut.boxes[0, 2:] - cut.boxes[0, :2], [0.5 / ratio] * 2, atol=1e-6)


@pytest.mark.parametrize("ratio", [0.1, 1.0, 2.0])
def test_scale_crop_and_pad_to_a_square(ratio):
    """512 x 256: whatever the part, a box that is not clipped has a tenth of the scaled image's sides."""
    centres = [(y, x) for y in (0.25, 0.5, 0.75) for x in (0.25, 0.5, 0.75)]
    sample = sample_of(
        np.zeros((512, 256, 3), np.float32), [[y - 0.05, x - 0.05, y + 0.05, x + 0.05] for y, x in centres]
    )
    square = scale.random_scale_crop_and_pad_to_square(sample, SEED, 512, ratio, ratio)
    assert square.image.shape == (512, 512, 3)
    whole = [box for box in square.boxes.numpy() if box.min() > 1e-6 and box.max() < 1 - 1e-6]
    expected = 0.1 * np.array([int(ratio * 512), int(ratio * 256)]) / 512
    assert any(np.allclose(box[2:] - box[:2], expected, atol=1e-6) for box in whole)
