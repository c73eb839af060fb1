"""Proposals in files beside the records, whatever the format, as flat arrays: boxes in pixels of the image, image after image.

    .npz    what `make_proposals.py` writes: ids [N], offsets [N + 1], boxes [T, 4], scores [T], sizes [N, 2]; read through a memory map
    .json   COCO results, [{"image_id": 7, "bbox": [x, y, width, height], "score": 0.5}, ...]; or one list an image, {"7": [...]}, of such objects
            or of [x, y, width, height] or [x, y, width, height, score]
    .mat    as selective search was published for R-CNN and Fast R-CNN: `images`, a cell array of names, and `boxes`, a cell array of matrices
            n x 4 with rows [y1, x1, y2, x2], pixels counted from 1, the last one included

A pixel is a square: a box that covers the first pixel is [0, 0, 1, 1], so a .mat's [1, 1, 1, 1] is. Where a file has no scores, its order counts.
"""

from __future__ import annotations

import json
import os
import re
import struct
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import tensorflow as tf

from detection import files
from detection.errors import ConfigError, DataError

SUFFIXES = (".npz", ".json", ".mat")
REPORT_SUFFIX = ".report.json"  # what make_proposals.py leaves beside its files
IMAGE_SUFFIX = r"(?i)\.(jpe?g|png|gif|bmp|webp|tiff?)$"
FOLDER = r"^.*[/\\]"
_LOCAL_HEADER = 30  # bytes of a zip member's own header before its name


