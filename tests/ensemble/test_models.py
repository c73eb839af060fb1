"""Which models a command line means."""

from __future__ import annotations

import os

import pytest

from detection.ensemble import models
from detection.errors import ConfigError


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """Two exports, a run with two checkpoints and a best one, a lone checkpoint; in the working folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("one/exported", "two/exported"):
        (tmp_path / name / "saved_model").mkdir(parents=True)
        (tmp_path / name / "saved_model" / "saved_model.pb").write_bytes(b"")
    (tmp_path / "one/exported/pipeline.config").write_text("")
    for prefix in ("run/model.ckpt-100", "run/model.ckpt-200", "run/best/model.ckpt-100", "lone/model.ckpt-5"):
        path = tmp_path / prefix
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_name(path.name + ".index").write_bytes(b"")
    (tmp_path / "run/pipeline.config").write_text("")
    return tmp_path


def test_exports_runs_and_checkpoints(tree):
    found = models.find(
        ["one/exported", "mine=two/exported/saved_model", "run", "run/best"], ["known=val.npz,test.json"]
    )
    assert [(model.name, model.path, model.config) for model in found] == [
        ("best", "run/best/model.ckpt-100", "run/pipeline.config"),
        ("known", "", ""),
        ("mine", "two/exported/saved_model", ""),
        ("one-exported", "one/exported/saved_model", "one/exported/pipeline.config"),
        ("run", "run/model.ckpt-200", "run/pipeline.config"),
    ]
    assert found[1].stored == ("val.npz", "test.json")
    assert models.find([], ["a=x.npz"])[0].stored == ("x.npz", "x.npz")


def test_names_are_as_long_as_it_takes_to_tell_them_apart(tree):
    assert [model.name for model in models.find(["*/exported"])] == ["one-exported", "two-exported"]
    assert [model.name for model in models.find(["run/model.ckpt-100"])] == ["run"]
    assert [model.name for model in models.find(["only=on*/exported"])] == ["only"]


@pytest.mark.parametrize(
    ("paths", "stored", "message"),
    [
        ([], [], "--models: none is given"),
        (["absent"], [], "--models=absent: contains neither a SavedModel nor a checkpoint"),
        (["x*"], [], r"--models=x\*: no folder matches"),
        (["a=*/exported"], [], "2 folders match, but only one name is given"),
        (["lone"], [], "--models=lone: no pipeline.config beside the checkpoint"),
        (["a=run", "a=one/exported"], [], "two have the name 'a'; rename one, as in --models=other="),
        ([], ["x.npz"], "--stored=x.npz: expected NAME=FILE, or NAME=FILE,FILE"),
        ([], ["a=x,y,z"], "--stored=a=x,y,z: expected"),
        ([], ["a="], "--stored=a=: expected"),
    ],
)
def test_mistakes_are_named(tree, paths, stored, message):
    with pytest.raises(ConfigError, match=message):
        models.find(paths, stored)


def test_a_checkpoint_is_exported_once_and_again_when_it_is_newer(trained, tmp_path):
    (model,) = models.find([trained.checkpoint])
    assert model.facts()["feature_extractor"] == "mobilenet_v1"
    path = models.saved_model(model, tmp_path)
    pb = os.path.join(path, "saved_model.pb")
    os.utime(pb, (os.path.getmtime(pb) + 100,) * 2)
    made = os.path.getmtime(pb)
    assert models.saved_model(model, tmp_path) == path and os.path.getmtime(pb) == made
    os.utime(pb, (1, 1))
    assert models.saved_model(model, tmp_path) == path and os.path.getmtime(pb) > 1
