"""Proposals in files beside the records, whatever the format, as flat arrays: boxes in pixels of the image, image after
image.

    .npz    what `detection propose` writes: ids [N], offsets [N + 1], boxes [T, 4], scores [T], sizes [N, 2]; read
            through a memory map
    .json   COCO results, [{"image_id": 7, "bbox": [x, y, width, height], "score": 0.5}, ...]; or one list an image,
            {"7": [...]}, of such objects
            or of [x, y, width, height] or [x, y, width, height, score]
    .mat    as selective search was published for R-CNN and Fast R-CNN: `images`, a cell array of names, and `boxes`, a
            cell array of matrices
            n x 4 with rows [y1, x1, y2, x2], pixels counted from 1, the last one included

A pixel is a square: a box that covers the first pixel is [0, 0, 1, 1], so a .mat's [1, 1, 1, 1] is. Where a file has no
scores, its order counts.
"""

from __future__ import annotations

import math
import os
import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import tensorflow as tf

from detection import files, json_text, npz_files
from detection.data.listing import list_files
from detection.errors import DataError, printable
from detection.proposals import box_lists
from detection.proposals.box_lists import rank_scores

SUFFIXES = (".npz", ".json", ".mat")
REPORT_SUFFIX = ".report.json"  # what `detection propose` leaves beside its files
IMAGE_SUFFIX = r"(?i)\.(jpe?g|png|gif|bmp|webp|tiff?)$"
FOLDER = r"^.*[/\\]"
_ARRAYS = ("boxes", "ids", "offsets", "scores")


