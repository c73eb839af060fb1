"""Stores the detections of a model on an evaluation input, to evaluate and merge them without running the model.

    .npz     ids [N], sizes [N, 2], offsets [N + 1], boxes [T, 4], scores [T], classes [T],
             category_{ids,names,display_names}, notes (a JSON object)
    .json    a COCO results file, from an evaluation (eval_config.export_path) or `detection detect`; without image
             sizes, and without images that have no detections

The detections of image i are rows offsets[i] to offsets[i + 1]. Boxes are [ymin, xmin, ymax, xmax] in pixels of the
original image; classes are 0-based. `StoredDetections.aligned` matches detections with the evaluated images, and
refuses detections of other images.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import logging

from detection import files, json_text, npz_files
from detection.data.image_ids import coco_image_id, voc_image_name
from detection.errors import DataError
from detection.evaluate import results
from detection.evaluate.evaluator import ImageDetections
from detection.types import Category

SUFFIXES = (".npz", ".json")
_ARRAYS = {"ids", "sizes", "offsets", "boxes", "scores", "classes"}
_REPORTED = 5  # number of faults in a file that the message lists; the others are only counted
_BEYOND = 2.0  # pixels by which a box may exceed its image, because of rounding in JSON and in resizing
_CUT_SCORE = 0.05  # without lower scores, a file has probably been thresholded, which lowers average precision


class StoredDetections(NamedTuple):
    """The detections of one model in N images."""

    ids: tuple[str, ...]  # N, source ids
    sizes: np.ndarray | None  # int32 [N, 2], height and width of the images in pixels; None if not stored
    offsets: np.ndarray  # int64 [N + 1]
    boxes: np.ndarray  # float32 [T, 4], pixels of the original image
    scores: np.ndarray  # float32 [T]
    classes: np.ndarray  # int32 [T], 0-based
    categories: tuple[Category, ...] = ()  # the label map of the model, if known
    notes: Mapping[str, Any] = {}  # how the detections were made
    path: str = "detections"  # for error messages

    def of(self, number: int) -> ImageDetections:
        """Returns the detections of image `number`, as float64."""
        rows = slice(self.offsets[number], self.offsets[number + 1])
        return ImageDetections(
            self.boxes[rows].astype(np.float64),
            self.scores[rows].astype(np.float64),
            self.classes[rows].astype(np.int64),
        )

    def aligned(self, images: Mapping[str, tuple[int, int]]) -> list[ImageDetections]:
        """Returns the detections in the order of `images`.

        Args:
            images: id -> (height, width) of the evaluated images.

        Raises:
            DataError: the detections are of different images: an id or a size differs, or a box is outside its image.
        """
        rows = self._rows(images)
        absent = [id_ for id_ in images if id_ not in rows]
        if self.sizes is not None and absent:
            raise DataError(
                f"{self.path}: no image {absent[0]!r} ({len(absent)} of {len(images)} are missing); store detections of"
                " the same input again"
            )
        empty = ImageDetections(np.zeros([0, 4]), np.zeros(0), np.zeros(0, np.int64))
        found = []
        for id_, (height, width) in images.items():
            found.append(self.of(rows[id_]) if id_ in rows else empty)
            if self.sizes is not None and tuple(self.sizes[rows[id_]].tolist()) != (height, width):
                there = " x ".join(map(str, self.sizes[rows[id_]]))
                raise DataError(
                    f"{self.path}: image {id_!r} is {there} pixels there and {height} x {width} in the input; store"
                    " the detections again"
                )
            boxes = found[-1].boxes
            if len(boxes) and (boxes.min() < -_BEYOND or (boxes[:, 2:] > np.array([height, width]) + _BEYOND).any()):
                raise DataError(
                    f"{self.path}: image {id_!r} has {height} x {width} pixels, and boxes outside it; the detections"
                    " are of different or resized images"
                )
        if self.sizes is None and len(self.scores) and self.scores.min() >= _CUT_SCORE:
            logging.warning(
                "%s: no score below %.2f; average precision uses lower scores too; store all detections",
                self.path,
                self.scores.min(),
            )
        return found

    def _rows(self, images: Mapping[str, object]) -> dict[str, int]:
        """Returns image id -> number; files of COCO or VOC results may use numbers, or names without suffix."""
        known = {id_: id_ for id_ in images}
        if self.sizes is None:
            for bare in (lambda id_: id_, lambda id_: re.sub(r"\.\w{3,4}$", "", id_)):
                known = _unambiguous([str(coco_image_id(bare(id_))) for id_ in images], images) | known
            known = _unambiguous([voc_image_name(id_) for id_ in images], images) | known
        rows = {known[id_]: number for number, id_ in enumerate(self.ids) if id_ in known}
        if len(rows) < len(self.ids):
            unknown = next(id_ for id_ in self.ids if id_ not in known)
            count = len(self.ids) - len(rows)
            raise DataError(
                f"{self.path}: image {unknown!r} is not in the evaluation input ({count} of {len(self.ids)} are not);"
                " use the input that the detections were made for"
            )
        return rows


def _unambiguous(names: Sequence[str], images: Iterable[str]) -> dict[str, str]:
    """Returns name -> id, for names that only one image has."""
    times = Counter(names)
    return {name: id_ for name, id_ in zip(names, images, strict=True) if times[name] == 1}


def collect(
    images: Iterable[tuple[str, tuple[int, int], ImageDetections]],
    categories: Sequence[Category] = (),
    notes: Mapping[str, Any] | None = None,
) -> StoredDetections:
    """Builds StoredDetections.

    Args:
        images: (id, (height, width), detections) of each image.
        categories: the label map of the model.
        notes: how the detections were made; stored as JSON.
    """
    images = list(images)
    parts = [detections for _, _, detections in images]
    sizes = np.array([size for _, size, _ in images], np.int32).reshape(-1, 2)
    offsets = np.cumsum([0, *(len(part.scores) for part in parts)])
    boxes = np.concatenate([np.zeros([0, 4], np.float32), *(np.asarray(part.boxes, np.float32) for part in parts)])
    scores = np.concatenate([np.zeros(0, np.float32), *(np.asarray(part.scores, np.float32) for part in parts)])
    classes = np.concatenate([np.zeros(0, np.int32), *(np.asarray(part.classes, np.int32) for part in parts)])
    return StoredDetections(
        tuple(id_ for id_, _, _ in images), sizes, offsets, boxes, scores, classes, tuple(categories), dict(notes or {})
    )


def write(path: str | os.PathLike[str], stored: StoredDetections) -> None:
    """Writes detections atomically, as .npz or, with any other suffix, as COCO results. Folders are created.

    Raises:
        OSError: the file cannot be written.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.suffix.lower() != ".npz":
        entries = [
            entry for number, id_ in enumerate(stored.ids) for entry in results.coco_results(id_, stored.of(number))
        ]
        results.write_detections(target, entries)
        return
    columns = {name: getattr(stored, name) for name in ("sizes", "offsets", "boxes", "scores", "classes")}
    columns["ids"] = np.array(stored.ids, np.str_)
    columns["category_ids"] = np.array([category.id for category in stored.categories], np.int32)
    columns["category_names"] = np.array([category.name for category in stored.categories], np.str_)
    columns["category_display_names"] = np.array([category.display_name for category in stored.categories], np.str_)
    columns["notes"] = np.array(json.dumps(dict(stored.notes)))
    partial = files.partial(target)
    try:
        with open(partial, "wb") as stream:
            np.savez_compressed(stream, **columns)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def read(path: str | os.PathLike[str]) -> StoredDetections:
    """Reads detections from a .npz or .json file.

    Raises:
        DataError: the file cannot be read, is damaged, or is inconsistent.
    """
    path = os.fspath(path)
    if Path(path).suffix.lower() not in SUFFIXES:
        raise DataError(f"{path}: stored detections are {' or '.join(SUFFIXES)} files; name one of those")
    try:
        found = _read_npz(path) if Path(path).suffix.lower() == ".npz" else _read_json(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}; check the path") from None
    total = len(found.boxes)
    fits = {
        "boxes are not n x 4 finite numbers": found.boxes.shape == (total, 4) and np.isfinite(found.boxes).all(),
        "scores are not one finite number per box": found.scores.shape == (total,) and np.isfinite(found.scores).all(),
        "classes are not one per box, from 0": found.classes.shape == (total,) and (found.classes >= 0).all(),
        "offsets do not increase from 0 to the number of boxes": (
            found.offsets.shape == (len(found.ids) + 1,)
            and found.offsets[0] == 0
            and found.offsets[-1] == total
            and (np.diff(found.offsets) >= 0).all()
        ),
        "an id is not text": all(json_text.is_text(id_) for id_ in found.ids),
        "sizes are not two per image": found.sizes is None or found.sizes.shape == (len(found.ids), 2),
        "an image id is repeated": len(set(found.ids)) == len(found.ids),
    }
    for problem, is_valid in fits.items():
        if not is_valid:
            raise DataError(f"{path}: {problem}; store the detections again")
    return found


