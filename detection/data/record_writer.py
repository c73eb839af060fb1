"""Records: one tf.Example an image, under the keys of the TF Object Detection API, in shards that appear complete or
not at all.

Boxes are stored normalised: x / width, y / height, with no offset of half or one pixel, whatever convention the pixels
came from. Beside the shards lies a manifest: TensorFlow cannot tell a file cut at the end of a record from a shorter
one, the manifest can. While shards take their names it says so ("state": "publishing"): a conversion that is killed
between the first and the last of them leaves a set that no reader accepts.
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
    """`<prefix>-00000-of-00010` and so on."""
    return Path(f"{os.fspath(prefix)}-{index:05d}-of-{count:05d}")


def manifest_path(prefix: str | os.PathLike[str]) -> Path:
    """Where the manifest of the shards `<prefix>-?????-of-?????` lies."""
    return Path(f"{os.fspath(prefix)}{MANIFEST_SUFFIX}")


class ShardedWriter:
    """Writes records round robin into shards; a context manager.

    The shards are written under temporary names and take their own when the block ends well: first the manifest says
    that the set is being published, then each shard takes its name, then the manifest is written for good. When the
    block ends with an exception nothing remains. The same records in the same order give the same bytes.

    Args:
        prefix: path of the shards up to `-00000-of-...`; its folder is made when absent.
        num_shards: how many files; those without records exist, empty. None: one file called `prefix` itself.
        overwrite: replaces shards of the same prefix (of any number); otherwise their presence is an error.
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
        with self._explained():
            self.prefix.parent.mkdir(parents=True, exist_ok=True)
            _remove_leftovers(self.prefix)
            self._writers = [tf.io.TFRecordWriter(os.fspath(path)) for path in self._partial]
        return self

    def write(self, serialized: bytes, image: RecordImage) -> None:
        """Appends a record, `image` as `to_example` serialises it, to the shard whose turn it is."""
        shard = sum(self._records) % len(self.paths)
        with self._explained():
            self._writers[shard].write(serialized)
        self._records[shard] += 1
        self._most_boxes = max(self._most_boxes, len(image.boxes))
        self._boxes.update((box.label, box.text) for box in image.boxes)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            with self._explained():
                for writer in self._writers:
                    writer.close()
            if kind is None:
                with self._explained():
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
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (OSError, tf.errors.OpError) as error:
            raise PathError(
                f"{self.prefix}: cannot write records: {files.reason(error)}; check the folder and the space left in it"
            ) from error


def read_manifest(path: str | os.PathLike[str]) -> dict | None:
    """The manifest of the shard at `path`, or None where there is none.

    Raises DataError when it is there and unusable.
    """
    is_shard, file = _manifest_for(path)
    if not file.exists():
        return None
    try:
        content = json_text.read_object(file)
        shards = content.get("shards")
        if not isinstance(shards, list) or not all(_is_shard(shard) for shard in shards):
            raise ValueError(
                "its shards are no list of objects with the name of a file beside it and the number of its records"
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
    """Raises DataError where the shard at `path` belongs to a set that is half written, or to none that its manifest
    names.
    """
    name, file = os.path.basename(os.fspath(path)), _manifest_for(path)[1]
    if manifest.get("state") == PUBLISHING:
        raise DataError(
            f"{os.fspath(path)}: {file} says that its set is being written; if no `detection convert` runs, one was"
            " stopped halfway, and old and new shards lie side by side: convert again with --overwrite"
        )
    if name not in manifest["shards"]:
        others = next(iter(manifest["shards"]), "none")
        raise DataError(
            f"{os.fspath(path)}: is not of the set in {file} ({others} and so on), but left over from another;"
            " delete it"
        )


def _is_shard(entry: object) -> bool:
    """The name of a file beside the manifest, and the number of its records; bytes and sha256 where they are known."""
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
    """Writes JSON that appears complete or not at all; PathError where that fails."""
    try:
        write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    except OSError as error:
        raise PathError(
            f"{os.fspath(path)}: cannot be written: {files.reason(error)}; check the folder and the space left in it"
        ) from error


def _shards_of(prefix: Path) -> list[Path]:
    pattern = re.compile(re.escape(prefix.name) + r"-\d{5}-of-\d{5}")
    folder = prefix.parent
    return sorted(path for path in folder.iterdir() if pattern.fullmatch(path.name)) if folder.is_dir() else []


def _remove_leftovers(prefix: Path) -> None:
    """Deletes temporary shards, manifests and reports of this prefix whose process is gone (killed, so that it could
    not).
    """
    own = re.escape(prefix.name) + r"(?:-\d{5}-of-\d{5}|\.manifest\.json|\.report\.json)"
    pattern = re.compile(rf"\.(?:{own}|label_map\.pbtxt)\.tmp-(\d+)")
    for path in prefix.parent.iterdir():
        match = pattern.fullmatch(path.name)
        # In containers a process often has the number of the one that was killed in the last.
        if match and (int(match.group(1)) == os.getpid() or not _is_running(int(match.group(1)))):
            path.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    if os.name != "posix":  # Elsewhere signal 0 is not a question but a signal.
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # A process of another user.
        return True
    return True


def _utf8(text: str) -> bytes:
    return text.encode(
        "utf-8", "surrogateescape"
    )  # File names need not be valid UTF-8; their bytes come back as they were.


def _bytes(values: Iterable[bytes]) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))


def _ints(values: Iterable[int]) -> tf.train.Feature:
    # protobuf 7 takes no booleans.
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[int(value) for value in values]))


def _floats(values: Iterable[float]) -> tf.train.Feature:
    return tf.train.Feature(float_list=tf.train.FloatList(value=[float(value) for value in values]))
