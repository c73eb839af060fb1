"""Reads and writes files of proposals as flat arrays: boxes in pixels of the image, image after image.

    .npz    written by `detection propose`: ids [N], offsets [N + 1], boxes [T, 4], scores [T], sizes [N, 2]; read
            through a memory map
    .json   COCO results, [{"image_id": 7, "bbox": [x, y, width, height], "score": 0.5}, ...]; or one list per image,
            {"7": [...]}, of such objects or of [x, y, width, height] or [x, y, width, height, score]
    .mat    as published for R-CNN and Fast R-CNN: `images`, a cell array of names, and `boxes`, a cell array of
            matrices n x 4 with rows [y1, x1, y2, x2], pixels counted from 1, the last one included

A pixel is a square: a box that covers the first pixel is [0, 0, 1, 1]; in a .mat file it is [1, 1, 1, 1]. If a file has
no scores, the order is the rank.
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
REPORT_SUFFIX = ".report.json"  # of the report that `detection propose` writes beside its files
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
    # int32 [N, 2], height and width of the images that they were made for; None if the file does not contain it.
    sizes: np.ndarray | None = None
    # Byte offsets of the boxes and of the scores, if both have the same layout in the file as in memory.
    starts: tuple[int, int] | None = None

    def of(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Boxes float32 [n, 4] and scores float32 [n] of one image."""
        rows = slice(self.offsets[number], self.offsets[number + 1])
        return self.boxes[rows], self.scores[rows]


def read_all(patterns: Sequence[str], field: str) -> tuple[ProposalFile, ...]:
    """Reads all files that match the globs.

    Args:
        patterns: globs.
        field: where they come from, for messages.

    Raises:
        ConfigError: a pattern matches no file.
        DataError: a file cannot be used.
    """
    paths: list[str] = []
    for pattern in patterns:
        paths += list_files(pattern, field, "make proposals with `detection propose`", (REPORT_SUFFIX,))
    return tuple(read(path) for path in dict.fromkeys(paths))


def read(path: str | os.PathLike[str]) -> ProposalFile:
    """Reads one file. Raises DataError, in one line, if it is damaged or not a proposal file."""
    path = os.fspath(path)
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(f"{path}: proposals are read from {', '.join(SUFFIXES)} files; name one of those")
    # Reading a pipe may block forever, and a pipe cannot be mapped.
    if "://" not in path and os.path.exists(path) and not os.path.isfile(path):
        raise DataError(f"{path}: cannot be read: not a regular file; name one of {', '.join(SUFFIXES)}")
    try:
        file = _read_npz(path) if suffix == ".npz" else _read_lists(path)
    except (OSError, tf.errors.OpError) as error:
        reason = error.message if isinstance(error, tf.errors.OpError) else error.strerror or error
        raise DataError(f"{path}: cannot be read: {reason}; check the file") from error
    _check(file)
    return file


def index(files: Sequence[ProposalFile]) -> dict[str, int]:
    """Maps the possible names of each image to its number, counted through all files.

    The names are its id and, if that is unique, its id without the file extension.

    Raises:
        DataError: two files have proposals for the same image.
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
    short_names: dict[str, int] = {}
    for identity, number in exact.items():
        name = re.sub(IMAGE_SUFFIX, "", identity)
        short_names[name] = -1 if name in short_names else number
    return {name: number for name, number in short_names.items() if number >= 0} | exact


def names(source_id: str, filename: str) -> tuple[str, ...]:
    """Possible names of a record's image in `index`, best first."""
    bare = re.sub(IMAGE_SUFFIX, "", filename)
    return source_id, filename, re.sub(IMAGE_SUFFIX, "", source_id), bare, re.sub(FOLDER, "", bare)


def write(path: str | os.PathLike[str], parts: Sequence[ProposalFile], **notes: str) -> None:
    """Writes one .npz of all images of `parts`, in order; the same content gives the same bytes.

    The boxes are copied part by part, to save memory. The file appears complete or not at all.

    Args:
        path: the file to write.
        parts: the proposals.
        **notes: texts to store beside the arrays.

    Raises:
        OSError: the file cannot be written.
    """
    target = Path(path)
    partial = files.partial(target)
    counts = np.concatenate([[0], *(np.diff(part.offsets) for part in parts)]).astype(np.int64)
    ids = np.array([identity for part in parts for identity in part.ids] or [""], np.str_)[: len(counts) - 1]
    arrays = {"ids": ids, "offsets": np.cumsum(counts), **{name: np.array(text) for name, text in notes.items()}}
    if all(part.sizes is not None for part in parts):
        arrays["sizes"] = np.concatenate([np.zeros([0, 2]), *(part.sizes for part in parts)]).astype(np.int32)
    total = int(counts.sum())
    try:
        with open(partial, "wb") as stream:
            with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
                for name, array in arrays.items():
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
    """Writes an array as a member of an .npz, with a fixed time stamp."""
    with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
        header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(member, header)
        for piece in pieces:
            member.write(np.ascontiguousarray(piece, dtype).tobytes())


