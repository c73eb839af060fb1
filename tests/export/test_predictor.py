"""Detections in Python: any images in, pixels and names out."""

from __future__ import annotations

import io
import types
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from detection.errors import ConfigError, DataError
from detection.export.predictor import Predictor
from tests.fuzz.of_models import make_saved_model


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
        np.testing.assert_allclose(
            result.boxes[0], raw["detection_boxes"][0] * [height, width, height, width], atol=1e-2
        )
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
    with pytest.raises(
        ConfigError, match="image 0, image 1: out of memory with 2 images of 60 x 120 pixels; lower --batch_size"
    ):
        predictor.detect([_image(60, 120)] * 2)


def test_no_image_gives_no_result(predictor):
    assert predictor.detect([]) == []


def _encoded(array: np.ndarray, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, kind)
    return file.getvalue()


FORMS = {
    "str": lambda array, path: str(path),
    "path": lambda array, path: path,
    "bytes path": lambda array, path: _encoded(array),
    "bytearray": lambda array, path: bytearray(_encoded(array)),
    "memoryview": lambda array, path: memoryview(_encoded(array)),
    "array": lambda array, path: array,
    "view": lambda array, path: np.ascontiguousarray(array[::-1])[::-1],
    "tensor": lambda array, path: tf.constant(array),
    "encoded tensor": lambda array, path: tf.constant(_encoded(array)),
    "picture": lambda array, path: Image.fromarray(array),
    "opened picture": lambda array, path: Image.open(path),
    "picture with transparency": lambda array, path: Image.fromarray(array).convert("RGBA"),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_an_image_alone_and_in_lists(predictor, tmp_path, form):
    array = _image(60, 120)
    path = tmp_path / "x.png"
    Image.fromarray(array).save(path)
    (expected,) = predictor.detect([array])
    given = FORMS[form](array, path)
    for images, count in ((given, 1), ([given], 1), ((given, array), 2), ((one for one in [given, given]), 2)):
        results = predictor.detect(images)
        assert len(results) == count
        for result in results:
            np.testing.assert_array_equal(result.boxes, expected.boxes)
            np.testing.assert_array_equal(result.scores, expected.scores)


def test_many_images_in_one_array(predictor, tmp_path):
    array = _image(60, 120)
    (tmp_path / "x.png").write_bytes(_encoded(array))
    (expected,) = predictor.detect(array)
    stack = np.stack([array, array])
    for many in (
        stack,
        tf.constant(stack),
        np.array([str(tmp_path / "x.png")] * 2),
        tf.constant([_encoded(array)] * 2),
    ):
        results = predictor.detect(many)
        assert len(results) == 2
        for result in results:
            np.testing.assert_allclose(result.boxes, expected.boxes, atol=1e-4)


def test_pictures_of_other_modes_are_read_as_their_files_are(predictor, tmp_path):
    gray = _image(60, 120)[..., 0]
    pictures = [
        Image.fromarray(gray),
        Image.fromarray(_image(60, 120)).quantize(16),
        Image.fromarray(gray.astype(np.uint16) * 257),
    ]
    for number, picture in enumerate(pictures):
        picture.save(tmp_path / f"{number}.png")
        (by_path,), (by_picture,) = predictor.detect(tmp_path / f"{number}.png"), predictor.detect(picture)
        np.testing.assert_array_equal(by_path.boxes, by_picture.boxes)


def _generator_of_nothing_good():
    yield _image(5, 5)
    yield None


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (None, "images: None is not an image; pass a path, the bytes of an image file, uint8 "),
        (3, "images: a value of type int is not an image; pass a path"),
        (0.5, "images: a value of type float is not an image; pass a path"),
        (object(), "images: a value of type object is not an image; pass a path"),
        ({"a": 1}, "images: a value of type dict is not an image; pass a path"),
        ({"a.jpg"}, "images: a value of type set is not an image; pass a path"),
        (
            io.BytesIO(b"x"),
            "images: an open file (BytesIO; pass its bytes, .read(), or its path) is not an image; pass a path",
        ),
        ([_image(5, 5), None], "image 1: None is not an image; pass a path"),
        ([[1, 2], [3, 4]], "image 0: a value of type list is not an image; pass a path"),
        (_generator_of_nothing_good(), "image 1: None is not an image; pass a path"),
        ("", "image: the path is empty; pass the path of a file"),
        ("absent.jpg", "absent.jpg: cannot be read: No such file or directory; check the path"),
        ("a\0b.jpg", "a\\x00b.jpg: cannot be read: embedded null byte; check the path"),
        (".", ".: is a folder; pass the paths of the images in it"),
        (Path("."), ".: is a folder; pass the paths of the images in it"),
        (b"", "image 0: is empty; pass the bytes of an image file"),
        (b"nonsense", "image 0: is not an image; use JPEG, PNG, GIF, BMP or WebP"),
        (_encoded(_image(9, 9))[:60], "image 0: is a damaged PNG file"),
        (
            _image(5, 5).astype(np.float32) / 255,
            "image 0: float32 [5, 5, 3] has values from 0 to 1; multiply by 255 and round, then convert to uint8",
        ),
        (_image(5, 5).astype(np.float32), "image 0: float32 [5, 5, 3] is not uint8; round and convert it"),
        (_image(5, 5).astype(np.int64), "image 0: int64 [5, 5, 3] is not uint8; convert it, image.astype(np.uint8)"),
        (tf.zeros([5, 5, 3]), "image 0: float32 [5, 5, 3] has values from 0 to 1"),
        (tf.zeros([1, 5, 5, 3]), "image 0: float32 [5, 5, 3] has values from 0 to 1"),
        (_image(5, 5)[..., 0], "image 0: uint8 [5, 5] has no channels; repeat grey three times"),
        (
            np.zeros((5, 5, 4), np.uint8),
            "image 0: uint8 [5, 5, 4] has four channels; remove the last, image[..., :3]",
        ),
        (np.zeros((3, 5, 6), np.uint8), "image 0: uint8 [3, 5, 6] has its channels first; move them to the end"),
        ([np.zeros((2, 5, 5, 3), np.uint8)], "image 0: uint8 [2, 5, 5, 3] are many images; pass uint8 "),
        (np.zeros((0, 5, 3), np.uint8), "image 0: uint8 [0, 5, 3]; pass uint8 [height, width, 3]"),
        (np.zeros((1, 1, 5, 5, 3), np.uint8), "image 0: uint8 [1, 1, 5, 5, 3]; pass uint8 "),
        (np.uint8(3), "image 0: uint8 []; pass uint8 "),
        (
            np.broadcast_to(np.uint8(0), (20_000, 20_000, 3)),
            "image 0: uint8 [20000, 20000, 3] has 400,000,000 pixels, more than the",
        ),
        (types.SimpleNamespace(shape=(3,), dtype="x", __array__=None), "images: "),
        ("/dev/zero", "/dev/zero: is a device or pipe, not a file; pass its bytes"),
        (Image.new("F", (5, 5)), "image 0: a PIL image of mode F has no fixed range of values; scale it to 0 to 255"),
        (Image.new("I", (5, 5)), "image 0: a PIL image of mode I has no fixed range of values; scale it to 0 to 255"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_is_no_image_is_one_error(predictor, images, expected):
    with pytest.raises(DataError) as error:
        predictor.detect(images)
    assert str(error.value).startswith(expected) and error.value.exit_code == 3


def test_a_picture_that_breaks_off(predictor):
    with pytest.raises(DataError, match="image 0: the PIL image cannot be decoded: "):
        predictor.detect(Image.open(io.BytesIO(_encoded(_image(90, 90), "JPEG")[:900])))


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ({"min_score": "0.5"}, "min_score ('0.5') must be a number such as 0.5"),
        ({"min_score": None}, "min_score (None) must be a number such as 0.5"),
        ({"min_score": float("nan")}, "min_score (nan) must be a number such as 0.5"),
        ({"min_score": True}, "min_score (True) must be a number such as 0.5"),
        ({"max_boxes": -1}, "max_boxes (-1) must be a whole number of at least 0, or None for all"),
        ({"max_boxes": 2.5}, "max_boxes (2.5) must be a whole number of at least 0, or None for all"),
        ({"batch_size": 0}, "batch_size (0) must be a whole number of at least 1"),
        ({"batch_size": "8"}, "batch_size ('8') must be a whole number of at least 1"),
        ({"names": ["a", "b"]}, "names: 2 for 1 image; pass a list with one for each, or leave them out"),
        ({"names": "a"}, "names ('a') is not a list; pass a list with a name for each image, or leave it out"),
    ],
)
def test_other_arguments(predictor, argument, expected):
    with pytest.raises(DataError) as error:
        predictor.detect(_image(60, 120), **argument)
    assert str(error.value) == expected


@pytest.mark.parametrize(
    ("shape", "dtype"), [((5, 5, 3), "float32"), ((5, 5), "uint8"), ((5, 5, 4), "uint8"), ((0, 5, 3), "uint8")]
)
def test_arrays_that_are_no_image_are_told_apart(predictor, shape, dtype):
    with pytest.raises(DataError, match=r"image 1: .*; pass uint8 \[height, width, 3\]"):
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
    with pytest.raises(ConfigError, match="is not a detector"):
        Predictor.load(tmp_path / "other")


def test_a_graph_that_tensorflow_cannot_rebuild_is_one_line(tmp_path):
    """Found by the fuzz run: TensorFlow raises RuntimeError, TypeError and others while it loads."""
    make_saved_model(tmp_path / "saved_model")
    graph = tmp_path / "saved_model" / "saved_model.pb"
    graph.write_bytes(graph.read_bytes().replace(b"ReadVariableOp", b"ReadVariableOq"))
    reason = "Op type not registered 'ReadVariableOq'"
    with pytest.raises(ConfigError, match=f"{tmp_path}/saved_model: cannot be loaded: {reason}.*; export it again"):
        Predictor.load(tmp_path)
