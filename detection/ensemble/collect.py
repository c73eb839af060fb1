"""What every model finds in every image of an input: read where it is stored, otherwise found and stored, view by view.

    <folder>/<model>/<input>-<view>.npz      detections in pixels of the whole image; see `evaluate.stored`

A file counts as long as model, input and view are those that it was made with; so a run that was stopped goes on with
the first model it had not finished, and other ways of merging or choosing cost no inference.
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
from detection.evaluate import stored
from detection.evaluate.evaluator import ImageDetections
from detection.export.predictor import Predictor
from detection.progress import Progress
from detection.types import Category

Found = list[ImageDetections]  # one an image, in the order of the input


class Collector:
    """Detections of models, from the folder where they are kept.

    Args:
        folder: where detections, and exports of checkpoints, are kept.
        batch_size: images that go through a model together.
        stream: where progress is shown; None takes standard error.
    """

    def __init__(self, folder: str | os.PathLike[str], batch_size: int = 8, stream: TextIO | None = None) -> None:
        self._folder, self._batch_size, self._stream = Path(folder), batch_size, stream
        self._paths: dict[str, str] = {}  # of SavedModels, by name of the model
        self._digests: dict[str, str] = {}

    def prepare(self, models: Sequence[Model], allow_unused: bool = False) -> None:
        """Exports those that are checkpoints, where that is not done yet. Raises what exporting raises."""
        folder = self._folder / "exported"
        self._paths |= {model.name: saved_model(model, folder, allow_unused) for model in models if model.path}

    def stored(self, model: Model, images: EvaluationInput, which: int) -> Found:
        """Those of a model of which only files are known; `which` of the two.

        Raises DataError where they are not of these images.
        """
        found = stored.read(model.stored[which])
        _check_classes(f"--stored={model.name}={found.path}", found.categories, images)
        return found.aligned(images.sizes)

    def found(self, model: Model, images: EvaluationInput, views: Sequence[View] = (FULL,)) -> Mapping[View, Found]:
        """Detections of every view of a prepared model, made now where they are not stored.

        Raises:
            ConfigError: the model cannot be loaded, has other classes, or the folder cannot be written. DataError: it
                does not take an image.
        """
        path = self._paths[model.name]
        keys = {view: self._key(path, images, view) for view in views}
        files = {view: self._folder / "detections" / model.name / f"{images.name}-{view.name}.npz" for view in views}
        there = {view: found for view in views if (found := self._read(files[view], keys[view], images)) is not None}
        missing = [view for view in views if view not in there]
        if missing:
            predictor = Predictor.load(path)
            if predictor.takes_proposals:
                remedy = "evaluate it with eval_config.export_path=found.npz and give that file by --stored"
                raise ConfigError(f"--models={model.path}: classifies regions that come with the images; {remedy}")
            _check_classes(f"--models={model.path}", predictor.categories, images)
            for view, found in self._detect(predictor, model.name, images, missing).items():
                rows = zip(images.sizes, images.sizes.values(), found, strict=True)
                notes = {"key": keys[view], "model": os.path.abspath(path), "input": images.name, "view": view.name}
                try:
                    stored.write(files[view], stored.collect(rows, predictor.categories, notes))
                except OSError as error:
                    raise ConfigError(
                        f"{files[view]}: cannot be written: {error.strerror or error}; check the path and the free"
                        " space"
                    ) from error
                there[view] = stored.read(files[view]).aligned(
                    images.sizes
                )  # As it will be read next time, to the last bit.
        return there

    def _detect(
        self, predictor: Predictor, name: str, images: EvaluationInput, views: Sequence[View]
    ) -> dict[View, Found]:
        found: dict[View, Found] = {view: [] for view in views}
        waiting = zip(images.sizes.items(), images.images(), strict=True)
        label = f"{name} on {images.name}, {len(views)} views" if len(views) > 1 else f"{name} on {images.name}"
        with Progress(len(images.sizes), "image", label=label, stream=self._stream) as progress:
            while chunk := list(itertools.islice(waiting, self._batch_size)):
                names = [id_ for (id_, _), _ in chunk]
                for view in views:
                    results = predictor.detect(
                        [view.of(image) for _, image in chunk], batch_size=self._batch_size, names=names
                    )
                    for ((_, (height, width)), _), result in zip(chunk, results, strict=True):
                        kept = (
                            np.isfinite(result.boxes).all(axis=1) & np.isfinite(result.scores) & (result.class_ids > 0)
                        )
                        detections = ImageDetections(
                            result.boxes[kept], result.scores[kept], result.class_ids[kept] - 1
                        )
                        found[view].append(view.back(detections, height, width))
                progress.update(len(chunk))
        return found

    def _read(self, path: Path, key: str, images: EvaluationInput) -> Found | None:
        if not path.is_file():
            return None
        try:
            found = stored.read(path)
            return found.aligned(images.sizes) if found.notes.get("key") == key else None
        except DataError as error:
            logging.warning("%s; they are made again", error)
            return None

    def _key(self, path: str, images: EvaluationInput, view: View) -> str:
        if path not in self._digests:
            with open(Path(path) / "saved_model.pb", "rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            variables = [
                (str(file.name), file.stat().st_size, file.stat().st_mtime_ns)
                for file in sorted(Path(path).glob("variables/*"))
            ]
            self._digests[path] = digest + repr(variables)  # Ours have none; those of others keep their weights there.
        text = json.dumps([self._digests[path], images.fingerprint(), view])
        return hashlib.sha256(text.encode()).hexdigest()


def _check_classes(where: str, theirs: Sequence[Category], images: EvaluationInput) -> None:
    """Raises ConfigError where a label id means two things.

    Ids that only one of them has do no harm, and made-up names tell nothing.
    """
    for category in theirs:
        id_, names = category.id, {category.name, category.shown}
        ours = images.names.get(id_, names)
        if not names & ours and f"category_{id_}" not in names | ours:
            known = " or ".join(map(repr, sorted(ours)))
            raise ConfigError(
                f"{where}: its class {id_} is {category.shown!r}, that of the evaluation input {known}; give models of"
                " one label map"
            )
