"""What `import detection.odapi` makes importable, and what not."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

import pytest

import detection.odapi
from detection.errors import ConfigError


def test_the_names_of_the_original_lead_to_ours():
    from object_detection.builders import model_builder
    from object_detection.protos import pipeline_pb2
    from object_detection.utils import label_map_util

    assert label_map_util.__name__ == "detection.odapi.utils.label_map_util"
    assert model_builder is sys.modules["detection.odapi.builders.model_builder"]
    assert pipeline_pb2.TrainEvalPipelineConfig is sys.modules["detection.protos.pipeline_pb2"].TrainEvalPipelineConfig
    for name in detection.odapi.MODULES:
        assert importlib.import_module(f"object_detection.{name}").__name__ == f"detection.odapi.{name}"


def test_other_modules_say_what_there_is():
    with pytest.raises(
        ModuleNotFoundError, match="object_detection.core: detection.odapi does not provide .*utils.label_map_util"
    ):
        importlib.import_module("object_detection.core.box_list")
    with pytest.raises(ImportError, match="colab_utils"):
        from object_detection.utils import colab_utils  # noqa: F401


def test_it_is_not_mixed_with_the_original(monkeypatch):
    original = ModuleType("object_detection")
    original.__file__ = "models/research/object_detection/__init__.py"
    monkeypatch.setitem(sys.modules, "object_detection", original)
    with pytest.raises(ConfigError, match="already imported, from models/research/object_detection/__init__.py"):
        detection.odapi._register()
    assert sys.modules["object_detection"] is original