def _read_npz(path: str) -> StoredDetections:
    try:
        with open(path, "rb") as stream:
            arrays = npz_files.read(
                stream, (*_ARRAYS, "category_ids", "category_names", "category_display_names", "notes")
            ).arrays
        missing = sorted(_ARRAYS - set(arrays))
        if missing:
            raise DataError(f"{path}: has no {', '.join(missing)}; these are not stored detections")
        return StoredDetections(
            ids=npz_files.texts(arrays, "ids"),
            sizes=npz_files.integers(arrays, "sizes", np.int32),
            offsets=npz_files.integers(arrays, "offsets", np.int64),
            boxes=npz_files.floats(arrays, "boxes"),
            scores=npz_files.floats(arrays, "scores"),
            classes=npz_files.integers(arrays, "classes", np.int32),
            categories=_categories(arrays),
            notes=_notes(arrays),
            path=path,
        )
    except ValueError as error:
        raise DataError(
            f"{path}: not a .npz file of stored detections, or damaged ({error}); store them again"
        ) from None


def _categories(arrays: dict[str, np.ndarray]) -> tuple[Category, ...]:
    if "category_ids" not in arrays and "category_names" not in arrays:
        return ()
    if not {"category_ids", "category_names"} <= arrays.keys():
        raise ValueError("category_ids and category_names belong together, and one is missing")
    names = [] if not arrays["category_names"].size else npz_files.texts(arrays, "category_names")
    ids = npz_files.integers(arrays, "category_ids", np.int32)
    if ids.shape != (len(names),):
        raise ValueError(f"there are {ids.shape} category_ids for {len(names)} category_names")
    shown = arrays.get("category_display_names", np.zeros(0))  # Older files do not have them.
    displays = npz_files.texts(arrays, "category_display_names") if shown.size else [""] * len(names)
    if len(displays) != len(names):
        raise ValueError(f"there are {len(displays)} category_display_names for {len(names)} category_names")
    return tuple(Category(*row) for row in zip(ids.tolist(), names, displays, strict=True))


