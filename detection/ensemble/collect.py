"""The detections of every model in every image of an input, view by view; computed once and stored.

    <folder>/detections/<model>/<input>-<view>.npz      detections in pixels of the whole image; see `evaluate.stored`

A file is reused as long as the model, the input and the view have not changed. So a run that was stopped resumes with
the first model that is not finished, and other ways of merging or selecting need no inference.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

import numpy as np
from absl import logging

from detection.ensemble.evaluation_input import EvaluationInput
from detection.ensemble.models import Model, saved_model
from detection.ensemble.views import FULL, View
from detection.errors import ConfigError, DataError
from detection.evaluate import stored, voc_results
from detection.evaluate.evaluator import ImageDetections
from detection.export.predictor import Predictor
from detection.progress import Progress
from detection.types import Category

InputDetections = list[ImageDetections]  # one for each image, in the order of the input


class Collector:
    """Computes and stores the detections of models.

    Args:
        folder: where detections and exports of checkpoints are stored.
        batch_size: images in a batch.
        stream: receives progress lines; None takes standard error.
    """

    def __init__(self, folder: str | os.PathLike[str], batch_size: int = 8, stream: TextIO | None = None) -> None:
        self._folder, self._batch_size, self._stream = Path(folder), batch_size, stream
        self._paths: dict[str, str] = {}  # of SavedModels, by name of the model
        self._digests: dict[str, str] = {}

    def prepare(self, models: Sequence[Model], allow_unused: bool = False) -> None:
        """Exports the models that are checkpoints and not exported yet.

        Args:
            models: the models.
            allow_unused: accept weights in a checkpoint that the config's model does not have.

        Raises:
            ConfigError, DataError: as exporting does.
        """
        folder = self._folder / "exported"
        self._paths |= {model.name: saved_model(model, folder, allow_unused) for model in models if model.path}

    def stored(self, model: Model, images: EvaluationInput, which: int) -> InputDetections:
        """The detections of a model that is given as files only.

        Args:
            model: the model.
            images: the input.
            which: 0 for its file on the selection input, 1 for the one on the evaluation input.

        Raises:
            DataError: the file is damaged or of other images.
            ConfigError: its classes differ from those of the input.
        """
        path = model.stored[which]
        if voc_results.is_result_path(path):
            names = {name: id_ - 1 for id_, names in images.names.items() for name in names}
            return voc_results.read(path, names).aligned(images.sizes)
        file = stored.read(path)
        _check_classes(f"--stored={model.name}={file.path}", file.categories, images)
        return file.aligned(images.sizes)

    def detections(
        self, model: Model, images: EvaluationInput, views: Sequence[View] = (FULL,)
    ) -> Mapping[View, InputDetections]:
        """The detections of a prepared model in every view; computed now if they are not stored.

        Args:
            model: the model.
            images: the input.
            views: the views of each image.

        Raises:
            ConfigError: the model cannot be loaded or has other classes, or the folder cannot be written.
            DataError: the model does not accept an image.
        """
        path = self._paths[model.name]
        keys = {view: self._key(path, images, view) for view in views}
        files = {view: self._folder / "detections" / model.name / f"{images.name}-{view.name}.npz" for view in views}
        results = {view: found for view in views if (found := self._read(files[view], keys[view], images)) is not None}
        missing_views = [view for view in views if view not in results]
        if missing_views:
            predictor = Predictor.load(path)
            if predictor.takes_proposals:
                remedy = "evaluate it with eval_config.export_path=found.npz and give that file by --stored"
                raise ConfigError(f"--models={model.path}: classifies proposals given with the images; {remedy}")
            _check_classes(f"--models={model.path}", predictor.categories, images)
            for view, found in self._detect(predictor, model.name, images, missing_views).items():
                rows = zip(images.sizes, images.sizes.values(), found, strict=True)
                notes = {"key": keys[view], "model": os.path.abspath(path), "input": images.name, "view": view.name}
                try:
                    stored.write(files[view], stored.collect(rows, predictor.categories, notes))
                except OSError as error:
                    raise ConfigError(
                        f"{files[view]}: cannot be written: {error.strerror or error}; check the path and the free"
                        " space"
                    ) from error
                # Read back, so that the next run has the same values bit for bit.
                results[view] = stored.read(files[view]).aligned(images.sizes)
        return results

    def _detect(
        self, predictor: Predictor, name: str, images: EvaluationInput, views: Sequence[View]
    ) -> dict[View, InputDetections]:
        results: dict[View, InputDetections] = {view: [] for view in views}
        remaining = zip(images.sizes.items(), images.images(), strict=True)
        label = f"{name} on {images.name}, {len(views)} views" if len(views) > 1 else f"{name} on {images.name}"
        with Progress(len(images.sizes), "image", label=label, stream=self._stream) as progress:
            while chunk := list(itertools.islice(remaining, self._batch_size)):
                names = [id_ for (id_, _), _ in chunk]
                for view in views:
                    batch_results = predictor.detect(
                        [view.crop(image) for _, image in chunk], batch_size=self._batch_size, names=names
                    )
                    for ((_, (height, width)), _), result in zip(chunk, batch_results, strict=True):
                        is_valid = (
                            np.isfinite(result.boxes).all(axis=1) & np.isfinite(result.scores) & (result.class_ids > 0)
                        )
                        detections = ImageDetections(
                            result.boxes[is_valid], result.scores[is_valid], result.class_ids[is_valid] - 1
                        )
                        results[view].append(view.to_image(detections, height, width))
                progress.update(len(chunk))
        return results

    def _read(self, path: Path, key: str, images: EvaluationInput) -> InputDetections | None:
        if not path.is_file():
            return None
        try:
            file = stored.read(path)
            return file.aligned(images.sizes) if file.notes.get("key") == key else None
        except DataError as error:
            logging.warning("%s; the detections are computed again", error)
            return None

    def _key(self, path: str, images: EvaluationInput, view: View) -> str:
        if path not in self._digests:
            with open(Path(path) / "saved_model.pb", "rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            variables = [
                (str(file.name), file.stat().st_size, file.stat().st_mtime_ns)
                for file in sorted(Path(path).glob("variables/*"))
            ]
            # Our exports have no variables; exports of other tools store their weights there.
            self._digests[path] = digest + repr(variables)
        text = json.dumps([self._digests[path], images.fingerprint(), view])
        return hashlib.sha256(text.encode()).hexdigest()


def _check_classes(where: str, categories: Sequence[Category], images: EvaluationInput) -> None:
    """Raises ConfigError if a label id names different classes in the model and in the input.

    Ids that only one of them has are ignored, and so are placeholder names.
    """
    for category in categories:
        id_, names = category.id, {category.name, category.shown}
        input_names = images.names.get(id_, names)
        if not names & input_names and f"category_{id_}" not in names | input_names:
            expected = " or ".join(map(repr, sorted(input_names)))
            raise ConfigError(
                f"{where}: its class {id_} is {category.shown!r}, but {expected} in the evaluation input; use models"
                " with the same label map"
            )
