"""What a crop may lose and keep, and how often."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from detection.data.augment import window
from detection.data.augment.crop import SSD_CROPS, Crop, random_crop_image, ssd_random_crop
from detection.data.sample import Sample


def sample_of(boxes, height=60, width=80) -> Sample:
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    count = len(boxes)
    flags = tf.zeros([count], tf.bool)
    return Sample(
        tf.zeros([height, width, 3], tf.uint8),
        tf.constant(boxes),
        tf.range(count),
        tf.ones([count]),
        flags,
        flags,
        tf.ones([count]),
    )


def seeds(count):
    return tf.stack([tf.range(count, dtype=tf.int64), tf.ones([count], tf.int64)], 1)


def test_window_rules_by_hand():
    sample = sample_of([(0.0, 0.0, 0.5, 0.5), (0.5, 0.5, 1.0, 1.0), (0.0, 0.0, 0.1, 0.1), (0.2, 0.2, 0.4, 0.4)], 10, 10)
    part = window.crop(sample, tf.constant([1, 2]), tf.constant([4, 4]), overlap_thresh=0.4, clip_boxes=True)
    # The window is (0.1, 0.2) to (0.5, 0.6): the first box shows 0.48 of itself, the second and third only touch or
    # miss it, the fourth all of it.
    assert part.classes.numpy().tolist() == [0, 3] and part.image.shape == (4, 4, 3)
    np.testing.assert_allclose(part.boxes, [[0, 0, 1, 0.75], [0.25, 0, 0.75, 0.5]], atol=1e-6)
    unclipped = window.crop(sample, tf.constant([1, 2]), tf.constant([4, 4]), overlap_thresh=0.4, clip_boxes=False)
    np.testing.assert_allclose(unclipped.boxes[0], [-0.25, -0.5, 1, 0.75], atol=1e-6)
    stricter = window.crop(sample, tf.constant([1, 2]), tf.constant([4, 4]), overlap_thresh=0.5, clip_boxes=True)
    assert stricter.classes.numpy().tolist() == [3]


def test_default_operations():
    assert (
        [c.min_object_covered for c in SSD_CROPS]
        == [c.overlap_thresh for c in SSD_CROPS]
        == [0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0]
    )
    assert {(c.aspect_ratio_range, c.area_range, c.random_coef, c.clip_boxes) for c in SSD_CROPS} == {
        ((0.5, 2.0), (0.1, 1.0), 0.15, True)
    }


def test_random_coef_is_the_chance_of_no_change():
    sample = sample_of([(0.1, 0.1, 0.9, 0.9)])
    settings = Crop(area_range=(0.1, 0.5), min_object_covered=0.0, random_coef=0.4)
    same = [random_crop_image(sample, seed, settings).image.shape == (60, 80, 3) for seed in seeds(200)]
    assert 0.3 < np.mean(same) < 0.5


def test_sampling_respects_ranges_and_coverage():
    sample = sample_of([(0.3, 0.3, 0.7, 0.6)])
    settings = Crop(min_object_covered=0.9, aspect_ratio_range=(0.5, 2.0), area_range=(0.1, 0.6), overlap_thresh=0.0)
    for seed in seeds(40):
        part = random_crop_image(sample, seed, settings)
        height, width = part.image.shape[:2]
        assert 0.45 < width / height < 2.1 and 0.09 < height * width / 4800 < 0.62
        left = part.boxes[0] * [height, width, height, width]
        assert np.prod(left[2:] - left[:2]) >= 0.89 * (24 * 24)


def test_every_setting_is_chosen():
    wide, tall = Crop(0.0, (1.8, 2.2), (0.15, 0.25), 0.0), Crop(0.0, (0.45, 0.55), (0.15, 0.25), 0.0)
    sample = sample_of([])
    shapes = [ssd_random_crop(sample, seed, (wide, tall)).image.shape for seed in seeds(100)]
    assert 30 < sum(shape[1] > shape[0] for shape in shapes) < 70


def test_one_graph_for_settings_that_differ_in_numbers_only():
    sample = sample_of([(0.1, 0.1, 0.3, 0.3), (0.6, 0.6, 0.9, 0.9)])
    never = dataclasses.replace(SSD_CROPS[0], random_coef=1.0)
    always = dataclasses.replace(
        never, random_coef=0.0, area_range=never.area_range, min_object_covered=1.0, overlap_thresh=1.0
    )
    kept = [ssd_random_crop(sample, seed, (never, always)).image.shape[0] == 60 for seed in seeds(100)]
    assert 30 < sum(kept) < 70
    graph = (
        tf.function(lambda seed: ssd_random_crop(sample, seed))
        .get_concrete_function(tf.TensorSpec([2], tf.int64))
        .graph.as_graph_def()
    )
    assert str(graph).count("SampleDistortedBoundingBox") <= 4


@pytest.mark.parametrize("boxes", [(), [(0.0, 0.0, 1.0, 1.0)], [(0.99, 0.99, 1.0, 1.0)]])
def test_odd_boxes(boxes):
    for seed in seeds(20):
        part = ssd_random_crop(sample_of(boxes), seed)
        assert min(part.image.shape[:2]) >= 1 and np.isfinite(part.boxes.numpy()).all()


def test_boxes_that_stick_out_do_not_break_sampling():
    part = random_crop_image(sample_of([(-0.1, 0.2, 1.1, 1.05)]), seeds(1)[0], Crop())
    assert len(part.boxes) <= 1
