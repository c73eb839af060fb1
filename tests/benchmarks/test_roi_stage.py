"""Whole second stages: each kind runs, in chunks, and wrong flags are told."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import roi_stage
from benchmarks.roi_stage import KINDS, Stage, StageRow
from detection.errors import ConfigError


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_measured(kind: str) -> None:
    stage = Stage(kind, "faster_rcnn_mobilenet_v1", proposals=9, chunk=4, map=(6, 8), runs=1)
    run, maps = roi_stage._runner(stage)
    codes, logits = run(*maps, roi_stage._boxes(stage))
    assert codes.shape == (1, 9, 20, 4) and logits.shape == (1, 9, 21) and np.isfinite(logits).all()
    milliseconds, cpu, mib = roi_stage.measure(stage)
    assert milliseconds > 0 and cpu > 0 and (mib is None or mib >= 0)


def test_lines() -> None:
    row = StageRow(Stage("roi_max_pool", "faster_rcnn_vgg16", 2000, 300), 1234.4, 2000.6, None)
    assert row.line().split() == ["roi_max_pool", "2000", "300", "at", "a", "time", "1234", "2001", "-"]
    assert len(row.line()) == len(roi_stage.table_header())


def test_wrong_flags() -> None:
    for arguments, words in (
        (([300], "vgg"), "--extractor=vgg: unknown; one of faster_rcnn_"),
        (([300], "faster_rcnn_vgg16", ["crop"]), "--kinds=crop: unknown; of crop_and_resize, "),
        (([0], "faster_rcnn_vgg16"), "--proposals, --chunks and --runs must be at least 1"),
    ):
        with pytest.raises(ConfigError) as caught:
            list(roi_stage.benchmark(*arguments))
        assert words in str(caught.value)
