"""Small hand-made records."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from detection.data.reading.options import InputOptions
from detection.types import Category

CATEGORIES = (Category(1, "cat"), Category(3, "dog"))


def encode(**features: object) -> bytes:
    """A serialized tf.Example; `__` in a name stands for `/`, None leaves a key out. Lists of str, int or float decide
    the type."""
    message = tf.train.Example()
    for key, value in features.items():
        if value is None:
            continue
        values = list(value) if isinstance(value, list | tuple | np.ndarray) else [value]
        feature = message.features.feature[key.replace("__", "/")]  # an empty list stays without a type
        if not values:
            continue
        if isinstance(values[0], str | bytes):
            feature.bytes_list.value.extend(v.encode() if isinstance(v, str) else v for v in values)
        elif isinstance(values[0], int | np.integer):
            feature.int64_list.value.extend(values)
        else:
            feature.float_list.value.extend(values)
    return message.SerializeToString()


def picture(height: int = 20, width: int = 30, value: int = 100) -> np.ndarray:
    """uint8 [height, width, 3] with a ramp, so that orientation shows."""
    image = np.full([height, width, 3], value, np.uint8)
    image[..., 0] = np.arange(width) * 255 // width
    image[..., 1] = (np.arange(height) * 255 // height)[:, None]
    return image


def example(boxes=((0.1, 0.2, 0.5, 0.6),), height: int = 20, width: int = 30, **changes: object) -> bytes:
    """A good tf.Example with one box (ymin, xmin, ymax, xmax) of class 1, but for `changes`."""
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    features = {
        "image__encoded": tf.io.encode_png(picture(height, width)).numpy(),
        "image__height": height,
        "image__width": width,
        "image__source_id": "7",
        "image__filename": "seven.png",
        **{
            f"image__object__bbox__{side}": boxes[:, column]
            for column, side in enumerate(("ymin", "xmin", "ymax", "xmax"))
        },
        "image__object__class__label": [1] * len(boxes),
    }
    return encode(**{**features, **changes})


def write_shard(path: Path, *examples: bytes) -> str:
    """Writes a shard of these records; returns its path."""
    with tf.io.TFRecordWriter(str(path)) as writer:
        for serialized in examples:
            writer.write(serialized)
    return str(path)


def input_options(*paths: str, **changes: object) -> InputOptions:
    """How shards of such records are read, but for `changes`: two classes, ids 1 and 3."""
    texts = (("cat", 1), ("dog", 3), ("Hund", 3))
    settings = {"categories": CATEGORIES, "text_ids": texts, "label_source": "pets.pbtxt", "max_number_of_boxes": 5}
    return InputOptions(paths=paths, **{**settings, **changes})


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """write(example, ..., name="x.record") -> path of a shard in a fresh folder."""

    def shard(*examples: bytes, name: str = "data.record") -> str:
        return write_shard(tmp_path / name, *examples)

    return shard


@pytest.fixture
def options() -> Callable[..., InputOptions]:
    """options(path, ..., field=value) -> InputOptions for two classes, ids 1 and 3."""
    return input_options


@pytest.fixture
def numbered(write, example, options):
    """numbered(7, 4) -> options for shards of 7 and 4 records with source ids 0 to 10."""

    def make(*sizes: int, **changes: object) -> InputOptions:
        paths, start = [], 0
        for number, size in enumerate(sizes):
            records = [
                example(image__source_id=str(index), boxes=[(0.1, 0.2, 0.5, 0.6), (0, 0, 1, 1)])
                for index in range(start, start + size)
            ]
            paths.append(write(*records, name=f"part-{number}.record"))
            start += size
        return options(*paths, **changes)

    return make


@pytest.fixture(name="example")
def example_fixture() -> Callable[..., bytes]:
    """The function `example`, for tests that build records."""
    return example


@pytest.fixture(name="picture")
def picture_fixture() -> Callable[..., np.ndarray]:
    """The function `picture`."""
    return picture
