"""One fault has one exit code, whichever command meets it: what is missing, or cannot be written, is 2, what is there
and cannot be used is 3."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from detection.checkpoints import checkpoint_files

TINY = Path(__file__).resolve().parents[1] / "helpers" / "tiny.config"
BAD_MAP = "item { id: 1 name: 'a' } item { id: 0 name: 'b' } item { id: 3 name: 'c' }"
GOOD_MAP = "item { id: 1 name: 'a' } item { id: 2 name: 'b' } item { id: 3 name: 'c' }"


@pytest.fixture
def place(tmp_path, monkeypatch, example):
    """A folder with something of everything: config, label map, records, an image, a file that is no folder."""
    monkeypatch.chdir(tmp_path)
    Path("map.pbtxt").write_text(GOOD_MAP)
    Path("bad.pbtxt").write_text(BAD_MAP)
    Path("file").write_text("no folder")
    Path("garbage").write_bytes(b"\x00garbage" * 50)
    with tf.io.TFRecordWriter("good.record") as writer:
        writer.write(example())
    text = TINY.read_text().replace("LABEL_MAP", "map.pbtxt").replace("absent.record", "good.record")
    Path("good.config").write_text(text)
    Path("bad_map.config").write_text(text.replace("map.pbtxt", "bad.pbtxt"))
    Path("no_map.config").write_text(text.replace("map.pbtxt", "absent.pbtxt"))
    Path("no_record.config").write_text(text.replace("good.record", "absent.record"))
    Path("bad_record.config").write_text(text.replace("good.record", "garbage"))
    Path("no_tune.config").write_text(text.replace("num_steps: 1", 'num_steps: 1 fine_tune_checkpoint: "absent.ckpt"'))
    Path("bad.config").write_text("model { ssd { num_clases: 3 } }")
    checkpoint_files.write("good.ckpt", {"global_step": np.int64(1)})
    Path("images").mkdir()
    Image.new("RGB", (40, 30)).save("images/a.png")
    box = "<bndbox><xmin>2</xmin><ymin>2</ymin><xmax>20</xmax><ymax>20</ymax></bndbox>"
    Path("images/a.xml").write_text(
        f"<annotation><filename>a.png</filename><object><name>a</name>{box}</object></annotation>"
    )
    Path("results.jsonl").write_text("{]\n{}\n")
    return tmp_path


def train(config: str, *flags: str) -> list[str]:
    return ["model_main.py", f"--pipeline_config_path={config}", "--model_dir=run", *flags]


def evaluate(config: str, checkpoint: str = "garbage") -> list[str]:
    return [
        "model_main.py",
        f"--pipeline_config_path={config}",
        "--model_dir=run",
        f"--checkpoint_dir={checkpoint}",
        "--run_once",
    ]


def export(config: str, checkpoint: str = "file") -> list[str]:
    return [
        "export_saved_model.py",
        f"--pipeline_config_path={config}",
        f"--trained_checkpoint_prefix={checkpoint}",
        "--output_directory=out",
    ]


def proposals(*flags: str) -> list[str]:
    return ["make_proposals.py", "--output=p.npz", "--method=grid", *flags]


ROWS = {
    "a label map whose content is wrong": (
        3,
        "bad.pbtxt",
        [
            train("bad_map.config"),
            evaluate("bad_map.config"),
            ["check_config.py", "bad_map.config"],
            ["validate_records.py", "--input_path=good.record", "--label_map_path=bad.pbtxt"],
        ],
    ),
    "a label map that is not there": (
        2,
        "absent.pbtxt",
        [
            train("no_map.config"),
            evaluate("no_map.config"),
            ["check_config.py", "no_map.config"],
            ["validate_records.py", "--input_path=good.record", "--label_map_path=absent.pbtxt"],
        ],
    ),
    "a config that is not there": (
        2,
        "absent.config",
        [
            train("absent.config"),
            evaluate("absent.config"),
            export("absent.config", "garbage"),
            ["check_config.py", "absent.config"],
            ["benchmark.py", "--pipeline_config_path=absent.config"],
            proposals(
                "--input_path=good.record",
                "--method=rpn",
                "--pipeline_config_path=absent.config",
                "--checkpoint=good.ckpt",
            ),
        ],
    ),
    "a config whose content is wrong": (
        2,
        "num_clases",
        [
            train("bad.config"),
            evaluate("bad.config"),
            export("bad.config", "garbage"),
            ["check_config.py", "bad.config"],
            ["benchmark.py", "--pipeline_config_path=bad.config"],
        ],
    ),
    "a checkpoint that is not there": (
        2,
        "absent.ckpt",
        [
            train("no_tune.config"),
            ["check_config.py", "no_tune.config"],
            evaluate("good.config", "absent.ckpt"),
            export("good.config", "absent.ckpt"),
            ["inspect_checkpoint.py", "--checkpoint=absent.ckpt"],
            ["classify.py", "--checkpoint=absent.ckpt", "--images=garbage"],
        ],
    ),
    "a checkpoint that is none": (
        2,
        "garbage",
        [
            train("good.config", "--set=train_config.fine_tune_checkpoint=garbage"),
            evaluate("good.config", "garbage"),
            export("good.config", "garbage"),
            ["inspect_checkpoint.py", "--checkpoint=garbage"],
        ],
    ),
    "records that are not there": (
        2,
        "absent.record",
        [
            train("no_record.config"),
            ["check_config.py", "no_record.config"],
            ["validate_records.py", "--input_path=absent.record"],
            proposals("--input_path=absent.record"),
        ],
    ),
    "records that are none": (
        3,
        "garbage",
        [
            train("bad_record.config"),
            ["validate_records.py", "--input_path=garbage"],
            proposals("--input_path=garbage"),
        ],
    ),
    "an exported model that is not there": (
        2,
        "absent",
        [
            ["detect.py", "--saved_model=absent", "--output_dir=out", "garbage"],
            ["benchmark.py", "--saved_model=absent"],
        ],
    ),
    "results that are not there": (
        2,
        "absent",
        [
            ["sweep_report.py", "--results=absent", "--output=out"],
            ["choose.py", "--results=absent"],
            ["sweep.py", "merge", "--output=out", "absent"],
        ],
    ),
    "results that are none": (
        3,
        "results.jsonl",
        [
            ["sweep_report.py", "--results=results.jsonl", "--output=out"],
            ["choose.py", "--results=results.jsonl"],
            ["sweep.py", "merge", "--output=out", "results.jsonl"],
        ],
    ),
    "a place that cannot be written": (
        2,
        "file",
        [
            [word.replace("--model_dir=run", "--model_dir=file/run") for word in train("good.config")],
            ["validate_records.py", "--input_path=good.record", "--report=file/report.json"],
            ["make_synthetic_dataset.py", "--output_dir=file/set", "--num_images=1", "--num_val_images=0"],
            ["make_proposals.py", "--output=file/p.npz", "--method=grid", "--input_path=good.record"],
            ["create_tf_record.py", "--image_dir=images", "--annotation_dir=images", "--output=file/x.record"],
        ],
    ),
}


@pytest.mark.parametrize(
    ("code", "says", "words"),
    [
        pytest.param(code, says, words, id=f"{fault}-{number}-{words[0]}")
        for fault, (code, says, many) in ROWS.items()
        for number, words in enumerate(many)
    ],
)
def test_one_fault_has_one_exit_code(place, command, code, says, words):
    done = command(*words)
    assert done.code == code, done.err
    said = (done.err.strip() or done.out).splitlines()  # check_config.py reports on standard output.
    assert said[-1].startswith("error: ") and any(says in line for line in said) and "Traceback" not in done.err
