"""Images brought to a size as in the survey, proposals that are always the same, numbers that make sense."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from detection.benchmark import inputs
from detection.errors import ConfigError, DataError


def test_the_middle_of_the_longer_side_is_kept():
    """Left, middle and right third have a colour each: of 60 x 20, 20 x 20 is the middle third."""
    image = np.repeat(np.repeat(np.array([10, 120, 250], np.uint8), 20)[np.newaxis, :, np.newaxis], 20, axis=0).repeat(
        3, axis=2
    )
    assert (inputs.square(image, 20) == 120).all()
    assert (inputs.square(image.transpose(1, 0, 2), 20) == 120).all()
    doubled = inputs.square(image, 40)
    assert doubled.shape == (40, 40, 3) and (doubled[:, 2:-2] == 120).all()  # at the border colours mix
    assert inputs.square(np.zeros((333, 500, 3), np.uint8), 300).shape == (300, 300, 3)


def test_files_are_read_no_more_than_runs(tmp_path):
    for number in range(3):
        Image.new("RGB", (40, 30), (9, 99, 199)).save(tmp_path / f"{number}.png")
    options = inputs.BenchmarkOptions(images=(str(tmp_path),), runs=2, shorter_side=16)
    assert [image.shape for image in inputs.images(options)] == [(16, 16, 3)] * 2
    whole = inputs.images(inputs.BenchmarkOptions(images=(str(tmp_path),)))
    assert [image.shape for image in whole] == [(30, 40, 3)] * 3 and (whole[0] == (9, 99, 199)).all()
    with pytest.raises(DataError, match="absent"):
        inputs.images(inputs.BenchmarkOptions(images=(str(tmp_path / "absent.png"),)))


def test_noise_has_the_size_asked_for():
    assert [image.shape for image in inputs.images(inputs.BenchmarkOptions(image_size=(30, 40)))] == [(30, 40, 3)]
    assert [image.shape for image in inputs.images(inputs.BenchmarkOptions(image_size=(30, 40), shorter_side=20))] == [
        (20, 20, 3)
    ]


def test_proposals_are_boxes_and_always_the_same():
    spec = tf.TensorSpec([None, None, 4])
    boxes = inputs.proposals(50, 2, spec).numpy()
    assert boxes.shape == (2, 50, 4) and boxes.dtype == np.float32
    assert (boxes[0] == boxes[1]).all() and (boxes == inputs.proposals(50, 2, spec).numpy()).all()
    assert boxes.min() >= 0 and boxes.max() <= 1 and (boxes[..., 2:] - boxes[..., :2] > 0.09).all()
    with pytest.raises(DataError, match="--proposals=50"):
        inputs.proposals(50, 1, tf.TensorSpec([None, 30, 4]))


def test_images_must_fit_the_signature():
    image = np.zeros((20, 30, 3), np.uint8)
    assert inputs.to_input(image, 2, tf.TensorSpec([None, None, None, 3], tf.uint8)).shape == (2, 20, 30, 3)
    assert inputs.to_input(image, 2, tf.TensorSpec([None, None, None, 3], tf.float32)).dtype == tf.float32
    assert inputs.to_input(image, 2, tf.TensorSpec([None], tf.string)).shape == (2,)
    with pytest.raises(DataError, match="--shorter_side"):
        inputs.to_input(image, 1, tf.TensorSpec([1, 64, 64, 3], tf.uint8))


def test_mistakes_name_the_flag():
    for name in ("batch", "runs", "proposals", "shorter_side", "max_proposals"):
        with pytest.raises(ConfigError, match=f"--{name}=0"):
            inputs.BenchmarkOptions(**{name: 0}).check()
    with pytest.raises(ConfigError, match="--image_size=0,5"):
        inputs.BenchmarkOptions(image_size=(0, 5)).check()
    with pytest.raises(ConfigError, match="--image_size=10,x"):
        inputs.parse_size(["10", "x"])
    with pytest.raises(ConfigError, match="--image_size=10:"):
        inputs.parse_size(["10"])
