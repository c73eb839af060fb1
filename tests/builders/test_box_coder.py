"""Builder of box coders."""

from __future__ import annotations

import pytest
from google.protobuf import text_format

from detection.builders import box_coder
from detection.ops.box_coders import (
    CenterSqrtBoxCoder,
    CornerBoxCoder,
    FasterRcnnBoxCoder,
    KeypointBoxCoder,
    MeanStddevBoxCoder,
    SquareBoxCoder,
)
from detection.protos import box_coder_pb2


def build(text):
    return box_coder.build(text_format.Parse(text, box_coder_pb2.BoxCoder()))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("faster_rcnn_box_coder {}", FasterRcnnBoxCoder()),
        (
            "faster_rcnn_box_coder { y_scale: 1 x_scale: 2 height_scale: 3 width_scale: 4 }",
            FasterRcnnBoxCoder(1, 2, 3, 4),
        ),
        ("mean_stddev_box_coder { stddev: 0.5 }", MeanStddevBoxCoder(0.5)),
        ("square_box_coder { y_scale: 1 x_scale: 2 length_scale: 3 }", SquareBoxCoder(1, 2, 3)),
        ("corner_box_coder { unit: 300 }", CornerBoxCoder(300)),
        ("corner_box_coder { unit: 300 from_anchor: true }", CornerBoxCoder(300, from_anchor=True)),
        ("center_sqrt_box_coder { unit: 448 }", CenterSqrtBoxCoder(448)),
        ("keypoint_box_coder { num_keypoints: 3 width_scale: 2 }", KeypointBoxCoder(3, width_scale=2)),
    ],
)
def test_builds(text, expected):
    assert build(text) == expected
