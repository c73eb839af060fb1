"""inspect_checkpoint.py and classify.py as people run them: exit code, one line an error, what they print."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from detection.checkpoints import checkpoint_files, loading
from detection.checkpoints.names import is_optional
from detection.networks import catalogue
from tests.helpers.commands import Outcome, run

ROOT = Path(__file__).resolve().parents[2]
CONFIG = str(ROOT / "configs" / "ssd_mobilenet_v1_050_synthetic.config")


def errors(done: Outcome) -> list[str]:
    return [f"error: {line}" for line in done.errors]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> str:
    """A MobileNet that finds class 3 in everything."""
    classifier = catalogue.find("mobilenet_v1").make(6, 0.5)
    classifier(tf.zeros([1, 32, 32, 3]))
    values = {name: variable.numpy() for name, variable in loading.by_name(classifier).items() if not is_optional(name)}
    values["MobilenetV1/Logits/Conv2d_1c_1x1/biases"] = np.array([0, 0, 0, 99, 50, 0], np.float32)
    path = tmp_path_factory.mktemp("weights") / "tiny.ckpt"
    checkpoint_files.write(path, values)
    return str(path)


def test_inspect_with_a_config(checkpoint):
    done = run(
        "inspect_checkpoint.py",
        f"--checkpoint={checkpoint}",
        f"--pipeline_config_path={CONFIG}",
        "--kind=classification",
        "--levels=1",
    )
    assert done.code == 0 and not errors(done), done.err
    lines = done.out.splitlines()
    assert lines[1] == "  looks like  classifier mobilenet_v1, depth multiplier 0.5, 6 logits"
    assert f"{CONFIG}, starting from it as 'classification':" in lines and "  135 restored:" in lines


def test_inspect_where_nothing_fits(checkpoint):
    done = run("inspect_checkpoint.py", f"--checkpoint={checkpoint}", f"--pipeline_config_path={CONFIG}", "--kind=full")
    assert done.code == 2 and "  0 restored" in done.out.splitlines()
    assert len(errors(done)) == 1 and "set train_config.fine_tune_checkpoint_type: 'classification'" in errors(done)[0]


def test_inspect_misused(checkpoint):
    done = run("inspect_checkpoint.py", checkpoint)
    assert done.code == 2
    assert errors(done) == [
        f"error: unexpected argument '{checkpoint}'; the checkpoint is a flag, --checkpoint={checkpoint}"
    ]


def test_a_reader_that_has_seen_enough_is_no_error(checkpoint):
    """As with `| head -1`: the other end of the pipe is closed before anything is written."""
    command = [sys.executable, str(ROOT / "scripts" / "inspect_checkpoint.py"), f"--checkpoint={checkpoint}", "--all"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    process.stdout.close()
    stderr = process.stderr.read()
    assert process.wait() == 0 and "Traceback" not in stderr, stderr


def test_classify_pictures_with_labels_truth_and_a_bad_file(checkpoint, tmp_path):
    for name in ("a b.png", "c.png"):
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)).save(tmp_path / name)
    (tmp_path / "bad.jpg").write_bytes(b"garbage")
    (tmp_path / "labels.txt").write_text("zero\none\ntwo\nthree\nfour\nfive\n", encoding="utf-8")
    (tmp_path / "truth.csv").write_text("a b.png,three\nc.png,4\n", encoding="utf-8")
    flags = (
        f"--images={tmp_path}",
        f"--labels={tmp_path / 'labels.txt'}",
        f"--truth={tmp_path / 'truth.csv'}",
        "--top=2",
        "--image_size=64",
    )
    done = run("classify.py", f"--checkpoint={checkpoint}", *flags)
    assert done.code == 3, done.err
    assert done.out.splitlines() == [
        f"mobilenet_v1, depth multiplier 0.5, 6 logits: all 137 variables from {checkpoint}",
        str(tmp_path / "a b.png"),
        "  100.0%  3 three",
        "    0.0%  4 four",
        str(tmp_path / "c.png"),
        "  100.0%  3 three",
        "    0.0%  4 four",
        "top-1 accuracy 0.5000, top-5 accuracy 1.0000 (2 images)",
    ]
    assert errors(done) == [f"error: {tmp_path / 'bad.jpg'}: is not an image; use JPEG, PNG, GIF, BMP or WebP"]


def test_classify_with_the_wrong_network(checkpoint, tmp_path):
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(tmp_path / "x.png")
    done = run("classify.py", f"--checkpoint={checkpoint}", f"--images={tmp_path / 'x.png'}", "--network=resnet_v1_50")
    assert done.code == 2
    assert errors(done) == [
        f"error: {checkpoint}: is a checkpoint of mobilenet_v1, not of resnet_v1_50; use --network=mobilenet_v1"
    ]
