"""An evaluation input for ensembles: the images in their original size and their groundtruth."""

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
    """Records that are read once for their groundtruth, and again each time their images are needed.

    Args:
        name: the name in messages and file names.
        options: which records to read.

    Raises:
        ConfigError: as `data.reading.input.eval_dataset`.
        DataError: as `data.reading.input.eval_dataset`, or the input has no images.
    """

    def __init__(self, name: str, options: InputOptions) -> None:
        self.name, self.categories, self.paths, self._options = name, options.categories, options.paths, options
        # All names of each class id.
        self.names: dict[int, set[str]] = {category.id: _names(category) for category in options.categories}
        for text, id_ in options.text_ids:
            self.names.setdefault(id_, set()).add(text)
        corrections, names = Corrections(), ImageNames()
        self._dataset = eval_dataset(options, IdentityResizer(), 1, corrections=corrections)
        images = [(names.unique(image.source_id), image) for _, image in self._read(corrections)]
        names.warn()
        if not images:
            raise DataError(f"{options.field}: no images; check the records and the sampling")
        # Image id -> height and width, in the order of the records.
        self.sizes: dict[str, tuple[int, int]] = {id_: image.shape for id_, image in images}
        self.groundtruth: list[ImageGroundtruth] = [image.groundtruth for _, image in images]

    def images(self) -> Iterator[np.ndarray]:
        """Yields the images, uint8 [H, W, 3]; they are decoded again at every call."""
        for example, _ in self._read():
            yield np.asarray(example.batch.images[0]).astype(np.uint8)

    def fingerprint(self) -> str:
        """A hexadecimal hash, equal for the same files with the same images in the same order."""
        files = [(Path(path).name, tf.io.gfile.stat(path).length) for path in self._options.shards()]
        return hashlib.sha256(repr((files, list(self.sizes.items()))).encode()).hexdigest()

    def measure(self, detections: Sequence[ImageDetections], evaluators: Sequence[Evaluator]) -> dict[str, float]:
        """Evaluates detections.

        Args:
            detections: one for each image.
            evaluators: are cleared first.

        Returns:
            Tag -> value.
        """
        for evaluator in evaluators:
            evaluator.clear()
        for id_, groundtruth, image_detections in zip(self.sizes, self.groundtruth, detections, strict=True):
            for evaluator in evaluators:
                evaluator.add(id_, groundtruth, image_detections)
        return {tag: value for evaluator in evaluators for tag, value in evaluator.result().items()}

    def _read(self, corrections: Corrections | None = None) -> Iterator[tuple[Example, EvaluatedImage]]:
        no_detections = Detections(np.zeros([1, 0, 4]), np.zeros([1, 0]), np.zeros([1, 0]), np.zeros(1), None, None)
        for example in iterate(self._dataset, self._options, corrections):
            yield from ((example, image) for image in images_of(example, no_detections))
