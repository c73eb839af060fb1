"""The exported detector of the export tests, and a small one of every meta-architecture as config and as export, for
the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers import detector_configs
from tests.helpers.exports import exported, exported_strings, trained

__all__ = ["config_of", "exported", "exported_strings", "saved_model_of", "trained"]
GIVEN = 20  # proposals for Fast R-CNN


@pytest.fixture(scope="session")
def config_of(tmp_path_factory: pytest.TempPathFactory):
    """Path of the config of a small detector, by its meta-architecture."""
    folder = tmp_path_factory.mktemp("configs")

    def write(meta: str) -> str:
        path = folder / f"{meta}.config"
        kind = "ssd_mobilenet_v1" if meta == "ssd" else "faster_rcnn_mobilenet_v1"
        path.write_text(
            getattr(detector_configs, meta)(detector_configs.Settings(kind, 64, 96, depth_multiplier=0.25)),
            encoding="utf-8",
        )
        return str(path)

    return write


@pytest.fixture(scope="session")
def saved_model_of(config_of, tmp_path_factory: pytest.TempPathFactory):
    """Folder of the SavedModel of a small detector with random weights, by its meta-architecture; made once."""
    from detection.benchmark import rows
    from detection.benchmark.inputs import BenchmarkOptions

    folder = tmp_path_factory.mktemp("saved_models")

    def export(meta: str, overrides: tuple[str, ...] = ()) -> Path:
        target = folder / f"{meta}{abs(hash(overrides))}"
        if not target.exists():
            rows.export(config_of(meta), None, BenchmarkOptions(proposals=GIVEN, overrides=overrides), target)
        return target

    return export
