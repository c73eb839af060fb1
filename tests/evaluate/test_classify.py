"""Classifying images: the square that is looked at, names of classes with and without a background, accuracy against a
truth file."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from detection.errors import ConfigError, DataError
from detection.evaluate import classify
from detection.evaluate.classify import Accuracy, Classes, ClassificationOptions, Result
from detection.networks import catalogue
from detection.networks.classifier import Classifier, ClassifierSpec


def _brightness(num_logits: int = 3, depth_multiplier: float = 1.0) -> Classifier:
    """Logit c is the brightness of channel c: a classifier whose answers are known."""
    return Classifier(
        "Channels", (tf.keras.layers.Lambda(lambda x: x, name="all"),), (tf.keras.layers.GlobalAveragePooling2D(),)
    )


SPEC = ClassifierSpec(
    make=_brightness, scale=lambda images: images / 255.0, image_size=8, num_logits=3, background=False
)


def _run(images: dict[str, np.ndarray | DataError], **options) -> tuple[list[Result], list[str]]:
    bad: list[DataError] = []

    def read(path: str) -> np.ndarray:
        if isinstance(images[path], DataError):
            raise images[path]
        return images[path]

    classifier = SPEC.make(3, 1.0)
    return list(
        classify.classify(classifier, SPEC, list(images), read, ClassificationOptions(**options), bad.append)
    ), [str(error) for error in bad]


def _plain(red: int, green: int, blue: int, size: tuple[int, int] = (10, 12)) -> np.ndarray:
    return np.broadcast_to(np.array([red, green, blue], np.uint8), (*size, 3))


@pytest.mark.parametrize(
    ("shape", "top", "left", "side"),
    [((100, 140), 6, 26, 88), ((64, 64), 4, 4, 56), ((9, 7), 1, 0, 6), ((1, 1), 0, 0, 1)],
)
def test_the_square_is_central_and_seven_eighths_of_the_shorter_side(shape, top, left, side):
    """At its own size nothing is resampled."""
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    np.testing.assert_array_equal(
        classify.central_square(image, 0.875, side), image[top : top + side, left : left + side].astype("f4")
    )


def test_resampling_is_that_of_tensorflow_1():
    """Halved, every other pixel is taken: pixel i is read at 2 i."""
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    np.testing.assert_array_equal(classify.central_square(image, 1.0, 8), image[::2, ::2].astype("f4"))


def test_probabilities_of_every_readable_image_in_order():
    images = {
        "r": _plain(255, 0, 0),
        "bad": DataError("bad: is no image"),
        "g": _plain(0, 255, 0, (30, 9)),
        "b": _plain(0, 0, 255),
    }
    results, bad = _run(images, batch_size=2)
    assert [(result.path, int(result.ranking()[0])) for result in results] == [("r", 0), ("g", 1), ("b", 2)]
    assert bad == ["bad: is no image"]
    np.testing.assert_allclose(results[0].probabilities, np.exp([1, 0, 0]) / (np.e + 2), rtol=1e-6)


def test_only_bad_images_give_nothing():
    assert _run({"bad": DataError("x")}) == ([], ["x"])


def test_the_middle_decides():
    image = np.zeros((100, 300, 3), np.uint8)
    image[:, :100, 0], image[:, 100:200, 1], image[:, 200:, 2] = 255, 255, 255
    (result,), _ = _run({"x": image})
    assert classify.lines(result, Classes(3, False, ("red", "green", "blue")), top=2) == [
        "x",
        "   57.6%  1 green",
        "   21.2%  0 red",
    ]


def _labels(tmp_path, *labels: str) -> str:
    path = tmp_path / "labels.txt"
    path.write_text("\n".join(labels) + "\n", encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("num_logits", "labels", "background", "first_name"),
    [
        (1001, 0, True, "background"),  # as MobileNet v1 was published
        (1000, 0, False, "0"),
        (1001, 1001, True, "background"),
        (1001, 1000, True, "background"),
        (1000, 1001, False, "0 label 1"),  # the file's background has no logit here
        (1000, 1000, False, "0 label 0"),
        (7, 7, False, "0 label 0"),
        (8, 7, True, "background"),
    ],
)
def test_background_is_told_by_the_numbers(tmp_path, num_logits, labels, background, first_name):
    path = _labels(tmp_path, *(f"label {i}" for i in range(labels))) if labels else ""
    classes = classify.classes_of(catalogue.find("mobilenet_v1"), num_logits, path)
    assert classes.background == background and classes.name(0) == first_name
    last = num_logits - 1 - background
    assert classes.name(num_logits - 1) == (f"{last} label {labels - 1}" if labels else str(last))


def test_labels_of_another_data_set_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"labels\.txt: 3 lines, but the checkpoint has 1000 logits"):
        classify.classes_of(SPEC, 1000, _labels(tmp_path, "a", "b", "c"))
    with pytest.raises(ConfigError, match="--labels .*none.txt: cannot be read"):
        classify.classes_of(SPEC, 1000, str(tmp_path / "none.txt"))


def _truth(tmp_path, text: str) -> str:
    path = tmp_path / "truth.csv"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_truth_by_number_or_label_with_or_without_a_header(tmp_path):
    classes = Classes(4, True, ("cat", "dog, hound", "cup"))
    path = _truth(tmp_path, 'file,class\na/x.png,2\n\ny.png,cat\nz.png,"dog, hound"\n')
    assert classify.read_truth(path, classes) == {"a/x.png": 2, "y.png": 0, "z.png": 1}
    assert classify.read_truth(_truth(tmp_path, "x.png,1\n"), Classes(2, False)) == {"x.png": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x.png,1\ny.png\n", r"truth\.csv:2: 1 columns; write file,class"),
        ("file,class\nx.png,bird\n", r"truth\.csv:2: class 'bird' is neither a number below 3 nor a label"),
        ("x.png,3\n", r"truth\.csv:1: class '3' is neither a number below 3"),
    ],
)
def test_truth_that_cannot_be_meant(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        classify.read_truth(_truth(tmp_path, text), Classes(4, True, ("cat", "dog", "cup")))


def test_truth_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match="--truth .*none.csv: cannot be read"):
        classify.read_truth(str(tmp_path / "none.csv"), Classes(4, True))


def test_accuracy_counts_images_with_a_known_class():
    """Ten classes and a background; the true class is first, third, sixth; the fourth image is in no truth file."""
    probabilities = np.linspace(0.3, 0.01, 11, dtype=np.float32)  # logit 0, the background, is the likeliest
    results = [
        Result(path, np.roll(probabilities, 1 if path == "a/first" else 0))
        for path in ("a/first", "b/third", "sixth", "other")
    ]
    truth = {"a/first": 0, "third": 1, "sixth": 4}
    counted = classify.accuracy(results, truth, Classes(11, True))
    assert counted == Accuracy(images=3, first=1, among_five=2)
    assert counted.summary() == "top-1 accuracy 0.3333, top-5 accuracy 0.6667 (3 images)"
    assert classify.accuracy(results, {}, Classes(11, True)).summary() == "no image has its class in the truth file"
