"""Splits batches into single images, without padding, with boxes in pixels of the original image and unique ids."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from absl import logging
from PIL import Image

from detection.evaluate.evaluator import ImageDetections, ImageGroundtruth
from detection.types import Detections, Example, is_given

_PICTURE_SIDE = 1024  # pixels, maximum length of the longer side of a picture


class EvaluatedImage(NamedTuple):
    """One image of a batch, with groundtruth and detections."""

    source_id: str
    row: int  # index in the batch
    shape: tuple[int, int]  # height and width of the original image
    groundtruth: ImageGroundtruth
    detections: ImageDetections


def images_of(example: Example, detections: Detections) -> Iterator[EvaluatedImage]:
    """Yields the images of a batch of eager tensors or arrays.

    Rows without an image (original shape 0 x 0, which pad the last batch) are skipped.
    """
    shapes = np.asarray(example.info.original_shapes)
    true_shapes = np.asarray(example.batch.true_shapes)
    groundtruth = type(example.groundtruth)(*(np.asarray(field) for field in example.groundtruth))
    boxes, scores, classes, counts = (np.asarray(field) for field in detections[:4])
    for row, source_id in enumerate(np.asarray(example.info.source_ids).tolist()):
        height, width = (int(side) for side in shapes[row])
        if height <= 0 or width <= 0:
            continue
        extent = np.array([height, width, height, width], np.float64)
        found = slice(0, int(counts[row]))
        there = slice(0, int(groundtruth.counts[row]))
        to_original = extent / np.tile(true_shapes[row].astype(np.float64), 2)
        yield EvaluatedImage(
            source_id.decode("utf-8", errors="replace") if isinstance(source_id, bytes) else str(source_id),
            row,
            (height, width),
            _groundtruth(groundtruth, row, there, to_original),
            _detections(boxes[row, found], scores[row, found], classes[row, found], extent),
        )


def _groundtruth(groundtruth, row: int, there: slice, to_original: np.ndarray) -> ImageGroundtruth:
    boxes = groundtruth.boxes[row, there] * to_original
    difficult = groundtruth.difficult[row, there]
    # A box of weight 0 without another flag is ignored in training, so metrics treat it as a crowd region.
    crowd = groundtruth.is_crowd[row, there] | ((groundtruth.weights[row, there] == 0) & ~difficult)
    areas = groundtruth.areas[row, there].astype(np.float64)
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0.0)
    return ImageGroundtruth(
        boxes,
        groundtruth.classes[row, there],
        crowd,
        difficult,
        np.where(areas > 0, areas, sides.prod(axis=1)),
        group_of=groundtruth.group_of[row, there] if is_given(groundtruth.group_of) else (),
        checked=np.flatnonzero(groundtruth.checked[row]) if is_given(groundtruth.checked) else None,
    )


def _detections(boxes: np.ndarray, scores: np.ndarray, classes: np.ndarray, extent: np.ndarray) -> ImageDetections:
    """Returns detections clipped to the image, without those on its padding and without non-finite ones.

    Non-finite boxes or scores come from diverged models.
    """
    finite = np.isfinite(boxes).all(axis=1) & np.isfinite(scores)
    boxes = np.clip(np.where(finite[:, None], boxes, 0.0).astype(np.float64), 0.0, 1.0) * extent
    kept = finite & (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    return ImageDetections(boxes[kept], scores[kept].astype(np.float64), classes[kept].astype(np.int64))


class ImageNames:
    """Gives every image of an evaluation a unique name, and warns once about those that had to be generated."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._empty = 0
        self._repeated: list[str] = []

    def unique(self, source_id: str) -> str:
        """Returns the source id; `image-<n>` if it is empty, `<id>#<n>` if it occurred before."""
        name = source_id
        if not source_id:
            self._empty += 1
            name = source_id = f"image-{len(self._seen) + 1}"
        elif name in self._seen:
            self._repeated.append(source_id)
        copy = 1
        while name in self._seen:
            copy += 1
            name = f"{source_id}#{copy}"
        self._seen.add(name)
        return name

    def warn(self) -> None:
        """Logs a warning about empty or repeated ids, if there were any."""
        if self._empty:
            logging.warning("image/source_id: empty in %d evaluated records; numbered instead", self._empty)
        if self._repeated:
            logging.warning(
                "image/source_id: %d evaluated records repeat an earlier id, first %r; is the input listed twice? All"
                " were evaluated",
                len(self._repeated),
                self._repeated[0],
            )


def picture(example: Example, image: EvaluatedImage) -> tuple[np.ndarray, float]:
    """Returns an image for display, uint8 [h, w, 3] with the aspect ratio of the original, and its scale.

    The picture is made from the resized image, since the original is not kept. The scale is the size of the picture
    relative to the original.
    """
    true_height, true_width = (int(side) for side in np.asarray(example.batch.true_shapes)[image.row])
    pixels = np.asarray(example.batch.images[image.row])[:true_height, :true_width, :3]
    scale = min(1.0, _PICTURE_SIDE / max(image.shape))
    height, width = (max(1, round(scale * side)) for side in image.shape)
    frame = Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))
    return np.asarray(frame.resize((width, height), Image.Resampling.BICUBIC)), scale
