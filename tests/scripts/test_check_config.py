"""check_config.py: what a config means or what is wrong with it; exit 0 or 2."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from detection.benchmark import config_report
from detection.checkpoints import checkpoint_files
from detection.config import label_map
from tests.helpers.commands import run

ROOT = Path(__file__).resolve().parents[2]
CONFIG = str(ROOT / "configs" / "ssd_mobilenet_v1_050_synthetic.config")


def report(*paths: object, settings=(), check_paths: bool = False, quiet: bool = True) -> tuple[int, list[str]]:
    lines: list[str] = []
    code = config_report.report([str(path) for path in paths], settings, check_paths, quiet, lines.append)
    assert not any("\n" in line for line in lines)
    return code, lines


def test_script(tmp_path):
    """The flags arrive, and the exit code is 2 as soon as one config is at fault."""
    bad = tmp_path / "bad.config"
    bad.write_text("model {\n  ssd {\n    num_clases: 3\n  }\n}\n")
    done = run("check_config.py", "--no_paths", "--quiet", "--set", "model.ssd.num_classes=2", CONFIG, bad)
    good, fault = done.out.splitlines()
    assert done.code == 2
    assert good == f"ok: {CONFIG}: 192 x 256, 1008 anchors, 0.344 GFLOPs"
    assert fault == f"error: {bad}:3:5: unknown field 'num_clases' in Ssd; did you mean 'num_classes'?"


def test_script_without_a_config():
    done = run("check_config.py")
    assert done.code == 2 and done.error.startswith("no config is named; usage: check_config.py ")


def test_every_config_of_the_project_in_full():
    paths = sorted((ROOT / "configs").glob("*.config"))
    code, lines = report(*paths, quiet=False)
    assert code == 0, lines
    assert [line for line in lines if line.endswith(".config")] == [str(path) for path in paths]
    begin = lines.index(str(CONFIG)) + 1
    subjects = [line.split("  ")[1] for line in lines[begin : lines.index("", begin)]]
    assert subjects == [
        *("model", "resizer", "loss", "detections", "input", "anchors", "parameters", "forward pass"),
        *(
            "training",
            "starts from",
            "augmentation",
            "optimizer",
            "schedule",
            "learning rate",
            "train data",
            "eval data",
            "metrics",
        ),
    ]


def test_data_is_looked_for_unless_told_otherwise(tmp_path):
    (tmp_path / "a.record").write_bytes(b"")
    label_map.save(tmp_path / "map.pbtxt", ["a", "b"])
    settings = [
        f"train_input_path={tmp_path}/a.record",
        f"eval_input_path={tmp_path}/a.record",
        f"label_map_path={tmp_path}/map.pbtxt",
    ]
    code, lines = report(CONFIG, settings=settings, check_paths=True)
    assert code == 0 and lines[0].endswith(", 2 warnings")  # 4 classes, a label map of 2, in training and in evaluation
    code, lines = report(CONFIG, settings=["train_input_path=none.record"], check_paths=True)
    assert (
        code == 2 and "train_input_reader.tf_record_input_reader.input_path ('none.record') matches no file" in lines[0]
    )


@pytest.mark.parametrize(
    "setting",
    [
        "model.ssd.num_classes=0",
        "model.ssd.feature_extractor.type=ssd_vgg19",
        "model={faster_rcnn {}}",
        "learning_rate=nan",
        "model.ssd.feature_extractor.num_layers=7",
        "model.ssd.feature_extractor.conv_hyperparams.initializer={keras_initializer_by_name: 'nonsense'}",
        "model.ssd.feature_extractor.depth_multiplier=1e9",
    ],
)
def test_what_cannot_be_built_is_said_on_lines(setting):
    code, lines = report(CONFIG, settings=[setting])
    assert code == 2 and lines and all(line.startswith(f"error: {CONFIG}") for line in lines), lines


def test_one_fault_does_not_hide_the_others(tmp_path):
    code, lines = report(tmp_path / "none.config", ROOT / "README.md", CONFIG, settings=["num_classes=0"])
    assert code == 2 and len(lines) == 3 and lines[2].endswith("model.ssd.num_classes (0) must be at least 1")


def test_every_file_and_every_problem_is_told(tmp_path):
    """A good one, one that does not parse, one with several faults of values, one that is no file, a good one again."""
    text, values = tmp_path / "text.config", tmp_path / "values.config"
    text.write_text("model {\n  ssd {\n    num_clases: 3\n    num_classes: x\n  }\n}\neval_config { metrics: 'a' }\n")
    values.write_text(
        Path(CONFIG)
        .read_text()
        .replace("num_classes: 4", "num_classes: 0")
        .replace("num_steps:", "bias_grad_multiplier: -1 num_steps:")
    )
    written = values.read_text().splitlines()
    lines_of = [
        next(number for number, line in enumerate(written, start=1) if word in line)
        for word in ("num_classes: 0", "bias_grad_multiplier: -1")
    ]
    code, lines = report(CONFIG, text, values, tmp_path, CONFIG)
    assert code == 2
    assert lines[0] == lines[-1] and lines[0].startswith(f"ok: {CONFIG}")
    assert lines[1:-1] == [
        f"error: {text}:3:5: unknown field 'num_clases' in Ssd; did you mean 'num_classes'?",
        f"error: {text}:4:18: num_classes in Ssd takes a whole number, not x",
        f"error: {text}:7:15: unknown field 'metrics' in EvalConfig; did you mean 'metrics_set'?",
        f"error: {values}:{lines_of[0]}: model.ssd.num_classes (0) must be at least 1",
        f"error: {values}:{lines_of[1]}: train_config.bias_grad_multiplier (-1) must be at least 0",
        f"error: {tmp_path}: cannot read the config: Is a directory; did you mean one of {text}, {values}?",
    ]


def test_a_label_map_alone_at_fault_is_bad_data(tmp_path):
    (tmp_path / "a.record").write_bytes(b"")
    (tmp_path / "map.pbtxt").write_text("item { id: 1 name: 'a' }\nitem { id: 2 name: 'a' }\n")
    settings = [
        f"train_input_path={tmp_path}/a.record",
        f"eval_input_path={tmp_path}/a.record",
        f"label_map_path={tmp_path}/map.pbtxt",
    ]
    code, lines = report(CONFIG, settings=settings, check_paths=True)
    assert code == 3 and len(lines) == 1 and "map.pbtxt" in lines[0], lines
    code, lines = report(CONFIG, settings=[*settings, "num_classes=0"], check_paths=True)
    assert code == 2 and len(lines) == 2, lines


def test_a_checkpoint_that_cannot_be_started_from_is_a_fault(tmp_path):
    """Its kind is the usual mistake: configs of the zoo say 'classification', and its checkpoints are of detectors."""
    (tmp_path / "a.record").write_bytes(b"")
    label_map.save(tmp_path / "map.pbtxt", ["a", "b", "c", "d"])
    kernel = "MobilenetV1/Conv2d_0/weights"
    checkpoint_files.write(tmp_path / "model.ckpt", {f"FeatureExtractor/{kernel}": np.zeros([3, 3, 3, 16], "f4")})
    settings = [
        *(f"{reader}_input_path={tmp_path}/a.record" for reader in ("train", "eval")),
        f"label_map_path={tmp_path}/map.pbtxt",
        f"train_config.fine_tune_checkpoint={tmp_path}/model.ckpt",
    ]
    kind = "train_config.fine_tune_checkpoint_type="
    code, lines = report(CONFIG, settings=[*settings, f"{kind}classification"], check_paths=True)
    assert code == 2 and len(lines) == 1 and lines[0].startswith(f"error: {CONFIG}, --set "), lines
    assert (
        "train_config.fine_tune_checkpoint: " in lines[0] and "set train_config.fine_tune_checkpoint_type" in lines[0]
    )
    code, lines = report(CONFIG, settings=[*settings, f"{kind}classification"], check_paths=False)
    assert code == 0, lines
    code, lines = report(CONFIG, settings=[*settings, f"{kind}detection"], check_paths=True)
    assert code == 0, lines


def test_patterns_of_frozen_variables_are_checked():
    code, lines = report(CONFIG, settings=["train_config.freeze_variables=[FeatureExtracter/, BoxPredictr_0, biases]"])
    assert code == 2 and len(lines) == 2, lines
    assert all(
        ": train_config.freeze_variables (" in line and line.startswith(f"error: {CONFIG}, --set ") for line in lines
    )
    assert lines[0].endswith("did you mean FeatureExtractor?") or "did you mean FeatureExtractor" in lines[0]


def test_what_only_the_built_detector_shows_is_reported_with_the_rest(tmp_path):
    """Patterns and the checkpoint, beside faults of the config that are outside the model."""
    kernel = "FeatureExtractor/MobilenetV1/Conv2d_0/weights"
    checkpoint_files.write(tmp_path / "model.ckpt", {kernel: np.zeros([3, 3, 3, 16], "f4")})
    settings = [
        "train_config.freeze_variables=FeatureExtracter/",
        f"train_config.fine_tune_checkpoint={tmp_path}/model.ckpt",
        "train_config.fine_tune_checkpoint_type=classification",
        "train_config.batch_size=0",
        "train_input_path=none.record",
    ]
    code, lines = report(CONFIG, settings=settings, check_paths=True)
    fields = [line.partition(": ")[2].partition(": ")[2].split(" ")[0].rstrip(":") for line in lines]
    assert code == 2 and fields[0] == "train_config.batch_size", lines
    assert "train_input_reader.tf_record_input_reader.input_path" in fields
    assert fields[-2:] == ["train_config.freeze_variables", "train_config.fine_tune_checkpoint"], lines
    code, lines = report(CONFIG, settings=[settings[0], "num_classes=0"])  # Of what cannot be built nothing is known.
    assert len(lines) == 1 and "num_classes" in lines[0]


def test_a_size_of_a_million_takes_no_memory(tmp_path):
    """In a process that may not have the memory: the image alone would take twelve terabytes."""
    size = "model.ssd.image_resizer.fixed_shape_resizer"
    script = str(ROOT / "scripts" / "check_config.py")
    command = (
        f"ulimit -v 6000000; exec {sys.executable} {script} --no_paths --quiet --set {size}.height=1000000 --set"
        f" {size}.width=1000000 {CONFIG}"
    )
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    found = f"{size} (height 1000000, width 1000000) makes images of 1,000,000,000,000 pixels"
    assert done.stdout.startswith(f"error: {CONFIG}") and found in done.stdout


def test_a_fault_of_the_program_does_not_stop_it(monkeypatch):
    """One config meets an error that nobody foresaw; the next is still explained."""
    explain, seen = config_report.explain, []

    def failing(path: str, *rest: object) -> list[str]:
        seen.append(path)
        if len(seen) == 1:
            raise KeyError("unforeseen")
        return explain(path, *rest)

    monkeypatch.setattr(config_report, "explain", failing)
    code, lines = report(CONFIG, CONFIG)
    assert code == 1 and lines[0] == f"internal error: {CONFIG}: KeyError: 'unforeseen'"
    assert lines[1].startswith(f"ok: {CONFIG}")
