"""Measuring region ops: every row has times, memory is that of the op, torchvision takes part where there is one."""

from __future__ import annotations

import importlib.util
import json
import sys

import pytest

from benchmarks import roi_ops
from detection.errors import ConfigError
from detection.ops.roi import RoiMaxPool

SMALL = roi_ops.RoiOptions(rois=(2, 5), channels=8, map=(6, 9), warmup=1, runs=2, memory=False)


def test_every_op_is_timed(monkeypatch):
    monkeypatch.setattr(roi_ops, "OUTPUTS", (2, 3))
    report = roi_ops.benchmark(SMALL)
    assert [(row.op, row.rois, row.channels) for row in report.rows] == [
        ("RoiMaxPool", 2, 8),
        ("RoiMaxPool", 5, 8),
        ("CropAndResize", 2, 8),
        ("CropAndResize", 5, 8),
        ("PositionSensitiveCrop", 5, 18),
        ("PositionSensitiveCrop", 5, 27),
        ("PositionSensitiveAveragePool", 5, 18),
        ("PositionSensitiveAveragePool", 5, 27),
    ]
    assert all(row.forward.runs == row.both.runs == 2 and row.both.median > 0 for row in report.rows)
    installed = importlib.util.find_spec("torchvision") is not None
    assert [row.torchvision is not None for row in report.rows] == [installed] * 2 + [False] * 6
    assert len(json.loads(report.to_json())["rows"]) == 8
    assert report.table().count("6x9") == 8 and ("torchvision" in report.table()) == installed


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
def test_memory_includes_what_comes_out():
    """A pooled result of 12 MiB and a gradient of 4 MiB."""
    case = roi_ops.Case(RoiMaxPool(7, roi_ops.STRIDE), 32, 2048, (16, 32))
    assert roi_ops._peak_of_fresh_process(case) > 16


def test_boxes_lie_in_the_image():
    features, boxes = roi_ops.Case(RoiMaxPool(7, roi_ops.STRIDE), 50, 4, (6, 9)).inputs()
    assert features.shape == (1, 6, 9, 4) and boxes.shape == (1, 50, 4)
    assert boxes.min() >= 0 and boxes[..., 2].max() <= 96 and boxes[..., 3].max() <= 144
    assert (boxes[..., :2] < boxes[..., 2:]).all()


def test_torchvision_gives_the_same():
    pytest.importorskip("torchvision")
    row = roi_ops._measure(roi_ops.Case(RoiMaxPool(7, roi_ops.STRIDE), 9, 8, (6, 9)), SMALL, sys.executable)
    assert row.torchvision.equal and row.torchvision.both.runs == 2
    assert "equal" in roi_ops.RoiReport((row,), "here", None, "2").table()


def test_a_python_without_torchvision_is_refused(tmp_path):
    silent = tmp_path / "python"
    silent.write_text("#!/bin/sh\necho 'no module named torch' >&2\nexit 1\n", encoding="utf-8")
    silent.chmod(0o755)
    for python, words in ((str(silent), "no module named torch"), (str(tmp_path / "absent"), "cannot be run")):
        with pytest.raises(ConfigError, match=words):
            roi_ops.benchmark(SMALL, python)


def test_numbers_are_checked():
    with pytest.raises(ConfigError, match="at least 1"):
        roi_ops.benchmark(roi_ops.RoiOptions(rois=(0,)))
