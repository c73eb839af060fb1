"""The example of docs/your_own_parts.md, in a temporary package: checked, trained, evaluated and exported, also by a
process that knows nothing but the saved config."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import detection
from detection import config as configs
from detection import registry
from detection.builders import pipeline as pipelines
from detection.commands.call import call
from detection.errors import ConfigError
from tests.helpers import detector_configs
from tests.helpers.tiny import write_records

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "your_own_parts.md").read_text(encoding="utf-8")
BLOCKS = {name: text for name, text in re.findall(r"```\w*\n# ([\w/]+\.\w+)\n(.*?)```", PAGE, re.DOTALL)}
_REST = """
train_config {{ batch_size: 2 num_steps: 2
  optimizer {{ momentum_optimizer {{ learning_rate {{ constant_learning_rate {{ learning_rate: 0.001 }} }} }} }} }}
train_input_reader {{ tf_record_input_reader {{ input_path: "{records}" }} }}
eval_input_reader {{ tf_record_input_reader {{ input_path: "{records}" }} }}
"""
_SSD = detector_configs.ssd(detector_configs.Settings("ssd_mobilenet_v1", 64, 64, num_classes=2))
_FASTER = detector_configs.faster_rcnn(detector_configs.Settings("faster_rcnn_mobilenet_v1", 64, 64, num_classes=2))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The page's files, records, and a config of each kind. What the tests register is gone afterwards."""
    before = [(kind, dict(kind._parts)) for kind in registry.ALL]
    folder = tmp_path_factory.mktemp("own")
    for name, text in BLOCKS.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    rest = _REST.format(records=write_records(folder, images=4))
    base = configs.from_text(_SSD + rest)
    base.MergeFrom(configs.from_text(BLOCKS["ssd.config"]))
    configs.save(base, folder / "ssd.config")
    (folder / "cells.config").write_text(BLOCKS["cells.config"] + rest, encoding="utf-8")
    faster = _FASTER.replace("faster_rcnn_mobilenet_v1", "faster_rcnn_four_layers").replace(
        "override_base_feature_extractor_hyperparams: false", "override_base_feature_extractor_hyperparams: true"
    )
    (folder / "faster.config").write_text('plugins: "my_parts"\n' + faster + rest, encoding="utf-8")
    yield folder
    for kind, parts in before:
        kind._parts = parts
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_parts"]:
        del sys.modules[name]


@pytest.fixture
def importable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(folder))


def test_the_page_has_all_of_it():
    assert {"my_parts/__init__.py", "ssd.config", "cells.config", "train.py"} <= BLOCKS.keys()
    kinds = {name for name, value in vars(registry).items() if isinstance(value, registry.Registry)}
    assert len(kinds) == len(registry.ALL)
    assert all(f"@registry.{name}(" in PAGE for name in kinds)


@pytest.mark.usefixtures("importable")
def test_check_knows_them_and_says_what_is_wrong(folder, capsys):
    assert call("check", str(folder / "ssd.config"), str(folder / "cells.config"), str(folder / "faster.config")) == 0
    shown = capsys.readouterr().out
    assert "ssd_four_layers" in shown and "cells depth=8, 2 classes" in shown
    text = (folder / "ssd.config").read_text()
    wrong = {
        "ssd_four_layers": ("ssd_for_layers", "did you mean 'ssd_four_layers'"),
        "smoothed_sigmoid": ("smooth_sigmoid", "no registered classification loss; did you mean 'smoothed_sigmoid'"),
        "probability=0.3": ("0.3", "'0.3' is not of the form name=value"),
        "counting_error": ("counting_errors", "did you mean 'counting_error'"),
    }
    for old, (new, _) in wrong.items():
        text = text.replace(old, new)
    (folder / "wrong.config").write_text(text)
    assert call("check", str(folder / "wrong.config")) == 2
    shown = capsys.readouterr().out
    for new, said in wrong.values():
        assert said in shown and new in shown, shown


@pytest.mark.usefixtures("importable")
@pytest.mark.parametrize("name", ["ssd", "cells", "faster"])
def test_every_part_is_built(folder, name):
    pipeline = pipelines.load(folder / f"{name}.config")
    detector = pipeline.detector()
    assert isinstance(detector, detection.Detector)
    if name == "ssd":
        terms = detector.loss_terms
        assert type(terms.classification).__name__ == "SmoothedSigmoid" and terms.classification.smoothing == 0.05
        assert type(terms.localization).__name__ == "LogCosh"
        assert pipeline.augmentations[-1].__qualname__ == "shuffle_channels.<locals>.augment"
        assert "FeatureExtractor/FourLayers/conv1/weights" in {variable.path for variable in detector.variables}


