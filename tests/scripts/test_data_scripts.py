"""The data scripts as people run them: exit code, one line an error, files where they were asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.commands import run


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "VOC devkit"
    counts = ("--num_images=4", "--num_val_images=2", "--num_test_images=1")
    done = run("make_synthetic_dataset.py", f"--output_dir={folder}", *counts, "--size=64x64,80x64", "--norecords")
    assert done.code == 0, done.err
    assert "7 images drawn" in done.out and (folder / "test_images" / "test_00000.jpg").exists()
    (folder / "VOC2012").symlink_to(folder / "voc")
    return folder


def test_converts_with_the_flags_of_the_original_tool_and_validates(made, tmp_path):
    output = tmp_path / "out" / "all.record"
    flags = (
        "--year=VOC2012",
        "--set=train",
        f"--output_path={output}",
        "--ignore_difficult_instances",
        "--num_shards=2",
    )
    done = run("create_tf_record.py", f"--data_dir={made}", *flags)
    assert done.code == 0, done.err
    assert "4 images" in done.out and "nothing wrong" in done.out and (tmp_path / "out" / "label_map.pbtxt").exists()
    with open(f"{output}-00000-of-00002", "r+b") as stream:
        stream.truncate(1000)
    report = tmp_path / "report.json"
    label_map = tmp_path / "out" / "label_map.pbtxt"
    done = run("validate_records.py", f"--input_path={output}-*", f"--label_map_path={label_map}", f"--report={report}")
    assert done.code == 3 and report.exists() and "2 images" in done.out
    assert [line for line in done.err.splitlines() if line.startswith("error: ") and "00000-of-00002" in line]


@pytest.mark.parametrize(
    ("script", "flags", "code", "says"),
    [
        ("create_tf_record.py", ["--voc_dir=x"], 2, "--output is missing"),
        ("create_tf_record.py", ["--voc_dir=x", "--output=x", "stray"], 2, "unexpected argument 'stray'"),
        ("create_tf_record.py", ["--voc_dir=nowhere", "--output=x"], 2, "nowhere: no such folder of data"),
        ("create_tf_record.py", ["--voc_dir=x", "--output=x/"], 2, "--output=x/: names a folder"),
        ("create_tf_record.py", ["--image_dir=x", "--annotation_file=x.json", "--output=x"], 2, "pass --format=coco"),
        ("create_tf_record.py", ["--format=coco", "--annotation_dir=x", "--output=x"], 2, "pass --annotation_file"),
        ("make_synthetic_dataset.py", ["--output_dir=x", "--size=5x5"], 2, "'5x5' is not a size"),
        ("validate_records.py", ["--input_path=a", "b"], 2, "unexpected argument 'b'"),
    ],
)
def test_errors_are_one_line_with_the_right_code(script, flags, code, says):
    done = run(script, *flags)
    assert done.code == code and says in done.error and len(done.errors) == 1