class ProposalFile(NamedTuple):
    """The proposals of N images. Those of image number i are rows offsets[i] to offsets[i + 1]."""

    path: str
    ids: tuple[str, ...]  # N
    offsets: np.ndarray  # int64 [N + 1]
    boxes: np.ndarray  # float32 [T, 4], [ymin, xmin, ymax, xmax] in pixels of the image
    scores: np.ndarray  # float32 [T]
    sizes: np.ndarray | None = None  # int32 [N, 2], height and width of the images that they were made for, where the file says it
    starts: tuple[int, int] | None = None  # bytes before the boxes and before the scores, where both lie in the file as they lie in memory

    def of(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Boxes float32 [n, 4] and scores float32 [n] of one image."""
        rows = slice(self.offsets[number], self.offsets[number + 1])
        return self.boxes[rows], self.scores[rows]


def read_all(patterns: Sequence[str], field: str) -> tuple[ProposalFile, ...]:
    """All files that match the globs. Raises ConfigError naming `field` where one matches none, DataError where a file cannot be used."""
    paths: list[str] = []
    for pattern in patterns:
        try:
            found = tf.io.gfile.glob(pattern)
            matches = sorted(path for path in found if path == pattern or not (path.endswith(REPORT_SUFFIX) or tf.io.gfile.isdir(path)))
        except tf.errors.OpError as error:
            raise ConfigError(f"{field} {pattern!r} cannot be listed: {error.message}") from error
        if not matches:
            raise ConfigError(f"{field} {pattern!r} matches no file; correct the path, or make proposals with make_proposals.py")
        paths += matches
    return tuple(read(path) for path in dict.fromkeys(paths))


def read(path: str | os.PathLike[str]) -> ProposalFile:
    """One file. Raises DataError, in one line, where it is damaged or holds something else; ConfigError where reading needs what is not installed."""
    path = os.fspath(path)
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(f"{path}: proposals are read from {', '.join(SUFFIXES)} files; name one of those")
    try:
        found = {".npz": _read_npz, ".json": _read_json, ".mat": _read_mat}[suffix](path)
    except (OSError, tf.errors.OpError) as error:
        reason = error.message if isinstance(error, tf.errors.OpError) else error.strerror or error
        raise DataError(f"{path}: cannot be read: {reason}; check the file") from error
    _check(found)
    return found


def index(files: Sequence[ProposalFile]) -> dict[str, int]:
    """What an image may be called -> its number, counted through all files: its id, and its id without .jpg and the like where only one has that.

    Raises DataError where two files have proposals for one image.
    """
    exact: dict[str, int] = {}
    number = 0
    for file in files:
        for identity in file.ids:
            if identity in exact:
                first = files[np.searchsorted(np.cumsum([len(other.ids) for other in files]), exact[identity], side="right")]
                raise DataError(f"{file.path}: image {identity!r} has proposals in {first.path} too; name one of the files")
            exact[identity] = number
            number += 1
    short: dict[str, int] = {}
    for identity, number in exact.items():
        name = re.sub(IMAGE_SUFFIX, "", identity)
        short[name] = -1 if name in short else number
    return {name: number for name, number in short.items() if number >= 0} | exact


def names(source_id: str, filename: str) -> tuple[str, ...]:
    """What a record's image may be called in `index`, best first."""
    bare = re.sub(IMAGE_SUFFIX, "", filename)
    return source_id, filename, re.sub(IMAGE_SUFFIX, "", source_id), bare, re.sub(FOLDER, "", bare)


def write(path: str | os.PathLike[str], parts: Sequence[ProposalFile], **notes: str) -> None:
    """Writes one .npz of all images of `parts`, in order; the same bytes for the same content. `notes` are kept beside the arrays.

    The boxes go through memory part by part. The file appears complete or not at all. Raises OSError.
    """
    target = Path(path)
    partial = files.partial(target)
    counts = np.concatenate([[0], *(np.diff(part.offsets) for part in parts)]).astype(np.int64)
    ids = np.array([identity for part in parts for identity in part.ids] or [""], np.str_)[: len(counts) - 1]
    small = {"ids": ids, "offsets": np.cumsum(counts), **{name: np.array(text) for name, text in notes.items()}}
    if all(part.sizes is not None for part in parts):
        small["sizes"] = np.concatenate([np.zeros([0, 2]), *(part.sizes for part in parts)]).astype(np.int32)
    total = int(counts.sum())
    try:
        with open(partial, "wb") as stream:
            with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
                for name, array in small.items():
                    _store(archive, name, array.dtype, array.shape, [array])
                _store(archive, "boxes", np.dtype(np.float32), (total, 4), (part.boxes for part in parts))
                _store(archive, "scores", np.dtype(np.float32), (total,), (part.scores for part in parts))
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def rank_scores(count: int) -> np.ndarray:
    """float32 [count], from 1 down in equal steps: what the order alone says."""
    return (1.0 - np.arange(count) / max(count, 1)).astype(np.float32)


def _store(archive: zipfile.ZipFile, name: str, dtype: np.dtype, shape: tuple[int, ...], pieces: Iterable[np.ndarray]) -> None:
    """An array as a member of an .npz, whose time is always the same."""
    with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
        header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(member, header)
        for piece in pieces:
            member.write(np.ascontiguousarray(piece, dtype).tobytes())


def _check(found: ProposalFile) -> None:
    """Raises DataError unless the arrays fit each other. Values are looked at image by image, where their records are read."""
    offsets, total = found.offsets, len(found.boxes)
    fits = {
        "boxes are not n x 4": found.boxes.ndim == 2 and found.boxes.shape[1] == 4,
        f"there are {found.scores.shape} scores for {total} boxes": found.scores.shape == (total,),
        f"there are {len(offsets)} offsets for {len(found.ids)} ids; there must be one more": offsets.shape == (len(found.ids) + 1,),
        "offsets do not rise from 0 to the number of boxes": len(offsets)
        and offsets[0] == 0
        and offsets[-1] == total
        and (np.diff(offsets) >= 0).all(),
        f"there are {np.shape(found.sizes)} sizes for {len(found.ids)} ids": found.sizes is None or found.sizes.shape == (len(found.ids), 2),
        "it holds no image": bool(found.ids),
    }
    for wrong, fine in fits.items():
        if not fine:
            raise DataError(f"{found.path}: {wrong}; make it again with make_proposals.py")
    if len(set(found.ids)) < len(found.ids):
        seen: set[str] = set()
        twice = next(identity for identity in found.ids if identity in seen or seen.add(identity))
        raise DataError(f"{found.path}: image {twice!r} is there twice; ids must differ")
    if "" in found.ids:
        raise DataError(f"{found.path}: image number {found.ids.index('')} has an empty id; ids are source ids or file names")


def _open(path: str) -> BinaryIO:
    return tf.io.gfile.GFile(path, "rb") if "://" in path else open(path, "rb")


def _read_npz(path: str) -> ProposalFile:
    try:
        with _open(path) as stream, np.load(stream, allow_pickle=False) as archive:
            missing = {"ids", "offsets", "boxes", "scores"} - set(archive.files)
            if missing:
                raise DataError(
                    f"{path}: holds {', '.join(sorted(archive.files)) or 'nothing'}, but no {', '.join(sorted(missing))}; "
                    f"make it with make_proposals.py"
                )
            ids = tuple(str(identity) for identity in archive["ids"].tolist())
            offsets = archive["offsets"].astype(np.int64)
            sizes = archive["sizes"].astype(np.int32) if "sizes" in archive.files else None
            mapped = None if "://" in path else _map(path)
            boxes, scores = mapped[0] if mapped else (archive["boxes"].astype(np.float32), archive["scores"].astype(np.float32))
    except (zipfile.BadZipFile, ValueError, EOFError, struct.error) as error:
        raise DataError(f"{path}: is no .npz file, or a damaged one ({error}); make it again with make_proposals.py") from error
    return ProposalFile(path, ids, offsets, boxes, scores, sizes, mapped[1] if mapped else None)


def _map(path: str) -> tuple[tuple[np.ndarray, np.ndarray], tuple[int, int]] | None:
    """Memory maps of boxes and scores and where they begin; None where they are compressed, or not float32 in C order."""
    arrays, starts = [], []
    with zipfile.ZipFile(path) as archive, open(path, "rb") as stream:
        for name in ("boxes", "scores"):
            member = archive.getinfo(f"{name}.npy")
            stream.seek(member.header_offset)
            name_length, extra_length = struct.unpack("<HH", stream.read(_LOCAL_HEADER)[-4:])
            stream.seek(member.header_offset + _LOCAL_HEADER + name_length + extra_length)
            if member.compress_type != zipfile.ZIP_STORED or np.lib.format.read_magic(stream) != (1, 0):
                return None
            shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(stream)
            if is_fortran or dtype != np.dtype("<f4"):
                return None
            start = stream.tell()
            if start + 4 * int(np.prod(shape)) > os.path.getsize(path):
                raise EOFError(f"{name} ends early")
            starts.append(start)
            # An empty file region cannot be mapped.
            arrays.append(np.memmap(path, np.float32, "r", start, shape) if np.prod(shape) else np.zeros(shape, np.float32))
    return (arrays[0], arrays[1]), (starts[0], starts[1])


def _read_json(path: str) -> ProposalFile:
    try:
        with _open(path) as stream:
            content = json.load(stream)
    except ValueError as error:
        raise DataError(f"{path}: is no JSON ({error}); write COCO results, or a list of boxes an image") from error
    lists: dict[str, list] = {}
    if isinstance(content, list):
        for number, entry in enumerate(content):
            if not isinstance(entry, dict) or "image_id" not in entry:
                raise DataError(f"{path}: entry {number} is {json.dumps(entry)[:80]}; each must have image_id, bbox and score, as COCO results have")
            lists.setdefault(str(entry["image_id"]), []).append(entry)
    elif isinstance(content, dict) and all(isinstance(boxes, list) for boxes in content.values()):
        lists = content
    else:
        raise DataError(f"{path}: is neither a list of COCO results nor a list of boxes an image, {{id: [...]}}; write one of those")
    rows = [_json_rows(path, identity, boxes) for identity, boxes in lists.items()]
    return _flat(path, lists, [_from_corner_and_size(row[:, :4]) for row in rows], [row[:, 4] for row in rows])


def _json_rows(path: str, identity: str, entries: list) -> np.ndarray:
    """float64 [n, 5], [x, y, width, height, score]; the score by rank where none is given."""
    rows, ranks = [], rank_scores(len(entries))
    for number, entry in enumerate(entries):
        row = [*entry.get("bbox", ()), entry["score"]] if isinstance(entry, dict) and "score" in entry else entry
        row = list(row.get("bbox", ())) if isinstance(row, dict) else row
        if not isinstance(row, list) or len(row) not in (4, 5) or not all(isinstance(value, int | float) for value in row):
            raise DataError(
                f"{path}: image {identity!r}, box {number} is {json.dumps(entry)[:80]}; write [x, y, width, height] in pixels, and a score"
            )
        rows.append(row if len(row) == 5 else [*row, float(ranks[number])])
    return np.array(rows, np.float64).reshape(-1, 5)


def _from_corner_and_size(boxes: np.ndarray) -> np.ndarray:
    x, y, width, height = boxes.T
    return np.stack([y, x, y + height, x + width], axis=1)


def _read_mat(path: str) -> ProposalFile:
    try:
        from scipy import io
    except ImportError as error:
        raise ConfigError(f"{path}: reading .mat files needs scipy; install it with: pip install 'detection[proposals]'") from error
    advice = "expected are the cell arrays images (names) and boxes (n x 4), as selective search was published"
    try:
        with _open(path) as stream:
            content = io.loadmat(stream, variable_names=("images", "boxes"))
    except NotImplementedError as error:
        raise DataError(f"{path}: is a MATLAB 7.3 file, which is HDF5; save it in MATLAB with '-v7'") from error
    except (ValueError, TypeError, io.matlab.MatReadError) as error:
        raise DataError(f"{path}: is no .mat file, or a damaged one ({error}); {advice}") from error
    if not {"images", "boxes"} <= content.keys():
        held = ", ".join(name for name, *_ in io.whosmat(path)) if "://" not in path else "other variables"
        raise DataError(f"{path}: holds {held or 'nothing'}; {advice}")
    ids = ["".join(np.ravel(name).astype(str)[:1]) for name in np.ravel(content["images"])]
    cells = [np.asarray(cell) for cell in np.ravel(content["boxes"])]
    if len(ids) != len(cells) or content["boxes"].dtype != object:
        raise DataError(f"{path}: has {len(ids)} images and {len(cells)} cells of boxes; {advice}")
    for identity, cell in zip(ids, cells, strict=True):
        if cell.size and (cell.ndim != 2 or cell.shape[1] != 4 or cell.dtype.kind not in "uif"):
            raise DataError(f"{path}: image {identity!r} has {cell.dtype} boxes of shape {cell.shape}; {advice}")
    return _flat(path, ids, [cell.reshape(-1, 4).astype(np.float64) - (1, 1, 0, 0) for cell in cells])


def _flat(path: str, ids: Iterable[str], boxes: list[np.ndarray], scores: list[np.ndarray] | None = None) -> ProposalFile:
    """Lists an image -> flat arrays."""
    scores = [rank_scores(len(rows)) for rows in boxes] if scores is None else scores
    offsets = np.cumsum([0, *(len(rows) for rows in boxes)])

    def joined(arrays: list[np.ndarray], *columns: int) -> np.ndarray:
        return np.concatenate([np.zeros((0, *columns)), *arrays]).astype(np.float32)

    return ProposalFile(path, tuple(ids), offsets.astype(np.int64), joined(boxes, 4), joined(scores))


def images(files: Sequence[ProposalFile]) -> Iterator[tuple[ProposalFile, int]]:
    """File and number in it of every image, in the order that `index` counts."""
    return ((file, number) for file in files for number in range(len(file.ids)))
