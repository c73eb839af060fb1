"""Faults of configs and settings, found before anything is opened: exit code 2, one line with file, place or field,
value, and what to write."""

from __future__ import annotations

from pathlib import Path

import pytest

from detection.config import label_map

from .conftest import CONFIG


@pytest.fixture
def error(command, config):
    """error(setting, ..., text=...) -> the lines with which training refuses, one a problem; nothing was made in its
    model_dir."""

    def run(*settings: str, text: str | None = None, path: Path = config, flags: tuple[str, ...] = ()) -> list[str]:
        if text is not None:
            config.write_text(text)
        chosen = [f"--set={setting}" for setting in settings]
        done = command("model_main.py", f"--pipeline_config_path={path}", "--model_dir=run", *chosen, *flags)
        assert done.code == 2, done
        assert not Path("run").exists() and done.error
        return done.errors

    return run


def said(errors: list[str], *parts: object) -> bool:
    """Whether one of the errors says all of it."""
    return any(all(str(part) in line for part in parts) for line in errors)


LINE = CONFIG[: CONFIG.index("num_classes: 3")].count("\n") + 1


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("num_clases: 3", ("unknown field 'num_clases' in Ssd; did you mean 'num_classes'?",)),
        ("num_classes: three", ("num_classes in Ssd takes a whole number, not three",)),
        ("num_classes: 3.5", ("num_classes in Ssd takes a whole number, not 3.5",)),
        ("num_classes: 3000000000", ("a whole number from -2147483648 to 2147483647", "3000000000")),
        ("num_classes: 3 num_classes: 4", ("num_classes is given twice in Ssd; keep one of the two",)),
        (
            "num_classes: 3 } faster_rcnn {",
            ("DetectionModel holds either ssd or faster_rcnn, not both; keep one of the two",),
        ),
        ("num_classes: 3 freeze_batchnorm: maybe", ("freeze_batchnorm in Ssd takes true or false, not maybe",)),
    ],
)
def test_the_text_of_a_config(error, config, wrong, says):
    """Rows 49, 50 and 51."""
    errors = error(text=CONFIG.replace("num_classes: 3", wrong))
    assert said(errors, f"{config}:{LINE}:", *says), errors


def test_an_enum_lists_what_is_allowed(error, config):
    """Row 50."""
    errors = error(text=CONFIG.replace("score_converter: SIGMOID", "score_converter: SIGMOD"))
    assert said(
        errors,
        f"{config}:",
        "score_converter in PostProcessing has no value SIGMOD; did you mean 'SIGMOID'? (allowed: IDENTITY, SIGMOID,"
        " SOFTMAX)",
    ), errors


RATE = "train_config.optimizer.rms_prop_optimizer.learning_rate.exponential_decay_learning_rate"
ANCHORS = "model.ssd.anchor_generator.ssd_anchor_generator"


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        (f"{RATE}.initial_learning_rate=nan", f"{RATE}.initial_learning_rate (nan) must be a finite number"),
        (f"{RATE}.initial_learning_rate=-0.1", f"{RATE}.initial_learning_rate (-0.1) must be at least 0"),
        ("train_config.batch_size=0", "train_config.batch_size (0) must be at least 1"),
        ("model.ssd.num_classes=0", "model.ssd.num_classes (0) must be at least 1"),
        (f"{ANCHORS}.scales=[0.1, inf]", f"{ANCHORS}.scales"),
        (
            "model.ssd.anchor_generator={ grid_anchor_generator { scales: 1 } }",
            "grid_anchor_generator.aspect_ratios is empty, which leaves no anchors",
        ),
        ("eval_config.min_score_threshold=1.5", "eval_config.min_score_threshold (1.5) must be in [0, 1]"),
    ],
)
def test_values_without_sense(error, config, setting, says):
    """Row 52."""
    errors = error(setting)
    assert said(errors, f"{config}, --set {setting}: ", says), errors


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("model.ssd.num_clases=3", "unknown field 'num_clases' in Ssd; did you mean 'num_classes'?"),
        ("model.ssd.num_classes=three", "num_classes in Ssd takes a whole number, not three"),
        ("train_config.batch_size=-1", "batch_size in TrainConfig takes a whole number from 0 to 4294967295, not -1"),
        (
            "model.ssd.post_processing.score_converter=SIGMOD",
            "did you mean 'SIGMOID'? (allowed: IDENTITY, SIGMOID, SOFTMAX)",
        ),
        ("model.ssd.num_classes", "expected path=value, as in model.ssd.num_classes=3"),
    ],
)
def test_settings_of_the_flag(error, setting, says):
    """Row 53."""
    errors = error(setting)
    assert said(errors, f"--set {setting}: ", says), errors


