"""Detects objects in many image files and writes pictures with labelled boxes and one COCO results file.

detections.json: [{"image_id": "street", "file_name": "photos/street.jpg", "category_id": 3, "category_name": "car",
                   "bbox": [x, y, width, height], "score": 0.93}, ...]

Boxes are in pixels of the image; within an image the best score comes first.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from detection.data.image_ids import coco_image_id
from detection.errors import ConfigError, DataError, number_of, printable
from detection.evaluate.evaluator import ImageDetections
from detection.evaluate.results import coco_box
from detection.evaluate.visualize import Style, draw_detections, mosaic
from detection.export.image_files import find, read
from detection.export.predictor import Predictor, Result
from detection.files import reason, write_text
from detection.progress import Progress
from detection.proposals import prediction_sources
from detection.types import MAX_PIXELS

JSON_NAME = "detections.json"
SHEET_NAME = "contact_sheet.jpg"
_LONGEST_NAME = 255  # bytes, the limit of common file systems
_SHEET_PICTURES, _SHEET_CELL = 12, 400  # maximum number of pictures, and maximum width and height of each in pixels


class DetectionReport(NamedTuple):
    """The result of detection in image files."""

    images: int  # number of images processed
    detections: int  # number of detections written
    bad: tuple[str, ...]  # an error message for each skipped file
    json_path: Path

    def summary(self) -> str:
        """Returns one line: detections, images, output file, skipped files."""
        skipped = f"; {number_of(len(self.bad), 'file')} skipped" if self.bad else ""
        found = f"{number_of(self.detections, 'detection')} in {number_of(self.images, 'image')}"
        return f"{found} -> {self.json_path}{skipped}"


class DetectionOptions(NamedTuple):
    """Thresholds, and which files to write."""

    min_score: float = 0.5
    max_boxes: int = 100
    batch_size: int = 8
    pictures: bool = True
    contact_sheet: bool = False  # also write the first pictures side by side
    max_image_pixels: int = MAX_PIXELS
    proposals: prediction_sources.ProposalRequest = (
        prediction_sources.ProposalRequest()
    )  # region proposals, for Fast R-CNN


DEFAULTS = DetectionOptions()


def run(
    saved_model: str, patterns: Sequence[str], output_dir: str | Path, options: DetectionOptions = DEFAULTS
) -> DetectionReport:
    """Loads a SavedModel and annotates images, with a progress line.

    Args:
        saved_model: folder of the SavedModel, or the export folder that contains it.
        patterns: image files, folders or glob patterns.
        output_dir: created if it does not exist.
        options: thresholds, and which files to write.

    Raises:
        ConfigError, DataError: as `Predictor.load`, `image_files.find` and `annotate`.
    """
    if not patterns:
        raise ConfigError("no image given; name files, folders or patterns after the flags")
    paths = find(patterns)
    predictor = Predictor.load(saved_model)
    with Progress(len(paths), "image", label="detect") as progress:
        return annotate(predictor, paths, output_dir, options, progress)


def annotate(
    predictor: Predictor,
    paths: Sequence[str],
    output_dir: str | Path,
    options: DetectionOptions = DEFAULTS,
    progress: Progress | None = None,
) -> DetectionReport:
    """Detects objects in image files and writes pictures and detections.json to `output_dir`.

    A file that is not a usable image is skipped and reported, on the progress line and in the result; other files are
    not affected.

    Args:
        predictor: the detector.
        paths: image files.
        output_dir: created if it does not exist.
        options: thresholds, and which files to write.
        progress: counts the files.

    Raises:
        ConfigError: the folder cannot be written, a picture would overwrite one of the images (checked before anything
            is written), or proposals are missing or not accepted by the model.
        DataError: a file of proposals is damaged.
    """
    output_dir = Path(output_dir)
    propose = prediction_sources.build(options.proposals, predictor.takes_proposals)
    written = _Written(output_dir, _picture_names(paths), options)
    bad: list[str] = []

    def report(error: DataError) -> None:
        bad.append(str(error))
        if progress:
            progress.write(f"error: {error}")

    written.check_no_overwrite(paths)
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
        for start in range(0, len(paths), options.batch_size):
            chunk, images = [], []
            for path in paths[start : start + options.batch_size]:
                try:
                    images.append(read(path, options.max_image_pixels))
                    chunk.append(path)
                except DataError as error:
                    report(error)
            given = propose(chunk, images) if propose and chunk else [None] * len(chunk)
            results = _detect(predictor, chunk, images, given, options)
            for path, image, result in zip(chunk, images, results, strict=True):
                if isinstance(result, DataError):
                    report(result)
                else:
                    written.add(path, image, result)
            if progress:
                progress.update(len(paths[start : start + options.batch_size]))
        json_path = written.finish()
    except OSError as error:
        raise ConfigError(
            f"--output_dir={output_dir}: cannot be written: {reason(error)}; check the path and the free space"
        ) from error
    return DetectionReport(len(paths) - len(bad), len(written.rows), tuple(bad), json_path)


class _Written:
    """Collects and writes the output: pictures, detections and the contact sheet."""

    def __init__(self, output_dir: Path, names: dict[str, str], options: DetectionOptions) -> None:
        self._folder, self._names, self._options = output_dir, names, options
        self.rows: list[dict[str, object]] = []
        self._shown: list[tuple[str, np.ndarray]] = []  # caption, small picture

    def check_no_overwrite(self, paths: Sequence[str]) -> None:
        """Raises ConfigError if a picture would overwrite one of the images."""
        pictures = [*self._names.values()] if self._options.pictures else []
        sheet = [SHEET_NAME] if self._options.contact_sheet else []
        _check_no_overwrite(paths, self._folder, [*pictures, *sheet])

    def add(self, path: str, image: np.ndarray, result: Result) -> None:
        """Adds the detections of one image and writes its picture. Raises OSError."""
        self.rows += coco_rows(path, result)
        if not self._options.pictures and not self._options.contact_sheet:
            return
        picture = Image.fromarray(draw(image, result, self._options))
        if self._options.pictures:
            picture.save(self._folder / self._names[path], quality=92)
        if self._options.contact_sheet and len(self._shown) < _SHEET_PICTURES:
            picture.thumbnail((_SHEET_CELL, _SHEET_CELL), Image.Resampling.LANCZOS)
            self._shown.append((printable(Path(path).name), np.asarray(picture)))

    def finish(self) -> Path:
        """Writes the contact sheet and detections.json, and returns the path of the latter. Raises OSError."""
        if self._shown:
            captions, pictures = zip(*self._shown, strict=True)
            Image.fromarray(mosaic(pictures, captions=captions)).save(self._folder / SHEET_NAME, quality=92)
        json_path = self._folder / JSON_NAME
        rows = ",\n ".join(json.dumps(row, ensure_ascii=False) for row in self.rows)
        write_text(json_path, f"[{rows}]\n")
        return json_path


def _detect(
    predictor: Predictor,
    paths: Sequence[str],
    images: Sequence[np.ndarray],
    given: Sequence[np.ndarray | DataError | None],
    options: DetectionOptions,
) -> list[Result | DataError]:
    """Returns the detections of each image, or the error that makes it unusable.

    If the model rejects an image, the others of its batch are run again one by one.

    Args:
        predictor: the detector.
        paths: names of the images.
        images: the images, uint8 [h, w, 3].
        given: the proposals of each image, or why there are none; None for models without proposals.
        options: thresholds and batch size.
    """
    usable = [number for number, proposals in enumerate(given) if not isinstance(proposals, DataError)]
    paths, images, proposals = ([values[number] for number in usable] for values in (paths, images, given))
    results: list[Result | DataError] = list(given)
    for number, result in zip(usable, _detect_usable(predictor, paths, images, proposals, options), strict=True):
        results[number] = result
    return results


def _detect_usable(
    predictor: Predictor,
    paths: Sequence[str],
    images: Sequence[np.ndarray],
    given: Sequence[np.ndarray | None],
    options: DetectionOptions,
) -> list[Result | DataError]:
    proposals = given if predictor.takes_proposals else None
    try:
        return predictor.detect(
            images, options.min_score, options.max_boxes, options.batch_size, names=paths, proposals=proposals
        )
    except DataError as error:
        if len(paths) == 1:
            return [error]
    return [
        _detect_usable(predictor, [path], [image], [boxes], options)[0]
        for path, image, boxes in zip(paths, images, given, strict=True)
    ]


def draw(image: np.ndarray, result: Result, options: DetectionOptions = DEFAULTS) -> np.ndarray:
    """Draws the boxes of `result`, with labels, on a copy of `image`, uint8 [h, w, 3]."""
    found = ImageDetections(result.boxes, result.scores, result.class_ids - 1)
    names = dict(zip(found.classes.tolist(), result.class_names, strict=True))
    return draw_detections(image, found, names, Style(min_score=options.min_score, max_boxes=options.max_boxes))


def coco_rows(path: str, result: Result) -> list[dict[str, object]]:
    """Returns the detections of one image as rows in COCO's results format.

    image_id is an integer if the file name is a number, as in COCO's own files.
    """
    image = {"image_id": coco_image_id(Path(path).stem), "file_name": path}
    columns = (result.boxes.tolist(), result.scores.tolist(), result.class_ids.tolist(), result.class_names)
    return [
        {**image, "category_id": label, "category_name": name, **coco_box(box, score)}
        for box, score, label, name in zip(*columns, strict=True)
    ]


def _check_no_overwrite(paths: Sequence[str], output_dir: Path, names: Sequence[str]) -> None:
    """Raises ConfigError if a picture would overwrite one of the images.

    Files are compared by inode, so that links are recognised.
    """
    images = {}
    for path in paths:
        try:
            images[_identity(path)] = path
        except OSError:
            continue  # A missing file is reported when it is read.
    for name in names:
        try:
            image = images.get(_identity(output_dir / name))
        except OSError:
            continue  # The file does not exist yet.
        if image is not None:
            raise ConfigError(
                f"--output_dir={output_dir}: the picture {output_dir / name} would overwrite the image {image}; choose"
                " another folder"
            )


def _identity(path: str | Path) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_dev, found.st_ino


def _cut(stem: str, suffix: str, number: int) -> str:
    """Truncates a file name so that a number and a suffix can be appended."""
    return os.fsencode(stem)[: _LONGEST_NAME - len(suffix) - len(f"_{number}")].decode(errors="ignore")


def _picture_names(paths: Sequence[str]) -> dict[str, str]:
    """Returns a file name for each picture: that of the image, with a number added if several images have the same."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for path in paths:
        stem, suffix = Path(path).stem, Path(path).suffix.lower()
        suffix = suffix if suffix in (".jpg", ".jpeg", ".png") else ".png"
        name, number = f"{stem}{suffix}", 2
        while name.lower() in taken or len(os.fsencode(name)) > _LONGEST_NAME:
            name, number = f"{_cut(stem, suffix, number)}_{number}{suffix}", number + 1
        taken.add(name.lower())
        names[path] = name
    return names
