"""Data from Python instead of record files.

Examples (image, boxes, classes) come from a list, from a function that returns an iterator, or from a
`tf.data.Dataset`:

| field | content |
|---|---|
| image | uint8 [h, w, 3] RGB array, the path of an image file, or its bytes |
| boxes | float [n, 4], ymin, xmin, ymax, xmax in pixels of that image, as detectors return them |
| classes | n label ids (from 1), or n names of the label map |

Each example is converted to a record in memory when it is read, so that it is checked, augmented and batched like other
records; pixels are stored as an uncompressed BMP file. A list is shuffled as a whole. A function is called once per
epoch; its examples, like those of a data set, are shuffled within `shuffle_buffer_size` records.
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
    """One example; a plain tuple of the three fields can be used too."""

    image: np.ndarray | str | os.PathLike[str] | bytes
    boxes: object  # float [n, 4], pixels
    classes: object  # n label ids or names


Source = Sequence[Annotated] | Callable[[], Iterable[Annotated]] | tf.data.Dataset


class PythonData:
    """Examples from Python as records.

    Args:
        source: a sequence, a function that returns a new iterator of one epoch, or a data set.
        name: the name in messages, for example "training data".
        categories: the label map, to use names in place of ids.
        shuffle_buffer_size: examples of a function or data set that are shuffled together.

    Raises:
        DataError: the source is none of these, or an empty sequence.
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
                f"{name}: {type(source).__name__} is neither a list, nor a function that returns an iterator (an"
                " iterator itself cannot be read again after an epoch), nor a tf.data.Dataset"
            )

    @property
    def count(self) -> int | None:
        """Number of examples in an epoch; None if it is unknown before reading."""
        return None if self._list is None else len(self._list)

    @property
    def most_boxes(self) -> int | None:
        """Largest number of boxes of an example; None if it is unknown before reading."""
        if self._list is None:
            return None
        return max((len(example[1]) for example in self._list if len(example) == 3), default=0)

    def records(self, seed: tf.Tensor | None = None) -> tf.data.Dataset:
        """One epoch of `Record`s, in order, or shuffled with the seed (int64 scalar)."""
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
        if number < 0:  # Otherwise empty epochs would be read forever.
            self.failure = DataError(f"{self.name}: an epoch has no examples")
            raise self.failure

    def _serialized(self, number: int, example: object) -> bytes:
        try:
            return serialize(example, f"{self.name}, record {number}", f"{number}", self._ids)
        except DataError as error:
            self.failure = self.failure or error
            raise


def serialize(example: object, name: str, source_id: str, ids: dict[str, int]) -> bytes:
    """Serialises one example as a `tf.train.Example`.

    Args:
        example: see `Annotated`; from a data set also a mapping with its fields.
        name: of the example, for messages.
        source_id: its id in evaluations.
        ids: label ids by name.

    Raises:
        DataError: the example cannot be used.
    """
    if isinstance(example, dict):
        example = tuple(example.get(field) for field in Annotated._fields)
    if not isinstance(example, tuple | list) or len(example) != 3 or any(part is None for part in example):
        raise DataError(f"{name}: not an example; {ACCEPTED}")
    image, boxes, classes = example
    encoded, kind, (height, width), path = _image(image, name)
    corners = _boxes(boxes, name)
    labels = [_label(label, name, ids) for label in _listed(classes, name)]
    if len(labels) != len(corners):
        raise DataError(f"{name}: has {len(corners)} boxes and {len(labels)} classes; give one class for each box")
    if len(corners) and corners.max() <= 1.0 < min(height, width):
        raise DataError(
            f"{name}: no coordinate exceeds 1; boxes are expected in pixels: multiply by the image's height and width"
        )
    sides = np.array([height, width, height, width], np.float64)
    record_boxes = tuple(
        RecordBox(*(row / sides).tolist(), label, "", float((row[2] - row[0]) * (row[3] - row[1])))
        for row, label in zip(corners, labels, strict=True)
    )
    return to_example(RecordImage(encoded, kind, height, width, path, source_id, record_boxes)).SerializeToString()


def _image(image: object, name: str) -> tuple[bytes, str, tuple[int, int], str]:
    """The encoded image, its format, (height, width) and path."""
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
    """Encodes a uint8 [h, w, 3] RGB image as BMP: rows from the bottom, blue first, padded to four bytes."""
    height, width, _ = image.shape
    rows = np.zeros((height, -(-3 * width // 4) * 4), np.uint8)
    rows[:, : 3 * width] = image[::-1, :, ::-1].reshape(height, -1)
    sizes = struct.pack("<IHHI", 54 + rows.size, 0, 0, 54)
    return (
        b"BM" + sizes + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, rows.size, 0, 0, 0, 0) + rows.tobytes()
    )


def _boxes(boxes: object, name: str) -> np.ndarray:
    """The boxes as float64 [n, 4]."""
    try:
        array = np.asarray(boxes, np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name}: the boxes are not an array of numbers ({error}); {ACCEPTED}") from error
    if array.size == 0:
        return np.zeros((0, 4))
    if array.ndim != 2 or array.shape[1] != 4:
        raise DataError(f"{name}: the boxes have the shape {list(array.shape)}; {ACCEPTED}")
    return array


def _listed(classes: object, name: str) -> list:
    """The classes as a list of ids and names, which may be mixed."""
    if isinstance(classes, list | tuple):
        return list(classes)
    if not hasattr(classes, "__array__"):
        raise DataError(f"{name}: the classes are a {type(classes).__name__}; {ACCEPTED}")
    return np.asarray(classes).reshape(-1).tolist()


def _label(label: object, name: str, ids: dict[str, int]) -> int:
    label = label.decode("utf-8", "replace") if isinstance(label, bytes) else label
    if isinstance(label, str):
        if label not in ids:
            known_names = ", ".join(sorted(ids)[:20])
            raise DataError(f"{name}: {label!r} is not a class of the label map ({known_names})")
        return ids[label]
    if not isinstance(label, int | float | np.number) or isinstance(label, bool) or label != int(label):
        raise DataError(f"{name}: {label!r} is not a label id; {ACCEPTED}")
    return int(label)
