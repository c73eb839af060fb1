"""The catalogue has every classifier, with the scope of its variables."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from detection.errors import ConfigError
from detection.networks import catalogue


def test_every_classifier_of_the_folder_is_in_the_catalogue():
    found = {}
    for path in Path(catalogue.__file__).parent.glob("*.py"):
        if path.stem not in ("__init__", "catalogue"):
            found |= getattr(importlib.import_module(f"detection.networks.{path.stem}"), "CLASSIFIERS", {})
    assert found == catalogue.CLASSIFIERS and len(found) >= 11


def test_scopes_are_those_of_the_classifiers():
    """Layers are made, no weights."""
    assert {name: spec.make(spec.num_logits).name for name, spec in catalogue.CLASSIFIERS.items()} == catalogue.SCOPES


def test_the_error_for_an_unknown_name_lists_all_names():
    assert catalogue.find("resnet_v1_50") is catalogue.CLASSIFIERS["resnet_v1_50"]
    with pytest.raises(
        ConfigError,
        match=r"no network 'resnet101'; did you mean 'resnet_v1_101'\? \(there are: caffenet, .*vgg_cnn_m_1024\)",
    ):
        catalogue.find("resnet101")
    with pytest.raises(ConfigError, match=r"no network 'zzz' \(there are: caffenet"):
        catalogue.find("zzz")
