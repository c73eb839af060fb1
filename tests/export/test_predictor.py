"""Detections in Python: any images in, pixels and names out."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from detection.errors import ConfigError, DataError
from detection.export.predictor import Predictor


@pytest.fixture(scope="module")
def predictor(exported) -> Predictor:
    return Predictor.load(exported / "saved_model")


def _image(height: int, width: int, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_results_are_pixels_of_each_image_with_names(predictor, exported):
    images = [_image(60, 120), _image(90, 50), _image(60, 120, 4)]
    results = predictor.detect(images)
    assert len(results) == 3
    serve = tf.saved_model.load(str(exported / "saved_model"))
    for image, result in zip(images, results, strict=True):
        raw = {key: value[0].numpy() for key, value in serve(tf.constant(image[None])).items()}
        count = int(raw["num_detections"])
        assert len(result.boxes) == len(result.scores) == len(result.class_ids) == len(result.class_names) == count
        height, width = image.shape[:2]
        np.testing.assert_allclose(result.scores, raw["detection_scores"][:count], atol=1e-5)
        np.testing.assert_allclose(result.boxes[0], raw["detection_boxes"][0] * [height, width, height, width], atol=1e-2)
        assert result.class_names[0] == {1: "circle", 2: 'square "of" ☃', 3: "star"}[int(result.class_ids[0])]


def test_one_image_a_path_and_the_export_folder_are_enough(exported, predictor, tmp_path):
    Image.fromarray(_image(60, 120)).save(tmp_path / "x.png")
    (by_path,) = Predictor.load(str(exported)).detect(str(tmp_path / "x.png"))
    (by_array,) = predictor.detect(_image(60, 120))
    np.testing.assert_array_equal(by_path.boxes, by_array.boxes)


def test_thresholds(predictor):
    (every,) = predictor.detect(_image(60, 120))
    threshold = float(np.median(every.scores))
    (few,) = predictor.detect(_image(60, 120), min_score=threshold, max_boxes=4)
    assert len(few.boxes) == 4 and (few.scores >= threshold).all()
    (none,) = predictor.detect(_image(60, 120), min_score=1.1)
    assert none.boxes.shape == (0, 4) and none.class_names == ()


def test_batches_do_not_change_results(predictor):
    images = [_image(60, 120, seed) for seed in range(5)]
    for one, many in zip(predictor.detect(images, batch_size=1), predictor.detect(images, batch_size=4), strict=True):
        np.testing.assert_allclose(one.scores, many.scores, atol=1e-5)


def test_models_of_strings_work_too(exported_strings, predictor):
    image = _image(60, 120)
    (result,) = Predictor.load(exported_strings).detect(image)
    np.testing.assert_allclose(result.scores, predictor.detect(image)[0].scores, atol=1e-5)


def test_out_of_memory_says_what_to_lower(exported, monkeypatch):
    predictor = Predictor.load(exported)

    def exhausted(**inputs):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating")

    monkeypatch.setattr(predictor, "_signature", exhausted)
    with pytest.raises(ConfigError, match="image 0, image 1: out of memory with 2 images of 60 x 120 pixels; lower --batch_size"):
        predictor.detect([_image(60, 120)] * 2)


def test_no_image_gives_no_result(predictor):
    assert predictor.detect([]) == []


@pytest.mark.parametrize(("shape", "dtype"), [((5, 5, 3), "float32"), ((5, 5), "uint8"), ((5, 5, 4), "uint8"), ((0, 5, 3), "uint8")])
def test_arrays_that_are_no_image_are_told_apart(predictor, shape, dtype):
    with pytest.raises(DataError, match=r"image 1: .*; give uint8 \[height, width, 3\]"):
        predictor.detect([_image(5, 5), np.zeros(shape, dtype)])


def test_what_is_no_saved_model_is_named(tmp_path, exported):
    with pytest.raises(ConfigError, match="absent: no such folder"):
        Predictor.load(tmp_path / "absent")
    with pytest.raises(ConfigError, match="holds no saved_model.pb"):
        Predictor.load(tmp_path)
    (tmp_path / "saved_model.pb").write_bytes((exported / "saved_model" / "saved_model.pb").read_bytes()[:10_000])
    with pytest.raises(ConfigError, match="cannot be loaded"):
        Predictor.load(tmp_path)


def test_another_kind_of_model_is_refused(tmp_path):
    module = tf.Module()
    module.f = tf.function(lambda x: {"y": x}, input_signature=[tf.TensorSpec([None])])
    tf.saved_model.save(module, str(tmp_path / "other"), signatures=module.f)
    with pytest.raises(ConfigError, match="is no detector"):
        Predictor.load(tmp_path / "other")
