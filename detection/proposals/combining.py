"""New proposals of files that exist: the experiments of Girshick 2015, section 5.5, and Figure 3.

    merged     the best of each file together: 2000 boxes of selective search and 1000, 2000, ... of a dense grid
    nearest    each box replaced by the box of a second file that it overlaps most: as few boxes as selective search
               makes, placed as a dense grid places them

Images are the first file's. Boxes that two files share are kept once.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from detection.errors import DataError, number_of
from detection.proposals import proposal_files
from detection.proposals.proposal_files import IMAGE_SUFFIX, ProposalFile, rank_scores
from detection.proposals.searched_images import ImageSource, decode

_ROWS = 256  # boxes whose overlaps with a whole grid are computed at once: 256 x 45,000 are 46 MB


def merged(files: Sequence[ProposalFile], best: Sequence[int] = ()) -> ProposalFile:
    """The proposals of several files together, ranked file by file.

    Args:
        files: two or more. The boxes of a grid, as `methods` makes it, stand in random order, so that the first n are a
            random sample of it.
        best: how many of an image each file gives at most, its highest scores; 0, or none given: all.

    Returns:
        Scores fall by rank: those of the first file come first.

    Raises:
        DataError: a file lacks an image of the first one, or has it with another size.
    """
    limits = [*best, *[0] * (len(files) - len(best))]
    rows = _aligned(files)
    boxes = []
    for numbers in rows:
        parts = [_best(file.of(number), limit) for file, number, limit in zip(files, numbers, limits, strict=True)]
        boxes.append(_once(np.concatenate(parts)))
    return _ranked(files[0], boxes)


def nearest(file: ProposalFile, dense: ProposalFile) -> ProposalFile:
    """Each box of a file replaced by the box of `dense` of highest IoU; a box chosen twice is kept once.

    Args:
        file: the proposals, whose order is kept.
        dense: what they are chosen from; where no box of an image overlaps a proposal, nothing replaces it.

    Raises:
        DataError: `dense` lacks an image of the file, or has it with another size.
    """
    boxes = []
    for number, other in _aligned([file, dense]):
        candidates = dense.of(other)[0]
        own = _best(file.of(number), 0)
        chosen = [_most_overlapping(own[start : start + _ROWS], candidates) for start in range(0, len(own), _ROWS)]
        boxes.append(_once(candidates[np.concatenate([np.zeros(0, np.int64), *chosen])]))
    return _ranked(file, boxes)


def objects_of(source: ImageSource, file: ProposalFile) -> dict[str, np.ndarray]:
    """The objects to be found, float32 [n, 4] in pixels, by the ids of the file; of images that both know.

    Raises:
        DataError: no image of the source is in the file, or one cannot be read.
    """
    index = proposal_files.index([file])
    objects: dict[str, np.ndarray] = {}
    known = 0
    for image in source:
        known += 1
        number = next((index[name] for name in proposal_files.names(image.id, image.id) if name in index), None)
        if number is None or image.objects is None:
            continue
        size = file.sizes[number] if file.sizes is not None else decode(image).shape[:2]
        objects[file.ids[number]] = image.objects * np.tile(np.asarray(size, np.float32), 2)
    if not objects:
        raise DataError(
            f"{file.path}: has proposals for none of the {number_of(known, 'image')}; name the records that they were"
            " made for"
        )
    return objects


def _aligned(files: Sequence[ProposalFile]) -> list[list[int]]:
    """For each image of the first file its number in every file."""
    indices = [proposal_files.index([file]) for file in files]
    rows, faults = [], []
    for number, identity in enumerate(files[0].ids):
        names = (identity, re.sub(IMAGE_SUFFIX, "", identity))
        numbers = [number]
        for file, index in zip(files[1:], indices[1:], strict=True):
            other = next((index[name] for name in names if name in index), None)
            if other is None:
                faults.append(f"{file.path} has no proposals for image {identity!r}")
            elif _sizes_differ(files[0], number, file, other):
                faults.append(f"image {identity!r} has another size in {file.path}")
            numbers.append(-1 if other is None else other)
        rows.append(numbers)
    if faults:
        more = f" (and {len(faults) - 1} more like it)" if len(faults) > 1 else ""
        raise DataError(f"{files[0].path}: {faults[0]}{more}; make all files for the same images")
    return rows


def _sizes_differ(file: ProposalFile, number: int, other: ProposalFile, row: int) -> bool:
    known = file.sizes is not None and other.sizes is not None
    return known and not np.array_equal(file.sizes[number], other.sizes[row])


def _best(found: tuple[np.ndarray, np.ndarray], limit: int) -> np.ndarray:
    """The boxes by descending score, equal ones in the order of the file."""
    boxes, scores = found
    return boxes[np.argsort(-scores, kind="stable")[: limit or None]]


def _once(boxes: np.ndarray) -> np.ndarray:
    """Without repetitions, in order of first appearance."""
    _, first = np.unique(boxes, axis=0, return_index=True)
    return boxes[np.sort(first)]


def _most_overlapping(boxes: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """For each box the number of the candidate of highest IoU, the first of equal ones.

    Boxes that no candidate overlaps are left out.
    """
    if not len(candidates):
        return np.zeros(0, np.int64)
    areas = [np.prod(each[:, 2:] - each[:, :2], axis=1, dtype=np.float32) for each in (boxes, candidates)]
    shared = np.ones([len(boxes), len(candidates)], np.float32)
    for low, high in ((0, 2), (1, 3)):
        side = np.minimum.outer(boxes[:, high], candidates[:, high]) - np.maximum.outer(
            boxes[:, low], candidates[:, low]
        )
        shared *= np.maximum(side, 0)
    ious = shared / np.maximum(np.add.outer(*areas) - shared, np.finfo(np.float32).tiny)
    best = ious.argmax(axis=1)
    return best[ious[np.arange(len(boxes)), best] > 0]


def _ranked(like: ProposalFile, boxes: Sequence[np.ndarray]) -> ProposalFile:
    offsets = np.cumsum([0, *map(len, boxes)]).astype(np.int64)
    scores = np.concatenate([np.zeros(0, np.float32), *(rank_scores(len(rows)) for rows in boxes)])
    flat = np.concatenate([np.zeros([0, 4], np.float32), *boxes]).astype(np.float32)
    return ProposalFile("", like.ids, offsets, flat, scores, like.sizes)


def write(path: str | os.PathLike[str], proposals: ProposalFile, how: Mapping[str, object]) -> None:
    """Writes the .npz, with its folder and a note of how it was made. Raises OSError."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    proposal_files.write(path, [proposals], settings=json.dumps(dict(how), sort_keys=True))
