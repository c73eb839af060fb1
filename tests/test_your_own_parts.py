"""The example of docs/your_own_parts.md in a temporary package: checked, trained, evaluated and exported.

A second process that knows only the saved config can use it as well.
"""

from __future__ import annotations

import os
import re
import subprocess
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

_CENTERS = detector_configs.center_net(
    detector_configs.Settings("hourglass_10", 64, 64, num_classes=2, depth_multiplier=0.25)
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The page's files, records, and a config of each kind. Registrations of a test are removed after it."""
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
    centers = _CENTERS.replace('"hourglass_10"', '"four_layers"')
    (folder / "centers.config").write_text('plugins: "my_parts"\n' + centers + rest, encoding="utf-8")
    yield folder
    for kind, parts in before:
        kind._parts = parts
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_parts"]:
        del sys.modules[name]


@pytest.fixture
def importable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(folder))


def test_the_page_covers_every_registry():
    assert {"my_parts/__init__.py", "ssd.config", "cells.config", "train.py"} <= BLOCKS.keys()
    kinds = {name for name, value in vars(registry).items() if isinstance(value, registry.Registry)}
    assert len(kinds) == len(registry.ALL)
    assert all(f"@registry.{name}(" in PAGE for name in kinds)


@pytest.mark.usefixtures("importable")
def test_check_accepts_custom_parts_and_reports_faults(folder, capsys):
    names = ("ssd", "cells", "faster", "centers")
    assert call("check", *(str(folder / f"{name}.config") for name in names)) == 0
    shown = capsys.readouterr().out
    assert "ssd_four_layers" in shown and "cells depth=8, 2 classes" in shown and "center_net of four_layers" in shown
    text = (folder / "ssd.config").read_text()
    wrong = {
        "ssd_four_layers": ("ssd_for_layers", "the nearest is ssd_four_layers"),
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
@pytest.mark.parametrize("name", ["ssd", "cells", "faster", "centers"])
def test_every_part_is_built(folder, name):
    pipeline = pipelines.load(folder / f"{name}.config")
    detector = pipeline.detector()
    assert isinstance(detector, detection.Detector)
    if name == "ssd":
        terms = detector.loss_terms
        assert type(terms.classification).__name__ == "SmoothedSigmoid" and terms.classification.smoothing == 0.05
        assert type(terms.localization).__name__ == "LogCosh"
        assert pipeline.augmentations[-1].__qualname__ == "shuffle_channels.<locals>.augment"
    if name != "cells":
        assert any("FourLayers/conv1/weights" in variable.path for variable in detector.variables)
    if name == "centers":
        keys = detector.object_keys()
        assert "model/_feature_extractor/_base_model/layer_with_weights-0/kernel" in keys
        assert len(keys) == len(detector.variables)


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


def test_center_net_refuses_maps_of_another_stride(folder, importable):
    from my_parts import extractors

    @registry.center_net_extractor("without_last")
    def _(options):
        made = extractors.center_net(options)
        made.network, made.sources = type(made.network)("FourLayers", made.network.blocks[:-1]), ("conv4",)
        return made

    text = (folder / "centers.config").read_text().replace('"four_layers"', '"without_last"')
    with pytest.raises(ConfigError, match=r"makes 64 x 64 cells of 128 x 128 pixels; CenterNet takes maps of stride 4"):
        pipelines.build(configs.from_text(text)).detector()


_PACKAGE = {
    "pyproject.toml": """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "halved-parts"
version = "1.0"
[project.entry-points."detection.plugins"]
halved = "halved_parts"
[tool.setuptools]
packages = ["halved_parts"]
""",
    "halved_parts/__init__.py": """
import tensorflow as tf
from detection import registry

@registry.classification_loss("halved_sigmoid")
class HalvedSigmoid:
    def __call__(self, logits, classes, weights):
        entropy = tf.nn.sigmoid_cross_entropy_with_logits(labels=classes, logits=logits)
        return weights[..., tf.newaxis] * entropy / 2
""",
}
_USE = """
import sys
from detection.builders import pipeline
built = pipeline.load(sys.argv[1], check_paths=False)
print(type(built.detector().loss_terms.classification).__module__, "plugins" in built.text)
"""


@pytest.mark.slow  # pip builds and installs a package
def test_a_package_that_pip_installed_is_found_by_its_entry_point(tmp_path):
    """It is not found if it is not installed."""
    for name, text in _PACKAGE.items():
        (tmp_path / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "source" / name).write_text(text, encoding="utf-8")
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install")
    flags = ("--no-deps", "--no-index", "--no-build-isolation", "--target", str(tmp_path / "site"))
    subprocess.run([*pip, *flags, str(tmp_path / "source")], cwd=tmp_path, check=True)
    assert list((tmp_path / "site").glob("halved_parts-1.0.dist-info/entry_points.txt"))
    loss = _SSD.replace("weighted_sigmoid_focal { gamma: 2.0 alpha: 0.75 }", 'custom { name: "halved_sigmoid" }')
    assert loss != _SSD
    (tmp_path / "my.config").write_text(loss, encoding="utf-8")

    def use(*folders: Path | str) -> subprocess.CompletedProcess:
        path = os.pathsep.join(map(str, (ROOT, *folders)))
        settings = {**os.environ, "PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3"}
        command = [sys.executable, "-c", _USE, str(tmp_path / "my.config")]
        return subprocess.run(command, cwd=tmp_path, env=settings, capture_output=True, text=True)

    done = use(tmp_path / "site")
    assert done.returncode == 0 and done.stdout.split() == ["halved_parts", "True"], done.stderr[-3000:]
    done = use()
    assert done.returncode != 0 and "'halved_sigmoid') is no registered classification loss" in done.stderr


def test_an_entry_point_that_fails_is_named_each_time(tmp_path, monkeypatch):
    (tmp_path / "failing_parts.py").write_text("1 / 0\n", encoding="utf-8")
    installed = tmp_path / "failing_parts-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Name: failing_parts\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text(f"[{registry.ENTRY_POINTS}]\nfails = failing_parts\n")
    monkeypatch.syspath_prepend(tmp_path)
    said = r"the entry point fails = failing_parts of .* cannot be imported .ZeroDivisionError: .*uninstall its package"
    for _ in range(2):
        with pytest.raises(ConfigError, match=said):
            registry.import_entry_points()


def test_a_missing_module():
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
    with pytest.raises(ConfigError, match=r"field \(a\): the result of builtins\.dict is no loss: it has no __call__"):
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
    with pytest.raises(ConfigError, match="plugins: .* is not a module name; write one like my_package.my_module"):
        registry.import_plugins([name])


def test_a_plugin_that_fails_is_named(tmp_path, monkeypatch):
    (tmp_path / "broken_parts.py").write_text("1 / 0\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match="plugins: importing 'broken_parts' fails .ZeroDivisionError: div"):
        registry.import_plugins(["broken_parts"])
