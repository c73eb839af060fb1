"""Pictures of an evaluation: the first images, with detections beside groundtruth."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from detection.evaluate import results
from detection.evaluate.images import EvaluatedImage, picture
from detection.evaluate.visualize import side_by_side
from detection.settings import EvalSettings
from detection.types import Example


class Gallery:
    """Draws the first `settings.num_visualizations` images, and writes them to `settings.visualization_export_dir`.

    After one file that cannot be written it does not try to write others.

    Args:
        settings: number of pictures, folder and style.
        names: 0-based class -> name.
        step: the training step, for warnings.
    """

    def __init__(self, settings: EvalSettings, names: Mapping[int, str], step: int = 0) -> None:
        self._settings, self._names, self._step = settings, names, step
        self._writes = bool(settings.visualization_export_dir)
        self._files: set[Path] = set()
        self.pictures: list[np.ndarray] = []  # uint8 [h, w, 3], sizes vary

    def show(self, example: Example, image: EvaluatedImage) -> None:
        """Draws one image of a batch, unless there are enough pictures already."""
        if len(self.pictures) >= self._settings.num_visualizations:
            return
        pixels, scale = picture(example, image)
        detections = image.detections._replace(boxes=image.detections.boxes * scale)
        groundtruth = image.groundtruth._replace(boxes=image.groundtruth.boxes * scale)
        self.pictures.append(side_by_side(pixels, detections, groundtruth, self._names, self._settings.style))
        if self._writes:
            self._writes = False
            with results.warn_on_write_error(f"pictures in {self._settings.visualization_export_dir}", self._step):
                path = self._path(image.source_id)
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(self.pictures[-1]).save(
                    path, compress_level=1
                )  # Three times as fast as the default, a quarter larger.
                self._writes = True

    def _path(self, source_id: str) -> Path:
        """Returns export-<id>.png or export-<number>.png; ids, which come from data, cannot leave the folder."""
        name = (
            re.sub(r"[^\w.-]", "_", source_id)
            if self._settings.name_visualizations_by_image
            else str(len(self.pictures))
        )
        path = Path(self._settings.visualization_export_dir) / f"export-{name}.png"
        if path in self._files:
            path = path.with_name(f"export-{name}-{len(self.pictures)}.png")
        self._files.add(path)
        return path
