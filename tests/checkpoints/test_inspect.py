"""What a checkpoint holds and what a config would take from it, in 100 columns; every fault by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from detection.builders.pipeline import for_inspection
from detection.checkpoints import checkpoint_files, recognise
from detection.checkpoints.inspect import Request, inspect
from detection.errors import ConfigError

CONFIG = str(Path(__file__).resolve().parents[2] / "configs" / "ssd_mobilenet_v1_050_synthetic.config")
_STEM = "MobilenetV1/Conv2d_0/weights"


def _arrays(multiplier: float = 0.5, scope: str = "") -> dict[str, np.ndarray]:
    """Of a MobileNet classifier with 11 logits."""
    return {
        f"{scope}{name}": np.zeros(shape, np.float32)
        for name, shape in recognise.classifier_shapes("mobilenet_v1", 11, multiplier).items()
    }


@pytest.fixture(scope="module")
def classifier(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("slim") / "mobilenet.ckpt"
    checkpoint_files.write(path, _arrays())
    return str(path)


@pytest.fixture(scope="module")
def detector(tmp_path_factory) -> str:
    """As a training run of an SSD leaves it."""
    arrays = {name: value for name, value in _arrays(scope="FeatureExtractor/").items() if "/Logits/" not in name}
    head = {
        "BoxPredictor_0/BoxEncodingPredictor/biases": np.zeros(12, np.float32),
        "BoxPredictor_0/ClassPredictor/biases": np.zeros(63, np.float32),
    }
    beside = {
        f"FeatureExtractor/{_STEM}/{name}": np.zeros((3, 3, 3, 16), np.float32)
        for name in ("ExponentialMovingAverage", "Momentum")
    }
    path = tmp_path_factory.mktemp("run") / "model.ckpt-2000"
    checkpoint_files.write(path, arrays | head | beside | {"global_step": np.int64(2000)})
    return str(path)


def test_a_classifier(classifier):
    lines, fault = inspect(Request(classifier))
    sizes = {name: value.size for name, value in _arrays().items()}
    total, depthwise, pointwise = (
        sum(size for name, size in sizes.items() if part in name) for part in ("", "depthwise/", "pointwise/")
    )
    assert fault == "" and lines == [
        classifier,
        "  looks like  classifier mobilenet_v1, depth multiplier 0.5, 11 logits",
        f"  weights     137 arrays, {total:,} numbers, float32",
        "  file        3.3 MB; every array can be read, every value is finite",
        "  step        not stored",
        "",
        "  arrays     numbers  scope",
        f"    137     {total:,}  MobilenetV1",
        "      5         496    Conv2d_0                 [3, 3, 3, 16], BatchNorm",
        f"     65      {depthwise:,}    Conv2d_{{1-13}}_depthwise  depthwise [3, 3, 16-512, 1], BatchNorm",
        f"     65     {pointwise:,}    Conv2d_{{1-13}}_pointwise  [1, 1, 16-512, 32-512], BatchNorm",
        "      2       5,643    Logits/Conv2d_1c_1x1     [1, 1, 512, 11], biases",
    ]


def test_a_detector_with_what_training_left(detector):
    lines, _ = inspect(Request(detector))
    assert lines[1] == "  looks like  SSD over mobilenet_v1, depth multiplier 0.5, 20 classes, 1 map"
    assert lines[2] == "  extractor   type: 'ssd_mobilenet_v1' in a config"
    assert lines[3].startswith("  weights     137 arrays")  # neither average nor slot
    assert "  step        2,000" in lines
    assert any(line.startswith("  averages    of 1 array; not used for fine-tuning") for line in lines)
    assert f"  also        FeatureExtractor/{_STEM}/Momentum" in lines
    assert max(map(len, lines[1:])) <= 100


def test_what_a_config_takes_of_a_classifier(classifier):
    lines, fault = inspect(Request(classifier, "classification"), for_inspection(CONFIG))
    start = lines.index(f"{CONFIG}, starting from it as 'classification':")
    rows = [line for line in lines[start:] if line.endswith(":")][1:]
    assert fault == "" and rows[0] == "  135 restored:"
    assert [row.split(" ", 3)[3] for row in rows[1:]] == [
        "initial value: not in the checkpoint:",
        "initial value: outside the scopes that 'classification' restores:",
        "in the checkpoint, not used:",
    ]
    assert lines[-1] == "      2       5,643  MobilenetV1/Logits/Conv2d_1c_1x1  [1, 1, 512, 11], biases"
    assert max(len(line) for line in lines if not line.startswith(CONFIG)) <= 100


def test_shapes_that_differ_are_both_shown(detector):
    lines, fault = inspect(Request(detector, "full"), for_inspection(CONFIG))
    at = lines.index("  2 initial value: different shape in the checkpoint:")
    assert fault == "" and lines[at + 1].split() == [
        "BoxPredictor_0/BoxEncodingPredictor/biases",
        "checkpoint",
        "[12],",
        "model",
        "[16]",
    ]


def test_the_config_says_what_is_not_said(detector):
    settings = [f"train_config.fine_tune_checkpoint={detector}", "train_config.fine_tune_checkpoint_type=detection"]
    lines, fault = inspect(Request(), for_inspection(CONFIG, settings))
    assert fault == "" and f"{CONFIG}, starting from it as 'detection':" in lines and "  135 restored:" in lines


def test_nothing_taken_is_a_fault_that_names_the_other_kind(detector):
    lines, fault = inspect(Request(detector, "classification"), for_inspection(CONFIG))
    assert "  0 restored" in lines
    assert fault.startswith(f"{detector}: no variable matches as 'classification', but its names match as 'detection'")


def test_another_depth_is_said_so(tmp_path):
    checkpoint_files.write(tmp_path / "thin", _arrays(0.25))
    _, fault = inspect(Request(str(tmp_path / "thin"), "classification"), for_inspection(CONFIG))
    assert "all 135 names that match have a different shape" in fault and fault.endswith(
        "is depth_multiplier the same?"
    )


def test_every_name_on_request(classifier):
    lines, _ = inspect(Request(classifier, all_names=True))
    assert (
        len(lines) == 7 + 137
        and lines[-1] == "       1       5,632  MobilenetV1/Logits/Conv2d_1c_1x1/weights  [1, 1, 512, 11]"
    )


def test_a_stranger(tmp_path):
    checkpoint_files.write(
        tmp_path / "x", {"net/dense/kernel": np.zeros((3, 4), np.float16), "net/counts": np.zeros(2, np.int32)}
    )
    lines, _ = inspect(Request(str(tmp_path / "x")))
    assert lines[1] == "  looks like  no known model: no scope of a known network, no head of a known detector"
    assert lines[2] == "  weights     2 arrays, 14 numbers, float16, int32"


def test_values_that_are_not_finite_are_named(tmp_path):
    checkpoint_files.write(
        tmp_path / "x", {"net/a": np.array([1, np.nan], np.float32), "net/b": np.array([np.inf]), "net/c": np.zeros(1)}
    )
    lines, _ = inspect(Request(str(tmp_path / "x")))
    assert lines[3].endswith("; every array can be read") and lines[5] == "  NaN or inf  in 2 arrays, e.g. net/a"


def test_cut_damaged_and_missing_checkpoints(tmp_path, classifier):
    cut = tmp_path / "cut.ckpt"
    data = Path(f"{classifier}{checkpoint_files.DATA}").read_bytes()
    Path(f"{cut}{checkpoint_files.INDEX}").write_bytes(Path(f"{classifier}{checkpoint_files.INDEX}").read_bytes())
    for damaged in (data[:-1000], data[:1000] + bytes([data[1000] ^ 1]) + data[1001:], None):
        Path(f"{cut}{checkpoint_files.DATA}").unlink(missing_ok=True)
        if damaged is not None:
            Path(f"{cut}{checkpoint_files.DATA}").write_bytes(damaged)
        with pytest.raises(ConfigError, match=r"cut\.ckpt: cannot be read, truncated or damaged"):
            inspect(Request(str(cut)))
    with pytest.raises(ConfigError, match=r"none\.ckpt: no such checkpoint"):
        inspect(Request(str(tmp_path / "none.ckpt")))


def test_faulty_requests(classifier, tmp_path):
    with pytest.raises(ConfigError, match="nothing to inspect; give --checkpoint"):
        inspect(Request())
    with pytest.raises(ConfigError, match="nothing to inspect"):
        inspect(Request(), for_inspection(CONFIG, ["train_config.fine_tune_checkpoint="]))
    with pytest.raises(ConfigError, match="'ful' is not one of classification, detection, full"):
        inspect(Request(classifier, "ful"), for_inspection(CONFIG))
    with pytest.raises(
        ConfigError,
        match=r"synthetic\.config, --set .*: model\.ssd\.feature_extractor\.depth_multiplier \(1e\+09\) is more than 4",
    ):
        for_inspection(CONFIG, ["model.ssd.feature_extractor.depth_multiplier=1e9"])
    with pytest.raises(ConfigError, match=r"none\.config: cannot read the config"):
        for_inspection(str(tmp_path / "none.config"))


def test_the_published_mobilenet(shared):
    lines, _ = inspect(Request(str(shared / "weights/mobilenet_v1_0.75_224")))
    assert lines[1] == "  looks like  classifier mobilenet_v1, depth multiplier 0.75, 1000 logits"
