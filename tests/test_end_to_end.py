"""The commands one after the other, as the README has them: annotated images in, a served detector out. Small, but
nothing is left out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.helpers.commands import command

__all__ = ["command"]
ROOT = Path(__file__).resolve().parents[1]
DATA = """
train_config {{
  batch_size: 8
  num_steps: 60
  optimizer {{ adam_optimizer {{ learning_rate {{ constant_learning_rate {{ learning_rate: 0.003 }} }} }}
    use_moving_average: false }}
  data_augmentation_options {{ random_horizontal_flip {{}} }}
}}
train_input_reader {{ tf_record_input_reader {{ input_path: "{data}/train.record-*" }} label_map_path:
  "{data}/label_map.pbtxt" }}
eval_config {{ metrics_set: "coco_detection_metrics" metrics_set: "pascal_voc_detection_metrics" batch_size: 4 }}
eval_input_reader {{ tf_record_input_reader {{ input_path: "{data}/val.record-*" }} label_map_path:
  "{data}/label_map.pbtxt" }}
"""


def _in_its_own_process(script: str, *arguments: object) -> str:
    words = [sys.executable, str(ROOT / "scripts" / script), *map(str, arguments)]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1"}
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, f"{script}: exit {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout + done.stderr


@pytest.fixture
def run_script(command) -> Callable[..., str]:
    """run_script("detect.py", "--flag=...", ...) -> all that it says; in this process."""

    def run(script: str, *arguments: object) -> str:
        done = command(script, *arguments)
        assert done.code == 0, f"{script}: exit {done.code}\n{done.out[-2000:]}\n{done.err[-4000:]}"
        return done.out + done.err

    return run


def _voc_again(run_script: Callable[..., str], data: Path, output: Path) -> None:
    """The drawn VOC folder through the converter, as a user's own would go."""
    run_script(
        "create_tf_record.py",
        f"--voc_dir={data / 'voc'}",
        "--set=train",
        f"--output={output / 'train.record'}",
        "--num_shards=2",
    )
    run_script("create_tf_record.py", f"--voc_dir={data / 'voc'}", "--set=val", f"--output={output / 'val.record'}")


@pytest.mark.slow
def test_from_annotated_images_to_detections(run_script: Callable[..., str], tmp_path: Path) -> None:
    drawn, data, run, exported, found = (tmp_path / name for name in ("drawn", "data", "run", "exported", "found"))
    run_script(
        "make_synthetic_dataset.py",
        f"--output_dir={drawn}",
        "--num_images=48",
        "--num_val_images=8",
        "--num_test_images=3",
        "--records=false",
    )
    _voc_again(run_script, drawn, data)
    config = tmp_path / "my.config"
    model = (ROOT / "tests/goldens/ssd_tiny.config").read_text()
    # Moving averages that follow within the few steps there are.
    model = model.replace("decay: 0.99 ", "decay: 0.8 ").replace(
        "num_layers: 4\n", "num_layers: 4\n override_base_feature_extractor_hyperparams: true\n", 1
    )
    config.write_text(model + DATA.format(data=data))

    assert run_script("check_config.py", "--quiet", config).startswith("ok")
    _in_its_own_process(
        "model_main.py",
        f"--pipeline_config_path={config}",
        f"--model_dir={run}",
        "--num_train_steps=20",
        "--log_every_n=10",
        "--seed=1",
        "--allow_config_change",
    )
    first = json.loads((run / "eval/metrics.json").read_text())
    resumed = run_script(
        "model_main.py", f"--pipeline_config_path={config}", f"--model_dir={run}", "--seed=1", "--allow_config_change"
    )
    assert "resuming from" in resumed and "model.ckpt-20" in resumed
    last = json.loads((run / "eval/metrics.json").read_text())
    assert (first["step"], last["step"]) == (20, 60)
    # How well it can learn is the quickstart's matter; 40 more steps must show in what was not trained on, a little.
    assert last["metrics"]["Loss/total_loss"] < first["metrics"]["Loss/total_loss"]
    assert last["metrics"]["DetectionBoxes_Precision/mAP"] > first["metrics"]["DetectionBoxes_Precision/mAP"]
    assert {
        "DetectionBoxes_Precision/mAP",
        "PascalBoxes_Precision/mAP@0.5IOU",
        "DetectionBoxes_Recall/AR@100 (small)",
    } <= set(last["metrics"])
    assert [json.loads(line)["step"] for line in (run / "eval/metrics.jsonl").read_text().splitlines()] == [20, 60]

    again = tmp_path / "again"
    where = (f"--pipeline_config_path={run / 'pipeline.config'}", f"--checkpoint_dir={run}", f"--model_dir={again}")
    run_script("evaluate", *where)
    repeated = json.loads((again / "eval/metrics.json").read_text())
    assert repeated["step"] == 60
    assert repeated["metrics"] == pytest.approx(last["metrics"], abs=1e-6, nan_ok=True)

    run_script(
        "export_saved_model.py",
        f"--pipeline_config_path={run / 'pipeline.config'}",
        f"--trained_checkpoint_dir={run}",
        f"--output_directory={exported}",
    )
    assert sorted(path.name for path in exported.iterdir()) == [
        "checkpoint",
        "label_map.pbtxt",
        "pipeline.config",
        "saved_model",
    ]
    run_script(
        "detect.py", f"--saved_model={exported}", f"--output_dir={found}", "--min_score=0.02", drawn / "test_images"
    )
    rows = json.loads((found / "detections.json").read_text())
    assert {row["category_name"] for row in rows} <= {"circle", "square", "star", "triangle"} and rows
    pictures = sorted(found.glob("*.jpg"))
    assert len(pictures) >= 3
    for picture, original in zip(pictures, sorted((drawn / "test_images").iterdir()), strict=False):
        assert Image.open(picture).size == Image.open(original).size
