"""An evaluation input as ensembles need it: the images in their own size, and what is to be found in them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from detection.data.reading.corrections import Corrections
from detection.data.reading.input import eval_dataset
from detection.data.reading.iteration import iterate
from detection.data.reading.options import InputOptions
from detection.data.resize import IdentityResizer
from detection.errors import DataError
from detection.evaluate.evaluator import Evaluator, ImageDetections, ImageGroundtruth
from detection.evaluate.images import EvaluatedImage, ImageNames, images_of
from detection.types import Category, Detections, Example


def _names(category: Category) -> set[str]:
    return {category.name, category.shown}


class EvaluationInput:
    """Records that are read once for their groundtruth, and again whenever their images are wanted.

    Args:
        name: what messages and files call it.
        options: which records.

    Raises:
        ConfigError, DataError: as `data.reading.input.eval_dataset`, and for an input without images.
    """

    def __init__(self, name: str, options: InputOptions) -> None:
        self.name, self.categories, self.paths, self._options = name, options.categories, options.paths, options
        self.names: dict[int, set[str]] = {
            category.id: _names(category) for category in options.categories
        }  # all that an id is called
        for text, id_ in options.text_ids:
            self.names.setdefault(id_, set()).add(text)
        corrections, names = Corrections(), ImageNames()
        self._dataset = eval_dataset(options, IdentityResizer(), 1, corrections=corrections)
        images = [(names.unique(image.source_id), image) for _, image in self._read(corrections)]
        names.warn()
        if not images:
            raise DataError(f"{options.field}: no images; check the records and the sampling")
        self.sizes: dict[str, tuple[int, int]] = {
            id_: image.shape for id_, image in images
        }  # id -> height and width, in the order of the records
        self.groundtruth: list[ImageGroundtruth] = [image.groundtruth for _, image in images]

    def images(self) -> Iterator[np.ndarray]:
        """uint8 [H, W, 3] each, decoded again at every call."""
        for example, _ in self._read():
            yield np.asarray(example.batch.images[0]).astype(np.uint8)

    def fingerprint(self) -> str:
        """Hexadecimal, the same for the same files with the same images in the same order."""
        files = [(Path(path).name, tf.io.gfile.stat(path).length) for path in self._options.shards()]
        return hashlib.sha256(repr((files, list(self.sizes.items()))).encode()).hexdigest()

    def measure(self, detections: Sequence[ImageDetections], evaluators: Sequence[Evaluator]) -> dict[str, float]:
        """Tag -> value of detections [images]; the evaluators are cleared first."""
        for evaluator in evaluators:
            evaluator.clear()
        for id_, groundtruth, found in zip(self.sizes, self.groundtruth, detections, strict=True):
            for evaluator in evaluators:
                evaluator.add(id_, groundtruth, found)
        return {tag: value for evaluator in evaluators for tag, value in evaluator.result().items()}

    def _read(self, corrections: Corrections | None = None) -> Iterator[tuple[Example, EvaluatedImage]]:
        nothing = Detections(np.zeros([1, 0, 4]), np.zeros([1, 0]), np.zeros([1, 0]), np.zeros(1), None, None)
        for example in iterate(self._dataset, self._options, corrections):
            yield from ((example, image) for image in images_of(example, nothing))
