"""`detection config` and `builtin:NAME`: configs that come with the package."""

from __future__ import annotations

from pathlib import Path

import pytest

from detection.commands.call import call
from detection.config import builtin, files, sweep_file
from detection.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
NAME = "ssd_mobilenet_v1_075_bccd"


def test_list_names_every_file(capfd):
    assert call("config", "list") == 0
    lines = capfd.readouterr().out.splitlines()
    names = {path.relative_to(ROOT / "configs").with_suffix("").as_posix() for path in (ROOT / "configs").rglob("*.*")}
    assert {line.split()[0] for line in lines} == names and len(lines) == len(names)
    assert max(map(len, lines)) <= 120
    assert call("config") == 0 and capfd.readouterr().out.splitlines() == lines


def test_every_kind_of_detector_and_pyramid_has_a_config_to_start_from():
    started = [files.load(path).model for path in (ROOT / "configs").glob("*.config")]
    assert {model.WhichOneof("model") for model in started} == {"ssd", "faster_rcnn", "fast_rcnn", "center_net"}
    types = " ".join(getattr(model, model.WhichOneof("model")).feature_extractor.type for model in started)
    assert "_fpn" in types and "_bifpn" in types


@pytest.mark.parametrize("name", [NAME, f"{NAME}.config", f"builtin:{NAME}"])
def test_show(name, capfd):
    assert call("config", "show", name) == 0
    assert capfd.readouterr().out == (ROOT / "configs" / f"{NAME}.config").read_text()


def test_copy_does_not_overwrite_a_file(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert call("config", "copy", NAME, "my.config") == 0
    text = Path("my.config").read_text()
    assert text == (ROOT / "configs" / f"{NAME}.config").read_text()
    Path("my.config").write_text("mine")
    assert call("config", "copy", NAME, "my.config") == 2
    assert "my.config: exists already; give another name, or --overwrite" in capfd.readouterr().err
    assert Path("my.config").read_text() == "mine"
    assert call("config", "copy", NAME, "my.config", "--overwrite") == 0 and Path("my.config").read_text() == text
    Path("folder").mkdir()
    assert call("config", "copy", NAME, "folder") == 0 and Path(f"folder/{NAME}.config").exists()
    assert call("config", "copy", NAME) == 0 and Path(f"{NAME}.config").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["show", "ssd_mobilenet_v1_075_bcd"], f"there is no config of that name; did you mean {NAME}?"),
        (["show"], "usage: detection config show NAME"),
        (["copy", "a", "b", "c"], "usage: detection config copy NAME [FILE]"),
        (["remove", "a"], "unknown argument 'remove'; usage: detection config list | show NAME | copy NAME [FILE]"),
        (["copy", NAME, "absent/a.config"], "absent"),
    ],
)
def test_mistakes(words, says, capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert call("config", *words) == 2
    error = capfd.readouterr().err
    assert says in error and error.count("\n") == 1


def test_a_command_takes_a_config_by_name():
    assert files.load(f"builtin:{NAME}") == files.load(ROOT / "configs" / f"{NAME}.config")
    assert sweep_file.load("builtin:sweep/paper").bases
    with pytest.raises(ConfigError, match="builtin:ssd_mobilenet: there is no config of that name; did you mean"):
        files.load("builtin:ssd_mobilenet")


def test_other_paths_stay_what_they_are():
    assert builtin.locate("my.config") == "my.config" and builtin.locate(Path("a/b")) == "a/b"
