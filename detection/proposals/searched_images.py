"""The images for which proposals are made: records, or a folder of files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import tensorflow as tf

from detection.data import image_decode
from detection.data.convert import images
from detection.data.convert.source import IMAGE_EXTENSIONS, FolderIndex
from detection.data.reading import shard_files
from detection.errors import ConfigError, DataError, first_line


class SourceImage(NamedTuple):
    """One image, not decoded yet."""

    id: str  # under which its proposals are saved and looked up
    where: str  # for messages
    encoded: bytes
    # Groundtruth boxes float32 [n, 4] as fractions of the image, without crowds and difficult ones; None if unknown.
    objects: np.ndarray | None


class ImageSource(Protocol):
    """Images in a fixed order."""

    def count(self) -> int:
        """Number of images."""

    def fingerprint(self) -> object:
        """JSON values that change when the images change."""

    def __iter__(self) -> Iterator[SourceImage]: ...


@dataclass(frozen=True)
class Records:
    """The images of TFRecords, identified by source id or, without one, by file name."""

    patterns: tuple[str, ...]
    field: str = "--input_path"

    def count(self) -> int:
        """Number of images, from the headers of the records."""
        return sum(shard_files.count_records(path) for path in shard_files.list_shards(self.patterns, self.field))

    def fingerprint(self) -> object:
        """Names and sizes of the shards."""
        return [
            [os.path.basename(path), tf.io.gfile.stat(path).length]
            for path in shard_files.list_shards(self.patterns, self.field)
        ]

    def __iter__(self) -> Iterator[SourceImage]:
        """Raises DataError for a shard that cannot be read to its end, and for a record without an id."""
        files = shard_files.list_shards(self.patterns, self.field)
        for path in files:
            try:
                for number, serialized in enumerate(
                    tf.data.TFRecordDataset(path, buffer_size=1 << 20).as_numpy_iterator()
                ):
                    yield _of_record(f"{path}, record {number}", serialized)
            except tf.errors.OpError as error:
                raise shard_files.find_corruption([path]) or DataError(
                    f"{path}: cannot be read: {first_line(error)}"
                ) from error


def _of_record(where: str, serialized: bytes) -> SourceImage:
    try:
        features = tf.train.Example.FromString(serialized).features.feature
    except Exception as error:  # The type of protobuf's error depends on its version.
        raise DataError(f"{where}: is not a tf.Example; `detection validate` lists all faults") from error

    def text(key: str) -> str:
        return b"".join(features[key].bytes_list.value[:1]).decode("utf-8", "replace")

    identity = text("image/source_id") or text("image/filename")
    encoded = b"".join(features["image/encoded"].bytes_list.value[:1])
    if not identity:
        raise DataError(
            f"{where}: has neither image/source_id nor image/filename, so its proposals could not be looked up;"
            " write one"
        )
    return SourceImage(identity, f"{where} ({identity})", encoded, _objects(features))


def _objects(features) -> np.ndarray:
    sides = [
        np.array(features[f"image/object/bbox/{side}"].float_list.value, np.float32)
        for side in ("ymin", "xmin", "ymax", "xmax")
    ]
    if len({len(side) for side in sides}) > 1:
        # Validation and training report this fault; here the objects are only missing from the recall table.
        return np.zeros([0, 4], np.float32)
    boxes = np.stack(sides, axis=1)
    flags = [np.array(features[f"image/object/{key}"].int64_list.value) for key in ("is_crowd", "difficult")]
    left_out = [flag != 0 for flag in flags if len(flag) == len(boxes)]
    return boxes[~np.any([np.zeros(len(boxes), bool), *left_out], axis=0)]


@dataclass(frozen=True)
class Folder:
    """The images below a folder, identified by their relative paths."""

    path: str

    def _index(self) -> FolderIndex:
        index = FolderIndex(self.path, IMAGE_EXTENSIONS)
        if not index.names:
            what = "contains no image" if os.path.isdir(self.path) else "no such folder"
            raise ConfigError(f"--image_dir={self.path}: {what}; name a folder of JPEG or PNG files")
        return index

    def count(self) -> int:
        """Number of files with an image extension."""
        return len(self._index().names)

    def fingerprint(self) -> object:
        """Names and sizes of the files."""
        index = self._index()
        return [[name, index.path(name).stat().st_size] for name in index.names]

    def __iter__(self) -> Iterator[SourceImage]:
        """Raises DataError for a file that cannot be read."""
        index = self._index()
        for name in index.names:
            path = index.path(name)
            try:
                yield SourceImage(name, str(path), path.read_bytes(), None)
            except OSError as error:
                raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def decode(image: SourceImage) -> np.ndarray:
    """Decodes an image to uint8 [height, width, 3], the same pixels as in training.

    Raises:
        DataError: the image cannot be decoded, or is too large.
    """
    try:
        loaded = images.check(image.encoded, image.where)
    except images.BadImage as error:
        fix = "`detection validate` finds all such images, `detection convert` skips them"
        raise DataError(f"{error.fault.file}: {error.fault.value}; {fix}") from error
    return image_decode.decode(loaded.encoded)
