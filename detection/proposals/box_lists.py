"""Reads proposals from JSON and MATLAB files, which have one list per image, and checks every value.

See `proposal_files` for the formats.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from detection import json_text
from detection.errors import DataError, printable
from detection.proposals import mat_files

_REPORTED = 5  # faults of a file that its error message quotes; the others are counted
_MAT_ADVICE = "expected the cell arrays images (names) and boxes (n x 4), as published for selective search"


class Lists(NamedTuple):
    """The proposals of N images.

    Boxes are float64 [n, 4], [ymin, xmin, ymax, xmax] in pixels, and scores float64 [n]; scores None means that boxes
    are ordered by rank.
    """

    ids: tuple[str, ...]
    boxes: list[np.ndarray]
    scores: list[np.ndarray] | None = None


def rank_scores(count: int) -> np.ndarray:
    """Scores float32 [count] by rank, descending from 1 in equal steps."""
    return (1.0 - np.arange(count) / max(count, 1)).astype(np.float32)


def from_json(path: str, data: bytes) -> Lists:
    """Reads COCO results, or a list of boxes for each image.

    Args:
        path: the file, for messages.
        data: its content.

    Raises:
        DataError: names `path` and the first faults, each with its entry and field.
    """
    try:
        content = json_text.parse(data)
    except ValueError as error:
        raise DataError(f"{path}: not JSON ({error}); write COCO results, or a list of boxes for each image") from error
    if not isinstance(content, list | dict) or (
        isinstance(content, dict) and not all(isinstance(boxes, list) for boxes in content.values())
    ):
        raise DataError(
            f"{path}: neither a list of COCO results nor a list of boxes for each image, {{id: [...]}}; write one of"
            " those"
        )
    lists = (
        _grouped(path, content)
        if isinstance(content, list)
        else {identity: list(enumerate(boxes)) for identity, boxes in content.items()}
    )
    place = (
        "image {identity!r}, box {box} (entry {number})"
        if isinstance(content, list)
        else "image {identity!r}, box {box}"
    )
    faults: list[str] = []
    rows = [_rows(entries, place, identity, faults) for identity, entries in lists.items()]
    _refuse(path, faults, "write [x, y, width, height] in pixels, finite numbers, and a score")
    return Lists(tuple(lists), [_from_corner_and_size(row[:, :4]) for row in rows], [row[:, 4] for row in rows])


def _grouped(path: str, content: list[Any]) -> dict[str, list[tuple[int, Any]]]:
    """Groups the entries by image, each with its number in the file."""
    lists: dict[str, list[tuple[int, Any]]] = {}
    faults = []
    for number, entry in enumerate(content):
        if not isinstance(entry, dict) or "image_id" not in entry:
            faults.append(f"entry {number} is {json_text.shown(entry)}")
        elif (identity := _identity(entry["image_id"])) is None:
            faults.append(
                f"entry {number}: image_id is {json_text.shown(entry['image_id'])}, neither a whole number nor text"
            )
        else:
            lists.setdefault(identity, []).append((number, entry))
    _refuse(path, faults, "each must have image_id, bbox and score, like COCO results")
    return lists


def _identity(value: object) -> str | None:
    """The image id as text, or None if it is neither a whole number nor text. The float 7.0 is the id 7."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value) if isinstance(value, int | str) and not isinstance(value, bool) else None


def _rows(entries: list[tuple[int, Any]], place: str, identity: str, faults: list[str]) -> np.ndarray:
    """Rows float64 [n, 5], [x, y, width, height, score]; the score is by rank if none is given.

    Faults are appended to `faults`.
    """
    rows, ranks = [], rank_scores(len(entries))
    for box, (rank, (number, entry)) in enumerate(zip(ranks.tolist(), entries, strict=True)):
        values, fault = _row(entry, rank)
        if fault:
            faults.append(f"{place.format(identity=identity, box=box, number=number)} {fault}")
        else:
            rows.append(values)
    return np.array(rows, np.float64).reshape(-1, 5)


def _row(entry: Any, rank: float) -> tuple[list[float], str]:
    """The five numbers of an entry, or a description of its fault."""
    if isinstance(entry, dict):
        box, score = entry.get("bbox"), entry.get("score", rank)
        if "score" not in entry and isinstance(box, list) and len(box) == 5:
            box, score = box[:4], box[4]
        if not isinstance(box, list) or len(box) != 4 or not all(map(json_text.is_number, box)):
            return [], f"is {json_text.shown(entry)}: bbox is {json_text.shown(box)}, not four finite numbers"
        return (
            ([*box, score], "")
            if json_text.is_number(score)
            else ([], f"is {json_text.shown(entry)}: score is not a finite number")
        )
    if not isinstance(entry, list) or len(entry) not in (4, 5) or not all(map(json_text.is_number, entry)):
        return [], f"is {json_text.shown(entry)}"
    return (entry if len(entry) == 5 else [*entry, rank]), ""


def _from_corner_and_size(boxes: np.ndarray) -> np.ndarray:
    x, y, width, height = boxes.T
    with np.errstate(over="ignore"):
        return np.stack([y, x, y + height, x + width], axis=1)


def from_mat(path: str, data: bytes) -> Lists:
    """Reads the cell arrays `images` and `boxes` of a .mat file.

    Args:
        path: the file, for messages.
        data: its content.

    Raises:
        DataError: names `path` and the wrong cells.
    """
    try:
        matrices, names = mat_files.read(data, ("images", "boxes"))
    except ValueError as error:
        raise DataError(f"{path}: not a .mat file, or damaged ({error}); {_MAT_ADVICE}") from error
    if not {"images", "boxes"} <= matrices.keys():
        raise DataError(f"{path}: contains {', '.join(map(printable, names[:10])) or 'nothing'}; {_MAT_ADVICE}")
    for name, matrix in matrices.items():
        if matrix.kind != "cell":
            raise DataError(f"{path}: {name} is of class {matrix.kind}, not a cell array; {_MAT_ADVICE}")
    images, cells = matrices["images"].cells, matrices["boxes"].cells
    if len(images) != len(cells):
        raise DataError(f"{path}: has {len(images)} images and {len(cells)} cells of boxes; {_MAT_ADVICE}")
    _refuse(path, _mat_faults(images, cells), _MAT_ADVICE)
    boxes = [np.asarray(cell.numbers).reshape(-1, 4).astype(np.float64) - (1, 1, 0, 0) for cell in cells]
    return Lists(tuple(image.text for image in images), boxes)


def _mat_faults(images: Iterable[mat_files.Matrix], cells: Iterable[mat_files.Matrix]) -> Iterator[str]:
    for number, (image, cell) in enumerate(zip(images, cells, strict=True), start=1):
        if image.kind != "char" or (image.text and (len(image.shape) != 2 or image.shape[0] != 1)):
            yield f"images{{{number}}} is of class {image.kind} and shape {image.shape}, not a row of characters"
        if cell.numbers is None or (cell.numbers.size and (cell.numbers.ndim != 2 or cell.numbers.shape[1] != 4)):
            yield (
                f"image {image.text!r} has {cell.kind if cell.numbers is None else cell.numbers.dtype} boxes of shape"
                f" {cell.shape}"
            )


def _refuse(path: str, faults: Iterable[str], advice: str) -> None:
    """Raises DataError if there are any faults."""
    faults = list(faults)
    if faults:
        more = f" (and {len(faults) - _REPORTED} more)" if len(faults) > _REPORTED else ""
        raise DataError(f"{path}: {'; '.join(faults[:_REPORTED])}{more}; {advice}")