def test_the_program_trains_and_exports_and_a_process_finds_the_parts_by_the_saved_config(server, folder):
    config = (folder / "ssd.config").read_text().replace('plugins: "my_parts"\n', "")
    (folder / "plain.config").write_text(config)
    train = ("-m", "detection", "train", f"--pipeline_config_path={folder / 'plain.config'}")
    code, _, err = server.run((*train, f"--model_dir={folder / 'run'}", "--plugin=my_parts"), folder)
    assert code == 0, err[-3000:]
    assert "Counting/mean_error" in (folder / "run" / "eval" / "metrics.json").read_text()
    assert 'plugins: "my_parts"' in (folder / "run" / "pipeline.config").read_text()
    export = ("-m", "detection", "export", f"--pipeline_config_path={folder / 'run' / 'pipeline.config'}")
    code, _, err = server.run(
        (*export, f"--trained_checkpoint_dir={folder / 'run'}", f"--output_directory={folder / 'no'}")
    )
    assert code == 2 and "plugins: 'my_parts' cannot be imported" in err, err
    metrics = 'eval_config { metrics_set: "counting_error" }'
    (folder / "counted.config").write_text(f"{(folder / 'cells.config').read_text()}\n{metrics}\n")
    places = (str(folder / name) for name in ("counted.config", "counted", "exported"))
    code, out, err = server.run((str(folder / "train.py"), *places), folder)
    assert code == 0 and "mean counting error" in out, err[-3000:]
    (result,) = detection.load_model(folder / "exported").detect([np.zeros((64, 64, 3), np.uint8)])
    assert len(result.boxes) == len(result.scores)


@pytest.mark.usefixtures("importable")
def test_an_entry_point_is_found_without_being_named_and_written_down(folder, monkeypatch, tmp_path):
    import my_parts  # noqa: F401 - registered by hand: what remains of an entry point that was imported

    installed = tmp_path / "my_parts-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Name: my_parts\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text(f"[{registry.ENTRY_POINTS}]\nmy_parts = my_parts\n")
    monkeypatch.syspath_prepend(tmp_path)
    message = configs.from_text((folder / "ssd.config").read_text())
    message.ClearField("plugins")
    pipeline = pipelines.build(message)
    saved = configs.from_text(pipeline.text)
    assert saved.plugins and all(name.startswith("my_parts") for name in saved.plugins)


def test_a_module_that_is_not_there():
    message = configs.from_text(_SSD)
    message.plugins.append("no_such_package")
    with pytest.raises(ConfigError, match="plugins: 'no_such_package' cannot be imported .*PYTHONPATH"):
        configs.check(message, check_paths=False, training=False)


def test_names_are_registered_once():
    fresh = registry.Registry("thing")
    fresh("a")(dict)
    fresh("a")(dict)
    with pytest.raises(ConfigError, match="thing 'a' is registered twice, by builtins.dict and builtins.list"):
        fresh("a")(list)


def test_a_part_of_the_wrong_kind_is_named():
    fresh = registry.Registry("loss", members=("__call__", "needs_boxes"))
    fresh("a")(dict)
    with pytest.raises(ConfigError, match=r"field \(a\): what builtins\.dict makes is no loss: it has no __call__"):
        fresh.make("a", field="field")


def test_a_parameter_that_a_part_does_not_take():
    fresh = registry.Registry("loss", "options")
    fresh("a")(lambda options, gamma=1.0: gamma)
    assert fresh.fault("a", ["gamma=3"]) == ""
    said = ".parameters: 'a' got an unexpected keyword argument 'gama'; it takes gamma"
    assert fresh.fault("a", ["gama=3"]) == said


def test_a_meta_architecture_must_have_all_that_detectors_have():
    members = {name for name in (*vars(detection.Detector), *detection.Detector.__annotations__) if name[0] != "_"}
    assert set(registry.meta_architecture.members) == members


def test_parameters():
    assert registry.keywords(["a=1.5", "b = hard", 'c=[1, "x"]', "d=true"]) == {
        "a": 1.5,
        "b": "hard",
        "c": [1, "x"],
        "d": True,
    }
    for wrong in (["a"], ["1=2"], ["a=1", "a=2"]):
        with pytest.raises(ValueError, match=r"name=value|given twice"):
            registry.keywords(wrong)


@pytest.mark.parametrize("name", ["", ".", "..up", "a.", "no way", "a-b", "1a"])
def test_plugins_have_names_of_modules(name):
    with pytest.raises(ConfigError, match="plugins: .* is no name of a module; write one as in my_package.my_module"):
        registry.import_plugins([name])


def test_a_plugin_that_fails_is_named(tmp_path, monkeypatch):
    (tmp_path / "broken_parts.py").write_text("1 / 0\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match="plugins: 'broken_parts' fails while it is imported .ZeroDivisionError: div"):
        registry.import_plugins(["broken_parts"])
