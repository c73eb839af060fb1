"""Writes records, one tf.Example per image with the keys of the TF Object Detection API, in shards.

Shards appear complete or not at all. Boxes are stored as fractions: x / width, y / height, without an offset of half or
one pixel, whatever the convention of the source. A manifest is written beside the shards: TensorFlow cannot distinguish
a file that is truncated between two records from a shorter one, the manifest can. While the shards are renamed to their
final names, the manifest says so ("state": "publishing"): if a conversion is killed in between, readers reject the set.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import tensorflow as tf

from detection import files, json_text
from detection.errors import DataError, PathError
from detection.files import write_text

MANIFEST_SUFFIX = ".manifest.json"
PUBLISHING = "publishing"  # the manifest's "state" while its shards replace older ones


class RecordBox(NamedTuple):
    """One box of a record."""

    ymin: float  # normalised, 0 to 1; likewise the next three
    xmin: float
    ymax: float
    xmax: float
    label: int  # label map id, from 1
    text: str  # the class's name in the label map
    area: float  # pixels² of the original image
    difficult: bool = False
    is_crowd: bool = False
    group_of: bool = False
    truncated: bool = False
    view: str = ""
    weight: float = 1.0
    occluded: bool = False
    depiction: bool = False


class RecordLabel(NamedTuple):
    """A class of a whole image."""

    label: int  # label map id, from 1
    text: str
    confidence: float  # 1: it is there; 0: it is not


class RecordImage(NamedTuple):
    """One record: an encoded image and its boxes."""

    encoded: bytes  # JPEG or PNG, as `format` says
    format: str  # "jpeg" or "png"
    height: int  # of the decoded image, pixels
    width: int
    filename: str
    source_id: str  # unique in the data set
    boxes: tuple[RecordBox, ...]
    labels: tuple[RecordLabel, ...] = ()


def to_example(image: RecordImage) -> tf.train.Example:
    """The tf.Example of an image."""
    boxes = image.boxes
    return tf.train.Example(
        features=tf.train.Features(
            feature={
                "image/encoded": _bytes([image.encoded]),
                "image/format": _bytes([image.format.encode()]),
                "image/key/sha256": _bytes([hashlib.sha256(image.encoded).hexdigest().encode()]),
                "image/filename": _bytes([_utf8(image.filename)]),
                "image/source_id": _bytes([_utf8(image.source_id)]),
                "image/height": _ints([image.height]),
                "image/width": _ints([image.width]),
                "image/object/bbox/ymin": _floats(box.ymin for box in boxes),
                "image/object/bbox/xmin": _floats(box.xmin for box in boxes),
                "image/object/bbox/ymax": _floats(box.ymax for box in boxes),
                "image/object/bbox/xmax": _floats(box.xmax for box in boxes),
                "image/object/class/label": _ints(box.label for box in boxes),
                "image/object/class/text": _bytes(_utf8(box.text) for box in boxes),
                "image/object/area": _floats(box.area for box in boxes),
                "image/object/difficult": _ints(box.difficult for box in boxes),
                "image/object/is_crowd": _ints(box.is_crowd for box in boxes),
                "image/object/group_of": _ints(box.group_of for box in boxes),
                "image/object/truncated": _ints(box.truncated for box in boxes),
                "image/object/view": _bytes(_utf8(box.view) for box in boxes),
                "image/object/weight": _floats(box.weight for box in boxes),
                **_rare(image),
            }
        )
    )


def _rare(image: RecordImage) -> dict[str, tf.train.Feature]:
    """What few data sets annotate; left out where there is none of it."""
    features = {}
    if any(box.occluded for box in image.boxes):
        features["image/object/occluded"] = _ints(box.occluded for box in image.boxes)
    if any(box.depiction for box in image.boxes):
        features["image/object/depiction"] = _ints(box.depiction for box in image.boxes)
    if image.labels:
        features["image/class/label"] = _ints(each.label for each in image.labels)
        features["image/class/text"] = _bytes(_utf8(each.text) for each in image.labels)
        features["image/class/confidence"] = _floats(each.confidence for each in image.labels)
    return features


def shard_path(prefix: str | os.PathLike[str], index: int, count: int) -> Path:
    """Path of a shard, such as `<prefix>-00000-of-00010`."""
    return Path(f"{os.fspath(prefix)}-{index:05d}-of-{count:05d}")


def manifest_path(prefix: str | os.PathLike[str]) -> Path:
    """Path of the manifest of the shards `<prefix>-?????-of-?????`."""
    return Path(f"{os.fspath(prefix)}{MANIFEST_SUFFIX}")


class ShardedWriter:
    """Writes records round robin into shards; a context manager.

    The shards are written under temporary names and renamed when the block ends without an exception: first a manifest
    with the state "publishing" is written, then each shard is renamed, then the final manifest is written. After an
    exception no files remain. The same records in the same order give the same bytes.

    Args:
        prefix: path of the shards up to `-00000-of-...`; its folder is created if missing.
        num_shards: number of files; those without records are empty files. None: one file called
            `prefix` itself.
        overwrite: replace existing shards of the same prefix (of any number); otherwise they are an error.
    """

    def __init__(self, prefix: str | os.PathLike[str], num_shards: int | None = 1, overwrite: bool = False) -> None:
        if num_shards is not None and num_shards < 1:
            raise DataError(f"{os.fspath(prefix)}: num_shards is {num_shards}; at least 1 is needed")
        self.prefix = Path(prefix)
        shards = [shard_path(prefix, index, num_shards) for index in range(num_shards or 0)]
        self.paths = shards or [self.prefix]
        self._partial = [path.with_name(f".{path.name}.tmp-{os.getpid()}") for path in self.paths]
        self._old = _shards_of(self.prefix) if shards else [path for path in self.paths if path.exists()]
        if self._old and not overwrite:
            raise DataError(f"{self._old[0]}: exists already; choose another output or pass --overwrite")
        self._records = [0] * len(self.paths)
        self._boxes: Counter[tuple[int, str]] = Counter()
        self._most_boxes = 0
        self._writers: list[tf.io.TFRecordWriter] = []

    def __enter__(self) -> ShardedWriter:
        with self._explain_errors():
            self.prefix.parent.mkdir(parents=True, exist_ok=True)
            _remove_leftovers(self.prefix)
            self._writers = [tf.io.TFRecordWriter(os.fspath(path)) for path in self._partial]
        return self

    def write(self, serialized: bytes, image: RecordImage) -> None:
        """Appends a record to the next shard.

        Args:
            serialized: `image` as serialised by `to_example`.
            image: for the counts in the manifest.
        """
        shard = sum(self._records) % len(self.paths)
        with self._explain_errors():
            self._writers[shard].write(serialized)
        self._records[shard] += 1
        self._most_boxes = max(self._most_boxes, len(image.boxes))
        self._boxes.update((box.label, box.text) for box in image.boxes)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            with self._explain_errors():
                for writer in self._writers:
                    writer.close()
            if kind is None:
                with self._explain_errors():
                    self._publish()
        finally:
            for path in self._partial:
                path.unlink(missing_ok=True)

    def _publish(self) -> None:
        shards = []
        for path, partial, records in zip(self.paths, self._partial, self._records, strict=True):
            with partial.open("rb") as stream:
                os.fsync(stream.fileno())
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            shards.append({"name": path.name, "records": records, "bytes": partial.stat().st_size, "sha256": digest})
        content = {
            "version": 1,
            "records": sum(self._records),
            "boxes": self._boxes.total(),
            "max_boxes": self._most_boxes,
            "classes": [
                {"id": label, "name": text, "boxes": count} for (label, text), count in sorted(self._boxes.items())
            ],
            "shards": shards,
        }
        manifest = manifest_path(self.prefix)
        write_json(manifest, {"state": PUBLISHING, **content})
        for path, partial in zip(self.paths, self._partial, strict=True):
            partial.replace(path)
        for path in set(self._old) - set(self.paths):
            path.unlink(missing_ok=True)
        write_json(manifest, content)

    @contextlib.contextmanager
    def _explain_errors(self) -> Iterator[None]:
        try:
            yield
        except (OSError, tf.errors.OpError) as error:
            raise PathError(
                f"{self.prefix}: cannot write records: {files.reason(error)}; check the folder and its free space"
            ) from error


def read_manifest(path: str | os.PathLike[str]) -> dict | None:
    """Reads the manifest of the shard at `path`; None if there is none.

    Raises:
        DataError: the manifest is damaged.
    """
    is_shard, file = _manifest_for(path)
    if not file.exists():
        return None
    try:
        content = json_text.read_object(file)
        shards = content.get("shards")
        if not isinstance(shards, list) or not all(_is_shard(shard) for shard in shards):
            raise ValueError(
                "its shards are not a list of objects, each with the name of a file beside it and its number of records"
            )
        by_name = {shard["name"]: shard for shard in shards}
        # Beside a set of shards may lie a file that is called as they begin, and none of them.
        return {**content, "shards": by_name} if is_shard or os.path.basename(os.fspath(path)) in by_name else None
    except (OSError, ValueError) as error:
        raise DataError(
            f"{file}: not a manifest of records ({error}); convert again, or delete it to read the shards unchecked"
        ) from error


def _manifest_for(path: str | os.PathLike[str]) -> tuple[bool, Path]:
    """Whether a file of records is called as a shard is, and where its manifest lies if it has one."""
    match = re.fullmatch(r"(.*)-\d{5}-of-\d{5}", os.fspath(path))
    return match is not None, manifest_path(match.group(1) if match else path)


def check_published(path: str | os.PathLike[str], manifest: dict) -> None:
    """Checks that a shard belongs to a complete set.

    Args:
        path: of the shard.
        manifest: of the shard.

    Raises:
        DataError: its set was not written completely, or the manifest does not list the shard.
    """
    name, file = os.path.basename(os.fspath(path)), _manifest_for(path)[1]
    if manifest.get("state") == PUBLISHING:
        raise DataError(
            f"{os.fspath(path)}: according to {file}, this set is being written; if no `detection convert` is running,"
            " one was killed halfway and old and new shards are mixed: convert again with --overwrite"
        )
    if name not in manifest["shards"]:
        example = next(iter(manifest["shards"]), "none")
        raise DataError(
            f"{os.fspath(path)}: is not in the set of {file} ({example}, ...), but left over from another set; delete"
            " it"
        )


def _is_shard(entry: object) -> bool:
    """Whether an entry has the name of a file beside the manifest and its number of records, and valid other fields."""
    if not isinstance(entry, dict) or not all(json_text.is_text(entry.get(key, "")) for key in ("name", "sha256")):
        return False
    name, counts = entry.get("name", ""), [entry.get("records"), entry.get("bytes", 0)]
    return (
        bool(name)
        and name not in (".", "..")
        and not set(name) & set("/\\\0")
        and all(type(n) is int and 0 <= n < 1 << 62 for n in counts)
    )


def write_json(path: str | os.PathLike[str], content: object) -> None:
    """Writes a JSON file that appears complete or not at all. Raises PathError if that fails."""
    try:
        write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    except OSError as error:
        raise PathError(
            f"{os.fspath(path)}: cannot be written: {files.reason(error)}; check the folder and its free space"
        ) from error


def _shards_of(prefix: Path) -> list[Path]:
    pattern = re.compile(re.escape(prefix.name) + r"-\d{5}-of-\d{5}")
    folder = prefix.parent
    return sorted(path for path in folder.iterdir() if pattern.fullmatch(path.name)) if folder.is_dir() else []


def _remove_leftovers(prefix: Path) -> None:
    """Deletes temporary shards, manifests and reports of this prefix that a killed process left."""
    names = re.escape(prefix.name) + r"(?:-\d{5}-of-\d{5}|\.manifest\.json|\.report\.json)"
    pattern = re.compile(rf"\.(?:{names}|label_map\.pbtxt)\.tmp-(\d+)")
    for path in prefix.parent.iterdir():
        match = pattern.fullmatch(path.name)
        # In containers, a process often has the same id as the killed one in the previous container.
        if match and (int(match.group(1)) == os.getpid() or not _is_running(int(match.group(1)))):
            path.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    if os.name != "posix":  # On other systems, signal 0 is a real signal.
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # A process of another user.
        return True
    return True


def _utf8(text: str) -> bytes:
    # File names need not be valid UTF-8; this preserves their bytes.
    return text.encode("utf-8", "surrogateescape")


def _bytes(values: Iterable[bytes]) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))


def _ints(values: Iterable[int]) -> tf.train.Feature:
    # protobuf 7 does not accept booleans.
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[int(value) for value in values]))


def _floats(values: Iterable[float]) -> tf.train.Feature:
    return tf.train.Feature(float_list=tf.train.FloatList(value=[float(value) for value in values]))