INPUT = "train_input_reader.tf_record_input_reader.input_path"


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        (INPUT, "none-*", "matches no file"),
        ("eval_input_reader[0].tf_record_input_reader.input_path", "none.record", "matches no file"),
        ("train_input_reader.label_map_path", "none.pbtxt", "no such file"),
        ("train_config.fine_tune_checkpoint", "none/model.ckpt", "no folder"),
        ("train_config.fine_tune_checkpoint", "model.ckpt", "there is no model.ckpt.index"),
    ],
)
def test_paths_that_lead_nowhere(error, config, field, value, says):
    """Rows 29, 46 and 54: at the start, before any data is read."""
    errors = error(f"{field}={value}")
    assert said(errors, f"{config}, --set {field}={value}: {field} (", value, says), errors


def test_a_config_that_is_not_there(error, tmp_path):
    """Row 54."""
    (line,) = error(path=tmp_path / "none.config")
    assert str(tmp_path / "none.config") in line


def test_fewer_classes_than_the_label_map_has(error, config):
    """Row 27: both fields, both values."""
    errors = error("model.ssd.num_classes=2")
    assert said(
        errors,
        f"{config}, --set model.ssd.num_classes=2: model.ssd.num_classes (2)",
        "3 ('c')",
        "train_input_reader.label_map_path (label_map.pbtxt)",
        "set num_classes to 3",
    ), errors


@pytest.mark.parametrize(
    ("content", "line", "says"),
    [
        ('item { name: "a" id: 1 }\nitem { name: "b" id: 0 }', 2, ("'b'", "id 0 is reserved for 'background'")),
        ('item { name: "a" id: 1 }\nitem { name: "a" id: 2 }', 2, ("'a' already has id 1",)),
        ('item { name: "a" id: 1 }\n\nitem { name: "b" id: -2 }', 3, ("negative id",)),
        ("item {\n  nme: 'a'\n}", 2, ("unknown 'nme'", "did you mean 'name'")),
    ],
)
def test_label_maps_that_cannot_be_meant(command, config, holds, content, line, says):
    """Row 28: bad content is bad data, whoever finds it."""
    Path("label_map.pbtxt").write_text(content)
    for arguments in (
        ("model_main.py", f"--pipeline_config_path={config}", "--model_dir=run"),
        ("validate_records.py", "--input_path=train.record", "--label_map_path=label_map.pbtxt"),
    ):
        done = command(*arguments)
        assert done.code == 3, done
        holds(done.error, f"label_map.pbtxt:{line}:", *says)


def test_ids_with_gaps_are_no_fault(tmp_path):
    """Row 28: COCO's own label map has ten gaps; the classes between are never detected."""
    path = tmp_path / "map.pbtxt"
    path.write_text('item { name: "a" id: 1 } item { name: "z" id: 90 }')
    assert label_map.load(path).max_id == 90


@pytest.mark.parametrize("flag", ["--num_workers=2", "--use_tpu"])
def test_several_machines_are_refused(error, flag):
    """Rows 58 and 59: where there are no other workers, none can die."""
    (line,) = error(flags=(flag,))
    assert flag.split("=")[0] in line and "not supported" in line


def test_tf_config_is_refused(error, monkeypatch):
    """Rows 58 and 59: the variable by which TensorFlow tells a process that it is one of several."""
    monkeypatch.setenv("TF_CONFIG", '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0}}')
    (line,) = error()
    assert "TF_CONFIG" in line
