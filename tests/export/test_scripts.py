"""Export, detection and benchmark as people run them: exit codes, one line an error, files where they were asked
for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers.commands import run

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_export_then_detect_with_a_bad_image_among_good_ones(trained, tmp_path):
    checkpoint = f"--trained_checkpoint_prefix={trained.checkpoint}"
    fields = "--set=model.ssd.post_processing.batch_non_max_suppression.max_total_detections=20"
    done = run(
        "export_saved_model.py",
        f"--pipeline_config_path={trained.config}",
        checkpoint,
        f"--output_directory={tmp_path / 'out'}",
        fields,
    )
    assert done.code == 0, done.err
    assert "step 7" in done.out and (tmp_path / "out" / "saved_model" / "saved_model.pb").exists()

    images = tmp_path / "images"
    images.mkdir()
    for name in ("a b.jpg", "größe.png"):
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)).save(images / name)
    (images / "bad.jpg").write_bytes(b"garbage")
    done = run(
        "detect.py",
        str(images),
        f"--saved_model={tmp_path / 'out'}",
        f"--output_dir={tmp_path / 'found'}",
        "--min_score=0",
        "--max_boxes=3",
    )
    assert done.code == 3
    assert [line for line in done.err.splitlines() if "error" in line] == [
        f"error: {images / 'bad.jpg'}: is not an image; use JPEG, PNG, GIF, BMP or WebP"
    ]
    assert sorted(path.name for path in (tmp_path / "found").iterdir()) == ["a b.jpg", "detections.json", "größe.png"]
    assert len(json.loads((tmp_path / "found" / "detections.json").read_text(encoding="utf-8"))) == 6


@pytest.mark.slow
def test_detect_makes_the_proposals_of_a_fast_rcnn(exported_fast_rcnn, tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)).save(path)
    common = (
        f"--saved_model={exported_fast_rcnn}",
        f"--output_dir={tmp_path / 'found'}",
        "--min_score=0",
        "--max_boxes=3",
        str(path),
    )
    done = run("detect.py", *common, "--proposal_method=grid", "--max_proposals=25")
    assert done.code == 0, done.err
    assert sorted(path.name for path in (tmp_path / "found").iterdir()) == ["a.png", "detections.json"]
    assert len(json.loads((tmp_path / "found" / "detections.json").read_text(encoding="utf-8"))) == 3
    done = run("detect.py", *common)
    assert done.code == 2
    assert done.err.splitlines()[-1].startswith(
        "error: this detector classifies given regions; set --proposals_path=FILE, or --proposal"
    )


@pytest.mark.slow
def test_benchmark_prints_a_table_and_writes_json(exported, tmp_path):
    done = run(
        "benchmark.py",
        f"--saved_model={exported}",
        "--runs=3",
        "--warmup=1",
        f"--json={tmp_path / 'x.json'}",
        "--image_size=60,80",
    )
    assert done.code == 0, done.err
    assert "outside network" in done.out
    assert json.loads((tmp_path / "x.json").read_text())["images"] == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("benchmark.py",), "give --saved_model=FOLDER or --pipeline_config_path=FILE"),
        (
            ("detect.py", "--saved_model=absent", str(ROOT / "tests" / "conftest.py")),
            "--saved_model=absent: no such folder",
        ),
    ],
)
def test_mistakes_are_one_line(arguments, message):
    done = run(*arguments)
    assert done.code in (2, 3)
    assert message in done.error and done.err.count("\n") == 1
