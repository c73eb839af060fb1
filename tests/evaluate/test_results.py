"""Files and summaries of an evaluation."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from detection.evaluate import results
from detection.evaluate.evaluator import ImageDetections


def test_metrics_json_holds_the_latest_and_jsonl_one_line_a_step(tmp_path):
    results.write_metrics(tmp_path, 100, {"a": 0.25, "b": -1.0})
    path = results.write_metrics(tmp_path, 200, {"a": 0.5, "Loss/x": float("nan")})
    assert path == tmp_path / "eval" / "metrics.json"
    assert json.loads(path.read_text()) == {"step": 200, "metrics": {"a": 0.5, "Loss/x": None}}
    lines = (tmp_path / "eval" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"step": 100, "metrics": {"a": 0.25, "b": -1.0}},
        {"step": 200, "metrics": {"a": 0.5, "Loss/x": None}},
    ]
    assert sorted(file.name for file in path.parent.iterdir()) == ["metrics.json", "metrics.jsonl"]


def test_a_step_evaluated_again_replaces_its_line(tmp_path):
    for step, value in ((100, 0.1), (200, 0.2), (100, 0.3)):
        results.write_metrics(tmp_path, step, {"a": value})
    assert [(entry["step"], entry["metrics"]["a"]) for entry in results.read_history(tmp_path)] == [
        (100, 0.3),
        (200, 0.2),
    ]
    assert json.loads((tmp_path / "eval" / "metrics.json").read_text())["step"] == 100


def test_damaged_lines_are_left_out(tmp_path):
    results.write_metrics(tmp_path, 100, {"a": 0.1})
    with open(tmp_path / "eval" / "metrics.jsonl", "a") as file:
        file.write('{"step": 150, "metr\n[]\n')
    with open(tmp_path / "eval" / "metrics.jsonl", "ab") as file:
        file.write(b'{"step": 160, "metrics": {"\xff\xfe": 1}}\n')
    results.write_metrics(tmp_path, 200, {"a": 0.2})
    assert [entry["step"] for entry in results.read_history(tmp_path)] == [100, 200]


def test_no_history_without_a_file(tmp_path):
    assert results.read_history(tmp_path) == []


def test_summaries_reach_tensorboard(tmp_path):
    writer = tf.summary.create_file_writer(str(tmp_path))
    picture = np.zeros((8, 12, 3), np.uint8)
    results.write_summaries(
        writer, 7, {"DetectionBoxes_Precision/mAP@.50IOU": 0.5, "DetectionBoxes_Precision/mAP (small)": -1.0}, [picture]
    )
    events = EventAccumulator(str(tmp_path)).Reload()
    event = events.Tensors("DetectionBoxes_Precision/mAP@.50IOU")[0]
    assert event.step == 7 and tf.make_ndarray(event.tensor_proto) == 0.5
    assert "DetectionBoxes_Precision/mAP (small)" in events.Tags()["tensors"]
    width, height, _ = tf.make_ndarray(events.Tensors("Detections_Left_Groundtruth_Right/0")[0].tensor_proto)
    assert (int(width), int(height)) == (12, 8)


def test_coco_results_file(tmp_path):
    detections = ImageDetections(np.array([[10.0, 20, 30, 50.123]]), np.array([0.7512344]), np.array([2]))
    entries = results.coco_results("42", detections) + results.coco_results("street", detections)
    assert entries[0] == {"image_id": 42, "category_id": 3, "bbox": [20.0, 10.0, 30.12, 20.0], "score": 0.751234}
    assert entries[1]["image_id"] == "street"
    results.write_detections(tmp_path / "new" / "found.json", entries)
    assert json.loads((tmp_path / "new" / "found.json").read_text()) == entries
    results.write_detections(tmp_path / "none.json", [])
    assert json.loads((tmp_path / "none.json").read_text()) == []


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "[1]",
        '{"step": 1.5, "metrics": {}}',
        '{"step": "1", "metrics": {}}',
        '{"step": 1e999, "metrics": {}}',
        '{"step": 1, "metrics": [1]}',
        '{"step": 1, "metrics": {"a": "b"}}',
        '{"step": 1, "metrics": {"a": ' + "9" * 400 + "}}",
        "[" * 100000,
        '{"step": -1, "metrics": {}}',
    ],
)
def test_a_damaged_line_is_left_out_and_never_lost(tmp_path, line):
    results.write_metrics(tmp_path, 1, {"a": 0.5})
    path = tmp_path / "eval" / "metrics.jsonl"
    before = path.read_text() + line + "\n"
    path.write_text(before)
    assert results.read_history(tmp_path) == [{"step": 1, "metrics": {"a": 0.5}}]
    results.write_metrics(tmp_path, 2, {"a": 0.75})
    assert [entry["step"] for entry in results.read_history(tmp_path)] == [1, 2]
    assert (tmp_path / "eval" / "metrics.jsonl.damaged").read_text() == before and len(list(path.parent.iterdir())) == 3


def test_numbers_of_older_writers_are_read_as_missing(tmp_path):
    (tmp_path / "eval").mkdir()
    (tmp_path / "eval" / "metrics.jsonl").write_text('{"step": 3, "metrics": {"Loss/x": NaN, "a": 1}}\n')
    assert results.read_history(tmp_path) == [{"step": 3, "metrics": {"Loss/x": None, "a": 1}}]