def _check(file: ProposalFile) -> None:
    """Raises DataError unless the arrays are consistent.

    The values are checked image by image when their records are read.
    """
    offsets, total = file.offsets, len(file.boxes)
    fits = {
        "boxes are not n x 4": file.boxes.ndim == 2 and file.boxes.shape[1] == 4,
        f"there are {file.scores.shape} scores for {total} boxes": file.scores.shape == (total,),
        f"there are {len(offsets)} offsets for {len(file.ids)} ids; there must be one more": (
            offsets.shape == (len(file.ids) + 1,)
        ),
        "offsets do not increase from 0 to the number of boxes": (
            len(offsets) and offsets[0] == 0 and offsets[-1] == total and (np.diff(offsets) >= 0).all()
        ),
        f"there are {np.shape(file.sizes)} sizes for {len(file.ids)} ids": (
            file.sizes is None or file.sizes.shape == (len(file.ids), 2)
        ),
        "it contains no image": bool(file.ids),
        "a size is negative": file.sizes is None or (file.sizes >= 0).all(),
    }
    for problem, is_satisfied in fits.items():
        if not is_satisfied:
            raise DataError(f"{file.path}: {problem}; make it again with `detection propose`")
    if len(set(file.ids)) < len(file.ids):
        seen: set[str] = set()
        twice = next(identity for identity in file.ids if identity in seen or seen.add(identity))
        raise DataError(f"{file.path}: image {twice!r} appears twice; ids must be unique")
    for number, identity in enumerate(file.ids):
        if not json_text.is_text(identity):
            raise DataError(
                f"{file.path}: the id of image number {number} is {identity!r}, which is not text; ids are source ids"
                " or file names"
            )
    if "" in file.ids:
        raise DataError(
            f"{file.path}: image number {file.ids.index('')} has an empty id; ids are source ids or file names"
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
            contents = ", ".join(map(printable, archive.names[:10])) or "nothing"
            raise DataError(
                f"{path}: contains {contents}, but no {', '.join(sorted(missing))}; make it with `detection propose`"
            )
        both = {"boxes", "scores"} <= stored.keys()
        file = ProposalFile(
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
            f"{path}: not an .npz file, or damaged ({error}); make it again with `detection propose`"
        ) from error
    return file


def _map(path: str, stored: npz_files.Stored) -> np.ndarray:
    """A memory map of an array; an empty region of a file cannot be mapped."""
    empty = not math.prod(stored.shape)
    return np.zeros(stored.shape, np.float32) if empty else np.memmap(path, np.float32, "r", stored.start, stored.shape)


def _read_lists(path: str) -> ProposalFile:
    """Reads a .json or .mat file, which has one list of boxes per image, into flat arrays."""
    with _open(path) as stream:
        data = stream.read()
    lists = (box_lists.from_json if path.lower().endswith(".json") else box_lists.from_mat)(path, data)
    scores = [rank_scores(len(rows)) for rows in lists.boxes] if lists.scores is None else lists.scores
    offsets = np.cumsum([0, *(len(rows) for rows in lists.boxes)])

    def concatenated(arrays: list[np.ndarray], *columns: int) -> np.ndarray:
        # Numbers beyond float32 become infinite, which the check of each image reports.
        with np.errstate(over="ignore"):
            return np.concatenate([np.zeros((0, *columns)), *arrays]).astype(np.float32)

    return ProposalFile(
        path, tuple(lists.ids), offsets.astype(np.int64), concatenated(lists.boxes, 4), concatenated(scores)
    )


def images(files: Sequence[ProposalFile]) -> Iterator[tuple[ProposalFile, int]]:
    """Yields the file of every image and its number in it, in the order of `index`."""
    return ((file, number) for file in files for number in range(len(file.ids)))
