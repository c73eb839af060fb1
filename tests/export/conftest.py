"""One small detector with random weights, exported once for all tests of this folder."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

CONFIG = (Path(__file__).parent / "tiny.config").read_text(encoding="utf-8")
LABEL_MAP = 'item { id: 1 name: "circle" }\nitem { id: 2 name: "square \\"of\\" ☃" }\nitem { id: 3 name: "star" }\n'


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """`config` and `checkpoint` paths of a detector whose every variable is random, and the `detector` and `pipeline` themselves."""
    from detection import config
    from detection.builders import pipeline as pipeline_builder
    from detection.train import checkpoints

    folder: Path = tmp_path_factory.mktemp("trained")
    (folder / "label_map.pbtxt").write_text(LABEL_MAP, encoding="utf-8")
    (folder / "pipeline.config").write_text(CONFIG.replace("LABEL_MAP", str(folder / "label_map.pbtxt")), encoding="utf-8")
    pipeline = pipeline_builder.build(config.load(folder / "pipeline.config"))
    detector = pipeline.make_detector()
    detector.build_weights()
    random = np.random.default_rng(5)
    for variable in detector.variables:
        if variable.path.endswith("moving_variance") or variable.path.endswith("gamma"):
            variable.assign(random.uniform(0.5, 1.5, variable.shape).astype(np.float32))
        elif variable.path.endswith(("beta", "moving_mean", "biases")):
            variable.assign(random.normal(0, 0.3, variable.shape).astype(np.float32))
    kept = checkpoints.Checkpoints(folder)
    kept.save(7, {**checkpoints.by_name(detector), checkpoints.GLOBAL_STEP: np.int64(7)})
    return SimpleNamespace(
        folder=folder, config=str(folder / "pipeline.config"), checkpoint=str(folder / "model.ckpt-7"), detector=detector, pipeline=pipeline
    )


@pytest.fixture(scope="session")
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That detector exported for image_tensor."""
    return export_once(request, tmp_path_factory, "image_tensor")


@pytest.fixture(scope="session")
def exported_strings(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That detector exported for encoded_image_string_tensor."""
    return export_once(request, tmp_path_factory, "encoded_image_string_tensor")


def export_once(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, kind: str) -> Path:
    """The export of one input type, made by whichever folder's tests need it first."""
    from detection.export import exporter
    from detection.export.serving import ServingInput

    folder = tmp_path_factory.getbasetemp() / "exports" / kind
    if not folder.exists():
        trained = request.getfixturevalue("trained")
        exporter.export(trained.config, trained.checkpoint, str(folder), ServingInput(kind))
    return folder
