"""Lists, functions and data sets of (image, boxes, classes) are read as records are."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from detection.data.reading.input import eval_dataset, train_dataset
from detection.data.reading.iteration import iterate
from detection.data.reading.options import InputOptions
from detection.data.reading.python_data import PythonData, bitmap, serialize
from detection.data.reading.streams import count_records
from detection.data.resize import FixedShapeResizer
from detection.errors import DataError
from detection.train import loop
from detection.train.options import RunOptions
from detection.types import Category
from tests.helpers.tiny import make_pipeline

CATEGORIES = (Category(1, "/m/a", "cat"), Category(2, "dog"))
RESIZER = FixedShapeResizer(height=8, width=8)


def examples(count: int = 6) -> list[tuple]:
    """Images of one value each, whose number is their value; boxes cover the lower half."""
    return [
        (np.full((10, 20, 3), number, np.uint8), [[5.0, 0.0, 10.0, 20.0]] * (number % 3), ["cat", 2][: number % 3])
        for number in range(count)
    ]


def options(source, **changes) -> InputOptions:
    data = PythonData(source, "training data", CATEGORIES, 4)
    settings = {"paths": (), "categories": CATEGORIES, "num_classes": 2, "max_number_of_boxes": 3} | changes
    return InputOptions(python=data, **settings)


SOURCES = {
    "list": lambda: examples(),
    "function": lambda: lambda: iter(examples()),
    "data set": lambda: tf.data.Dataset.from_generator(
        lambda: (
            {"image": image, "boxes": np.reshape(boxes, [-1, 4]), "classes": np.array([1, 2][: len(boxes)])}
            for image, boxes, _ in examples()
        ),
        output_signature={
            "image": tf.TensorSpec([None, None, 3], tf.uint8),
            "boxes": tf.TensorSpec([None, 4]),
            "classes": tf.TensorSpec([None], tf.int64),
        },
    ),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_evaluation_reads_all_in_order(kind):
    read = list(iterate(eval_dataset(options(SOURCES[kind]()), RESIZER, 4)))
    images = np.concatenate([example.batch.images for example in read])
    assert images.shape == (6, 8, 8, 3) and images[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4, 5]
    groundtruth = read[0].groundtruth
    assert groundtruth.counts.numpy().tolist() == [0, 1, 2, 0]
    assert groundtruth.boxes.numpy()[2, :2].tolist() == [[4, 0, 8, 8]] * 2
    assert groundtruth.classes.numpy()[2].tolist() == [0, 1, 0]
    assert groundtruth.areas.numpy()[2].tolist() == [100, 100, 0]
    assert read[0].info.source_ids.numpy().tolist() == [b"0", b"1", b"2", b"3"]
    assert read[0].info.original_shapes.numpy().tolist() == [[10, 20]] * 4


@pytest.mark.parametrize("kind", SOURCES)
def test_training_gives_every_example_once_an_epoch_in_the_order_of_the_seed_from_any_step_on(kind):
    def values(seed, start=0, steps=6) -> list[int]:
        dataset = train_dataset(options(SOURCES[kind]()), (), RESIZER, 2, seed, start_step=start)
        return [int(v) for example in dataset.take(steps) for v in example.batch.images[:, 0, 0, 0]]

    once = values(5)
    assert sorted(once[:6]) == sorted(once[6:]) == list(range(6)) and once[:6] != once[6:]
    assert values(5) == once and values(5, start=4, steps=2) == once[8:]
    assert values(6) != once


def test_counting():
    assert count_records(options(examples())) == 6
    assert count_records(options(examples(), sample_1_of_n_examples=4)) == 2
    assert count_records(options(lambda: iter(()))) is None


def test_a_list_says_how_many_boxes_evaluation_needs_room_for():
    many = [(np.zeros((4, 4, 3), np.uint8), [[0, 0, 4, 4]] * 5, [1] * 5)]
    (example,) = eval_dataset(options(many), RESIZER, 1)
    assert example.groundtruth.boxes.shape == (1, 5, 4)


def test_paths_and_bytes_are_images_too(tmp_path):
    Image.fromarray(np.full((4, 6, 3), 90, np.uint8)).save(tmp_path / "a.png")
    given = [
        (str(tmp_path / "a.png"), [], []),
        ((tmp_path / "a.png").read_bytes(), [], []),
        (tmp_path / "a.png", [], []),
    ]
    for example in eval_dataset(options(given), RESIZER, 1):
        assert example.batch.images.numpy().mean() == 90


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 2), (2, 3), (5, 4)])
def test_a_bitmap_is_the_image(height, width):
    image = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    np.testing.assert_array_equal(tf.io.decode_image(bitmap(image)), image)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(bitmap(image)))), image)


IMAGE = np.zeros((10, 20, 3), np.uint8)
FAULTS = {
    "not an example; give": (IMAGE, [[0, 0, 4, 4]]),
    "the image is float32": (IMAGE.astype("f4"), [], []),
    "none.png: cannot be read": ("none.png", [], []),
    "the image cannot be decoded": (b"GIF8", [], []),
    r"has 1 boxes and 2 classes": (IMAGE, [[0, 0, 4, 4]], [1, 2]),
    r"the boxes have the shape \[1, 3\]": (IMAGE, [[0, 0, 4]], [1]),
    "no coordinate exceeds 1; boxes are expected in pixels": (IMAGE, [[0.1, 0.1, 0.5, 1.0]], [1]),
    r"'bird' is not a class of the label map \(/m/a, cat, dog\)": (IMAGE, [[0, 0, 4, 4]], ["bird"]),
    "1.5 is not a label id": (IMAGE, [[0, 0, 4, 4]], [1.5]),
    "image/object/bbox .* the minimum exceeds the maximum": (IMAGE, [[4, 0, 0, 4]], [1]),
    "image/object/bbox .* far outside the image": (IMAGE, [[0, 0, 44, 4]], [1]),
    "the classes are a int": (IMAGE, [[0, 0, 4, 4]], 1),
    "None is not a label id": (IMAGE, [[0, 0, 4, 4]], [None]),
    "label 7 of box 0 is unknown": (IMAGE, [[0, 0, 4, 4]], [7]),
}


@pytest.mark.parametrize("said", FAULTS)
@pytest.mark.parametrize("kind", ["list", "function"])
def test_faults_name_the_example(said, kind):
    given = [*examples(1), FAULTS[said]]
    read = options(given if kind == "list" else lambda: iter(given), max_number_of_boxes=9)
    with pytest.raises(DataError, match=f"^training data, record 1: .*{said}"):
        list(iterate(eval_dataset(read, RESIZER, 1), read))


def test_faults_of_the_source_itself():
    def broken():
        yield examples(1)[0]
        raise OSError("the disk is gone")

    def read(source):
        given = options(source)
        return list(iterate(train_dataset(given, (), RESIZER, 1, 0).take(9), given))

    with pytest.raises(DataError, match="^training data: reading it failed with OSError: the disk is gone"):
        read(broken)
    with pytest.raises(DataError, match="^training data: an epoch has no examples"):
        read(lambda: iter(()))
    with pytest.raises(DataError, match="^training data: the list is empty"):
        read([])
    with pytest.raises(DataError, match="^training data: generator is neither a list, nor a function"):
        read(broken())


def test_a_pipeline_without_readers_takes_the_classes_of_its_model(tmp_path):
    pipeline = dataclasses.replace(make_pipeline(tmp_path), train_input=None, eval_inputs=())
    pipeline = pipeline.with_data(training=examples(), evaluation=examples())
    for reader in (pipeline.train_input, pipeline.eval_input):
        assert reader.categories == pipeline.categories and reader.num_classes == 2 and reader.paths == ()
    assert pipeline.train_input.num_epochs == 0 and pipeline.eval_input.num_epochs == 1


def test_serialize_says_what_it_was_given():
    with pytest.raises(DataError, match=r"^x: not an example; give \(image, boxes, classes\)"):
        serialize({"image": IMAGE, "boxes": []}, "x", "0", {})


def test_a_pipeline_is_trained_resumed_and_evaluated_on_data_from_python(tmp_path):
    rng = np.random.default_rng(0)
    data = [(rng.integers(0, 255, (8, 8, 3), np.uint8), [[0, 0, 4, 4]], ["a"]) for _ in range(8)]
    pipeline = make_pipeline(tmp_path).with_data(training=lambda: iter(data), evaluation=data[:4])
    quick = RunOptions(checkpoint_every=3, seed=1, summaries=False)
    stream = io.StringIO()
    whole = loop.train(pipeline, tmp_path / "whole", options=quick, stream=stream)
    loop.train(pipeline, tmp_path / "halves", options=quick, stream=stream, num_steps=3)
    assert loop.train(pipeline, tmp_path / "halves", options=quick, stream=stream) == whole
    assert "4 images, 4 boxes" in stream.getvalue() and "Loss/total_loss" in whole
