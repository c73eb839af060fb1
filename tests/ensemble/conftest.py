"""The exported detector of the export tests, a second one with other weights, and records of a few small pictures."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers.commands import command
from tests.helpers.exports import exported, trained

__all__ = ["command", "exported", "trained"]


@pytest.fixture(scope="session")
def other_run(trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training run of the same config, whose checkpoint holds other weights."""
    from detection.checkpoints import loading, rotation
    from detection.checkpoints.names import GLOBAL_STEP

    folder = tmp_path_factory.mktemp("other_run")
    (folder / "pipeline.config").write_text(Path(trained.config).read_text(encoding="utf-8"), encoding="utf-8")
    random = np.random.default_rng(6)
    weights = {name: np.asarray(value) for name, value in loading.by_name(trained.detector).items()}
    weights = {
        name: (value * random.uniform(0.8, 1.2, value.shape)).astype(value.dtype) for name, value in weights.items()
    }
    rotation.Checkpoints(folder).save(9, {**weights, GLOBAL_STEP: np.int64(9)})
    return folder


@pytest.fixture(scope="session")
def records(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Name -> record file: `val` and `test`, three pictures each of two sizes, with a bright rectangle as their only
    object."""
    import tensorflow as tf

    from detection.data.record_writer import RecordBox, RecordImage, to_example

    folder, random = tmp_path_factory.mktemp("records"), np.random.default_rng(0)
    paths = {}
    for split in ("val", "test"):
        paths[split] = str(folder / f"{split}.record")
        with tf.io.TFRecordWriter(paths[split]) as writer:
            for number in range(3):
                height, width = (60, 80) if number else (50, 70)
                pixels = random.integers(0, 60, (height, width, 3)).astype(np.uint8)
                ymin, xmin = random.integers(2, 20, 2).tolist()
                ymax, xmax = ymin + 24, xmin + 30
                pixels[ymin:ymax, xmin:xmax] = 255
                buffer = io.BytesIO()
                Image.fromarray(pixels).save(buffer, "PNG")
                box = RecordBox(ymin / height, xmin / width, ymax / height, xmax / width, 1, "circle", 720.0)
                name = f"{split}_{number}"
                image = RecordImage(buffer.getvalue(), "png", height, width, f"{name}.png", name, (box,))
                writer.write(to_example(image).SerializeToString())
    return paths
