"""Message `BoxCoder` -> a box coder of ops.box_coders."""

from __future__ import annotations

from detection.errors import ConfigError
from detection.ops.box_coders import BoxCoder, FasterRcnnBoxCoder, KeypointBoxCoder, MeanStddevBoxCoder, SquareBoxCoder
from detection.protos import box_coder_pb2


def build(message: box_coder_pb2.BoxCoder, path: str = "box_coder") -> BoxCoder:
    """`path` names the message in errors. Raises ConfigError where no coder is chosen or a scale is not positive."""
    kind = message.WhichOneof("box_coder_oneof")
    if kind is None:
        raise ConfigError(f"{path} is empty; set one, for example faster_rcnn_box_coder {{}}")
    options = getattr(message, kind)
    for field in options.DESCRIPTOR.fields:
        if not getattr(options, field.name) > 0:
            raise ConfigError(f"{path}.{kind}.{field.name} ({getattr(options, field.name):g}) must be positive")
    if kind == "faster_rcnn_box_coder":
        return FasterRcnnBoxCoder(options.y_scale, options.x_scale, options.height_scale, options.width_scale)
    if kind == "keypoint_box_coder":
        return KeypointBoxCoder(
            options.num_keypoints, options.y_scale, options.x_scale, options.height_scale, options.width_scale
        )
    if kind == "mean_stddev_box_coder":
        return MeanStddevBoxCoder(options.stddev)
    return SquareBoxCoder(options.y_scale, options.x_scale, options.length_scale)
