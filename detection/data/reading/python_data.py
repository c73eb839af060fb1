"""Data of one's own from Python: (image, boxes, classes) from a list, from a function that returns an iterator, or from
a `tf.data.Dataset`, read as if it came out of record files.

| field | what |
|---|---|
| image | uint8 [h, w, 3] RGB array, the path of an image file, or its bytes |
| boxes | float [n, 4], ymin, xmin, ymax, xmax in pixels of that image, as detectors give them back |
| classes | n label ids (from 1), or n names of the label map |

Each example becomes a record in memory when its turn comes, so that it is checked, augmented and batched as records
are; pixels travel as an uncompressed BMP file. A list is shuffled as a whole. A function is called once an epoch, and
its examples, as those of a data set, are shuffled within `shuffle_buffer_size` records.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from detection.data.image_decode import UndecodableImage, check_header
from detection.data.reading.tracing import without_autograph
from detection.data.record_writer import RecordBox, RecordImage, to_example
from detection.data.sample import Record
from detection.errors import DataError
from detection.types import MAX_PIXELS, Category

ACCEPTED = "give (image, boxes, classes): " + (
    "a uint8 [height, width, 3] RGB array or the path of an image, [n, 4] boxes in pixels, n label ids or names"
)
_RECORD = tf.TensorSpec([], tf.string)


class Annotated(NamedTuple):
    """One example; a plain tuple of the three does as well."""

    image: np.ndarray | str | os.PathLike[str] | bytes
    boxes: object  # float [n, 4], pixels
    classes: object  # n label ids or names


Source = Sequence[Annotated] | Callable[[], Iterable[Annotated]] | tf.data.Dataset


class PythonData:
    """Examples as records.

    Args:
        source: a sequence, a function that returns a new iterator of one epoch, or a data set.
        name: what messages call it, for example "training data".
        categories: the label map, whose names may stand for ids.
        shuffle_buffer_size: examples of a function or data set that are shuffled together.

    Raises:
        DataError: it is none of these, or an empty sequence.
    """

    def __init__(
        self,
        source: Source,
        name: str,
        categories: Sequence[Category] = (),
        shuffle_buffer_size: int = 2048,
    ) -> None:
        self.name = name
        self.failure: DataError | None = None  # the first example that could not be used, for `iteration.translate`
        names = ((text, category.id) for category in categories for text in (category.name, category.display_name))
        self._ids = {text: label for text, label in names if text}
        self._buffer = shuffle_buffer_size
        self._list: Sequence[Annotated] | None = None
        if isinstance(source, tf.data.Dataset):
            self._epoch: Callable[[], Iterable[object]] = source.as_numpy_iterator
        elif callable(source):
            self._epoch = source
        elif isinstance(source, Sequence) and not isinstance(source, str | bytes):
            if not source:
                raise DataError(f"{name}: the list is empty")
            self._list = source
        else:
            raise DataError(
                f"{name}: {type(source).__name__} is neither a list, nor a function that returns an iterator (one that"
                " is used up after an epoch cannot be read again), nor a tf.data.Dataset"
            )

    @property
    def count(self) -> int | None:
        """Examples in an epoch; None where only reading tells."""
        return None if self._list is None else len(self._list)

    @property
    def most_boxes(self) -> int | None:
        """Boxes of the example with the most; None where only reading tells."""
        if self._list is None:
            return None
        return max((len(example[1]) for example in self._list if len(example) == 3), default=0)

    def records(self, seed: tf.Tensor | None = None) -> tf.data.Dataset:
        """One epoch of `Record`s, in order, or in the order that follows from the seed."""
        if self._list is None:
            numbered = tf.data.Dataset.from_generator(self._streamed, output_signature=_RECORD).enumerate()
            records = numbered.map(without_autograph(self._record))
            return records if seed is None else records.shuffle(max(self._buffer, 1), seed=seed)
        numbers = tf.data.Dataset.range(len(self._list))
        if seed is not None:
            numbers = numbers.shuffle(len(self._list), seed=seed)
        return numbers.map(
            without_autograph(lambda number: self._record(number, self._look_up(number))),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )

    def _record(self, number: tf.Tensor, serialized: tf.Tensor) -> Record:
        return Record(tf.constant(self.name), number, serialized)

    def _look_up(self, number: tf.Tensor) -> tf.Tensor:
        serialized = tf.numpy_function(lambda index: self._serialized(index, self._list[index]), [number], tf.string)
        return tf.ensure_shape(serialized, [])

    def _streamed(self) -> Iterator[bytes]:
        number = -1
        try:
            for number, example in enumerate(self._epoch()):
                yield self._serialized(number, example)
        except DataError:
            raise
        except Exception as error:
            self.failure = DataError(f"{self.name}: reading it failed with {type(error).__name__}: {error}")
            raise self.failure from error
        if number < 0:  # Epoch after empty epoch would be read for ever.
            self.failure = DataError(f"{self.name}: an epoch holds no example")
            raise self.failure

    def _serialized(self, number: int, example: object) -> bytes:
        try:
            return serialize(example, f"{self.name}, record {number}", f"{number}", self._ids)
        except DataError as error:
            self.failure = self.failure or error
            raise


def serialize(example: object, name: str, source_id: str, ids: dict[str, int]) -> bytes:
    """A `tf.train.Example` of one example.

    Args:
        example: see `Annotated`; of a data set also a mapping with its fields.
        name: of the example, for messages.
        source_id: its id in evaluations.
        ids: label ids by name.

    Raises:
        DataError: it cannot be used.
    """
    if isinstance(example, dict):
        example = tuple(example.get(field) for field in Annotated._fields)
    if not isinstance(example, tuple | list) or len(example) != 3 or any(part is None for part in example):
        raise DataError(f"{name}: is no example; {ACCEPTED}")
    image, boxes, classes = example
    encoded, kind, (height, width), path = _image(image, name)
    corners = _boxes(boxes, name)
    labels = [_label(label, name, ids) for label in _listed(classes, name)]
    if len(labels) != len(corners):
        raise DataError(f"{name}: has {len(corners)} boxes and {len(labels)} classes; give one class a box")
    if len(corners) and corners.max() <= 1.0 < min(height, width):
        raise DataError(
            f"{name}: no box reaches beyond 1; boxes are expected in pixels: multiply by the image's height and width"
        )
    sides = np.array([height, width, height, width], np.float64)
    made = tuple(
        RecordBox(*(row / sides).tolist(), label, "", float((row[2] - row[0]) * (row[3] - row[1])))
        for row, label in zip(corners, labels, strict=True)
    )
    return to_example(RecordImage(encoded, kind, height, width, path, source_id, made)).SerializeToString()


def _image(image: object, name: str) -> tuple[bytes, str, tuple[int, int], str]:
    """The file, its kind, (height, width) and path."""
    path = ""
    if isinstance(image, np.ndarray) and image.ndim == 0:  # a string from a data set
        image = image.item()
    if isinstance(image, str | os.PathLike):
        path = os.fspath(image)
        try:
            with open(path, "rb") as stream:
                image = stream.read()
        except OSError as error:
            raise DataError(f"{name}: {path}: cannot be read ({error.strerror or error})") from error
    if isinstance(image, bytes):
        try:
            header = check_header(image)
        except UndecodableImage as error:
            raise DataError(f"{name}: {path or 'the image'} cannot be decoded ({error})") from error
        return image, header.kind, (header.height, header.width), path
    array = np.asarray(image)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[-1] != 3 or 0 in array.shape:
        raise DataError(f"{name}: the image is {array.dtype} {list(array.shape)}; {ACCEPTED}")
    if array.shape[0] * array.shape[1] > MAX_PIXELS:
        raise DataError(f"{name}: the image has more than {MAX_PIXELS:,} pixels; scale it down")
    return bitmap(array), "bmp", array.shape[:2], path


def bitmap(image: np.ndarray) -> bytes:
    """A BMP file of a uint8 [h, w, 3] RGB image: rows from the bottom, blue first, each filled up to four bytes."""
    height, width, _ = image.shape
    rows = np.zeros((height, -(-3 * width // 4) * 4), np.uint8)
    rows[:, : 3 * width] = image[::-1, :, ::-1].reshape(height, -1)
    sizes = struct.pack("<IHHI", 54 + rows.size, 0, 0, 54)
    return (
        b"BM" + sizes + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, rows.size, 0, 0, 0, 0) + rows.tobytes()
    )


def _boxes(boxes: object, name: str) -> np.ndarray:
    """float64 [n, 4]."""
    try:
        array = np.asarray(boxes, np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name}: the boxes are no array of numbers ({error}); {ACCEPTED}") from error
    if array.size == 0:
        return np.zeros((0, 4))
    if array.ndim != 2 or array.shape[1] != 4:
        raise DataError(f"{name}: the boxes are {list(array.shape)}; {ACCEPTED}")
    return array


def _listed(classes: object, name: str) -> list:
    """Ids and names; a list may hold both."""
    if isinstance(classes, list | tuple):
        return list(classes)
    if not hasattr(classes, "__array__"):
        raise DataError(f"{name}: the classes are a {type(classes).__name__}; {ACCEPTED}")
    return np.asarray(classes).reshape(-1).tolist()


def _label(label: object, name: str, ids: dict[str, int]) -> int:
    label = label.decode("utf-8", "replace") if isinstance(label, bytes) else label
    if isinstance(label, str):
        if label not in ids:
            known = ", ".join(sorted(ids)[:20])
            raise DataError(f"{name}: {label!r} is no class of the label map ({known})")
        return ids[label]
    if not isinstance(label, int | float | np.number) or isinstance(label, bool) or label != int(label):
        raise DataError(f"{name}: {label!r} is no label id; {ACCEPTED}")
    return int(label)