class ProposalFile(NamedTuple):
    """The proposals of N images. Those of image number i are rows offsets[i] to offsets[i + 1]."""

    path: str
    ids: tuple[str, ...]  # N
    offsets: np.ndarray  # int64 [N + 1]
    boxes: np.ndarray  # float32 [T, 4], [ymin, xmin, ymax, xmax] in pixels of the image
    scores: np.ndarray  # float32 [T]
    sizes: np.ndarray | None = (
        None  # int32 [N, 2], height and width of the images that they were made for, where the file says it
    )
    starts: tuple[int, int] | None = (
        None  # bytes before the boxes and before the scores, where both lie in the file as they lie in memory
    )

    def of(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Boxes float32 [n, 4] and scores float32 [n] of one image."""
        rows = slice(self.offsets[number], self.offsets[number + 1])
        return self.boxes[rows], self.scores[rows]


def read_all(patterns: Sequence[str], field: str) -> tuple[ProposalFile, ...]:
    """All files that match the globs.

    Raises ConfigError naming `field` where one matches none, DataError where a file cannot be used.
    """
    paths: list[str] = []
    for pattern in patterns:
        paths += list_files(pattern, field, "make proposals with `detection propose`", (REPORT_SUFFIX,))
    return tuple(read(path) for path in dict.fromkeys(paths))


def read(path: str | os.PathLike[str]) -> ProposalFile:
    """One file. Raises DataError, in one line, where it is damaged or holds something else."""
    path = os.fspath(path)
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(f"{path}: proposals are read from {', '.join(SUFFIXES)} files; name one of those")
    if (
        "://" not in path and os.path.exists(path) and not os.path.isfile(path)
    ):  # Of a pipe nobody may ever write, and none can be mapped.
        raise DataError(f"{path}: cannot be read: is no regular file; name one of {', '.join(SUFFIXES)}")
    try:
        found = _read_npz(path) if suffix == ".npz" else _read_lists(path)
    except (OSError, tf.errors.OpError) as error:
        reason = error.message if isinstance(error, tf.errors.OpError) else error.strerror or error
        raise DataError(f"{path}: cannot be read: {reason}; check the file") from error
    _check(found)
    return found


def index(files: Sequence[ProposalFile]) -> dict[str, int]:
    """What an image may be called -> its number, counted through all files: its id, and its id without .jpg and the
    like where only one has that.

    Raises DataError where two files have proposals for one image.
    """
    exact: dict[str, int] = {}
    number = 0
    for file in files:
        for identity in file.ids:
            if identity in exact:
                first = files[
                    np.searchsorted(np.cumsum([len(other.ids) for other in files]), exact[identity], side="right")
                ]
                raise DataError(
                    f"{file.path}: image {identity!r} has proposals in {first.path} too; name one of the files"
                )
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
    """Writes one .npz of all images of `parts`, in order; the same bytes for the same content.

    `notes` are kept beside the arrays.

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


def _store(
    archive: zipfile.ZipFile, name: str, dtype: np.dtype, shape: tuple[int, ...], pieces: Iterable[np.ndarray]
) -> None:
    """An array as a member of an .npz, whose time is always the same."""
    with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
        header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(member, header)
        for piece in pieces:
            member.write(np.ascontiguousarray(piece, dtype).tobytes())


def _check(found: ProposalFile) -> None:
    """Raises DataError unless the arrays fit each other.

    Values are looked at image by image, where their records are read.
    """
    offsets, total = found.offsets, len(found.boxes)
    fits = {
        "boxes are not n x 4": found.boxes.ndim == 2 and found.boxes.shape[1] == 4,
        f"there are {found.scores.shape} scores for {total} boxes": found.scores.shape == (total,),
        f"there are {len(offsets)} offsets for {len(found.ids)} ids; there must be one more": (
            offsets.shape == (len(found.ids) + 1,)
        ),
        "offsets do not rise from 0 to the number of boxes": (
            len(offsets) and offsets[0] == 0 and offsets[-1] == total and (np.diff(offsets) >= 0).all()
        ),
        f"there are {np.shape(found.sizes)} sizes for {len(found.ids)} ids": (
            found.sizes is None or found.sizes.shape == (len(found.ids), 2)
        ),
        "it holds no image": bool(found.ids),
        "a size is negative": found.sizes is None or (found.sizes >= 0).all(),
    }
    for wrong, fine in fits.items():
        if not fine:
            raise DataError(f"{found.path}: {wrong}; make it again with `detection propose`")
    if len(set(found.ids)) < len(found.ids):
        seen: set[str] = set()
        twice = next(identity for identity in found.ids if identity in seen or seen.add(identity))
        raise DataError(f"{found.path}: image {twice!r} is there twice; ids must differ")
    for number, identity in enumerate(found.ids):
        if not json_text.is_text(identity):
            raise DataError(
                f"{found.path}: image number {number} is called {identity!r}, which is no text; ids are source ids or"
                " file names"
            )
    if "" in found.ids:
        raise DataError(
            f"{found.path}: image number {found.ids.index('')} has an empty id; ids are source ids or file names"
        )


def _open(path: str) -> BinaryIO:
    return tf.io.gfile.GFile(path, "rb") if "://" in path else open(path, "rb")


def _read_npz(path: str) -> ProposalFile:
    try:
        with _open(path) as stream:
            archive = npz_files.read(stream, (*_ARRAYS, "sizes"), mapped=() if "://" in path else ("boxes", "scores"))
        arrays, stored = archive.arrays, archive.stored
        missing = [name for name in _ARRAYS if name not in arrays and name not in stored]
        if missing:
            held = ", ".join(map(printable, archive.names[:10])) or "nothing"
            raise DataError(
                f"{path}: holds {held}, but no {', '.join(sorted(missing))}; make it with `detection propose`"
            )
        both = {"boxes", "scores"} <= stored.keys()
        found = ProposalFile(
            path,
            npz_files.texts(arrays, "ids"),
            npz_files.integers(arrays, "offsets", np.int64),
            *(
                _map(path, stored[name]) if name in stored else npz_files.floats(arrays, name)
                for name in ("boxes", "scores")
            ),
            npz_files.integers(arrays, "sizes", np.int32) if "sizes" in arrays else None,
            (stored["boxes"].start, stored["scores"].start) if both else None,
        )
    except ValueError as error:
        raise DataError(
            f"{path}: is no .npz file, or a damaged one ({error}); make it again with `detection propose`"
        ) from error
    return found


def _map(path: str, stored: npz_files.Stored) -> np.ndarray:
    """A memory map. An empty region of a file cannot be mapped."""
    empty = not math.prod(stored.shape)
    return np.zeros(stored.shape, np.float32) if empty else np.memmap(path, np.float32, "r", stored.start, stored.shape)


def _read_lists(path: str) -> ProposalFile:
    """What holds a list of boxes an image, as flat arrays."""
    with _open(path) as stream:
        data = stream.read()
    found = (box_lists.from_json if path.lower().endswith(".json") else box_lists.from_mat)(path, data)
    scores = [rank_scores(len(rows)) for rows in found.boxes] if found.scores is None else found.scores
    offsets = np.cumsum([0, *(len(rows) for rows in found.boxes)])

    def joined(arrays: list[np.ndarray], *columns: int) -> np.ndarray:
        with np.errstate(
            over="ignore"
        ):  # What float32 cannot hold becomes infinite, which the check of each image reports.
            return np.concatenate([np.zeros((0, *columns)), *arrays]).astype(np.float32)

    return ProposalFile(path, tuple(found.ids), offsets.astype(np.int64), joined(found.boxes, 4), joined(scores))


def images(files: Sequence[ProposalFile]) -> Iterator[tuple[ProposalFile, int]]:
    """File and number in it of every image, in the order that `index` counts."""
    return ((file, number) for file in files for number in range(len(file.ids)))