def _notes(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    notes = json_text.parse(str(arrays["notes"])) if "notes" in arrays else {}
    if not isinstance(notes, dict):
        raise ValueError(f"notes are {json_text.shown(notes)}, not an object")
    return notes


def _read_json(path: str) -> StoredDetections:
    advice = "expected [{image_id, category_id, bbox, score}, ...]"
    try:
        entries = json_text.read(path)
        if not isinstance(entries, list):
            raise ValueError(f"expected a list of detections, found {type(entries).__name__}")
    except ValueError as error:
        raise DataError(f"{path}: not a COCO results file ({error}); {advice}") from None
    faults = [f"entry {number}: {fault}" for number, entry in enumerate(entries) if (fault := _fault(entry))]
    if faults:
        more = f" (and {len(faults) - _REPORTED} more)" if len(faults) > _REPORTED else ""
        raise DataError(f"{path}: not a COCO results file ({'; '.join(faults[:_REPORTED])}{more}); {advice}")
    ids = [
        str(int(entry["image_id"])) if isinstance(entry["image_id"], float) else str(entry["image_id"])
        for entry in entries
    ]
    boxes = np.array([entry["bbox"] for entry in entries], np.float64).reshape(len(entries), 4)
    with np.errstate(over="ignore"):  # Overflow gives infinity, which `read` refuses.
        scores = np.array([entry["score"] for entry in entries], np.float64).astype(np.float32)
        corners = np.concatenate([boxes[:, 1::-1], boxes[:, 1::-1] + boxes[:, 3:1:-1]], axis=1).astype(np.float32)
    classes = np.array([int(entry["category_id"]) for entry in entries], np.int32) - 1
    order = np.argsort(np.array(ids, np.str_), kind="stable")
    names, counts = np.unique(np.array(ids, np.str_), return_counts=True)
    offsets = np.cumsum([0, *counts.tolist()])
    return StoredDetections(
        tuple(names.tolist()), None, offsets, corners[order], scores[order], classes[order], path=path
    )


def _fault(entry: object) -> str:
    """Returns what is wrong with an entry of a COCO results file, or ""."""
    if not isinstance(entry, dict):
        return f"{json_text.shown(entry)} is not an object"
    missing = [name for name in ("image_id", "category_id", "bbox", "score") if name not in entry]
    if missing:
        return f"an entry has no {missing[0]!r}"
    image, category, box = entry["image_id"], entry["category_id"], entry["bbox"]
    if not (json_text.is_text(image) or (json_text.is_number(image) and image == int(image))):
        return f"image_id is {json_text.shown(image)}, neither a whole number nor text"
    if not json_text.is_number(category) or category != int(category) or not 1 <= category < 1 << 31:
        return f"category_id is {json_text.shown(category)}, not a whole number of at least 1"
    if not isinstance(box, list) or len(box) != 4 or not all(map(json_text.is_number, box)):
        return f"bbox is {json_text.shown(box)}, not four finite numbers"
    return (
        ""
        if json_text.is_number(entry["score"])
        else f"score is {json_text.shown(entry['score'])}, not a finite number"
    )
