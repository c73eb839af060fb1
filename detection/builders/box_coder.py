"""Message `BoxCoder` -> a box coder of ops.box_coders."""

from __future__ import annotations

from detection.ops.box_coders import (
    BoxCoder,
    CenterSqrtBoxCoder,
    CornerBoxCoder,
    FasterRcnnBoxCoder,
    KeypointBoxCoder,
    MeanStddevBoxCoder,
    SquareBoxCoder,
)
from detection.protos import box_coder_pb2


def build(message: box_coder_pb2.BoxCoder) -> BoxCoder:
    """The box coder that is set."""
    kind = message.WhichOneof("box_coder_oneof")
    options = getattr(message, kind)
    if kind == "faster_rcnn_box_coder":
        return FasterRcnnBoxCoder(options.y_scale, options.x_scale, options.height_scale, options.width_scale)
    if kind == "keypoint_box_coder":
        return KeypointBoxCoder(
            options.num_keypoints, options.y_scale, options.x_scale, options.height_scale, options.width_scale
        )
    if kind == "mean_stddev_box_coder":
        return MeanStddevBoxCoder(options.stddev)
    if kind == "corner_box_coder":
        return CornerBoxCoder(options.unit, options.from_anchor)
    if kind == "center_sqrt_box_coder":
        return CenterSqrtBoxCoder(options.unit)
    return SquareBoxCoder(options.y_scale, options.x_scale, options.length_scale)
